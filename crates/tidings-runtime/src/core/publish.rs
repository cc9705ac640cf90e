//! What a change of a profile entails beside it: rows of the pending set, timers, marks, hints.

use super::{Changes, DestinationHint, Tally};
use tidings_dispatch::Hint;
use tidings_engine::{BatchMark, Effects, Moment, Profile};
#[cfg(planted)]
use tidings_model::planted::{self, Planted};
use tidings_model::{DataSourceId, DeviceUuid, Timestamp};
use tidings_store::PendingRow;

/// Writes what an event or a change entails beside the profile, but for ids that lead elsewhere now.
#[expect(
    clippy::too_many_arguments,
    reason = "parts of the core, apart because the effects borrow another one"
)]
pub(super) fn publish(
    effects: &Effects,
    profile: &Profile,
    tally: &mut Tally,
    due: &mut Vec<(Timestamp, DeviceUuid)>,
    unlinked: &mut Vec<(DataSourceId, Box<str>)>,
    moment: Moment,
    uuid: &DeviceUuid,
    changes: &mut impl Changes,
    hint: &mut impl FnMut(DestinationHint),
) {
    tally.entered += effects.entered.len() as u64;
    tally.left += effects.left.len() as u64;
    unlinked.extend_from_slice(&effects.unlinked);
    if let Some((old, new)) = effects.timer {
        if let Some(old) = old {
            changes.delete_timer(old, uuid);
        }
        #[cfg(planted)]
        let new = new.filter(|_| !planted::is(Planted::TimerNotSet));
        if let Some(new) = new {
            changes.put_timer(new, uuid);
            if new <= moment.now {
                due.push((new, uuid.clone()));
            }
        }
    }
    for &mark in &effects.batch_marks {
        write_mark(Some(mark), uuid, changes);
    }
    for touched in &effects.touched {
        #[cfg(planted)]
        if planted::is(Planted::PendingNotWritten) {
            continue;
        }
        if touched.newly {
            let row = PendingRow {
                seq: moment.seq,
                since: touched.since,
            };
            changes.put_pending(touched.destination, uuid, &row);
        }
        for part in effects.parts.get(touched.parts.clone()).unwrap_or_default() {
            let (namespace, objects) = (part.namespace, part.objects);
            let new = Hint {
                uuid: uuid.clone(),
                seq: moment.seq,
                namespace,
                objects,
                removal: profile.owes_in(touched.destination, namespace),
            };
            hint(DestinationHint {
                destination: touched.destination,
                hint: new,
            });
        }
    }
}

/// Keeps the set of changes since the last batch as the marks in the profiles are.
pub(super) fn write_mark(mark: Option<BatchMark>, uuid: &DeviceUuid, changes: &mut impl Changes) {
    match mark {
        Some(BatchMark {
            destination,
            marked: true,
        }) => changes.put_batch_change(destination, uuid),
        Some(BatchMark { destination, .. }) => changes.delete_batch_change(destination, uuid),
        None => {}
    }
}
