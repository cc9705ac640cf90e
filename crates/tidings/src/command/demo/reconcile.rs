//! What partners know against what is true, once everything has stopped.
//!
//! The truth is the server's store, opened again and read row by row: every profile with the segments
//! the device is in. A partner's view is the last state it acknowledged of each of its ids and
//! segments. For each id linked to a device and each segment mapped to the partner, the partner must
//! have been told Status 1 last if the device is in, and Status 0 or nothing if it is not; and it must
//! know no id that is not linked. Pairs that are neither true nor were ever told are not counted.
//!
//! Visitors have one id per partner, so there is no older id that would keep its last state.

use anyhow::Context as _;
use std::{collections::HashMap, path::Path};
use tidings_engine::Profile;
use tidings_model::{Catalog, Destination};
use tidings_receiver::SegmentState;
use tidings_store::{Store, StoreSettings};

/// Profiles read at a time.
const PAGE: usize = 1_000;

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Reconciled {
    /// States that are true, were told, or both.
    pub(crate) states: u64,
    /// Of them, where the partner is wrong.
    pub(crate) differences: u64,
    /// The first of them, in words.
    pub(crate) example: Option<String>,
    /// Pairs of destination and device that still wait to be told.
    pub(crate) owed: u64,
    pub(crate) profiles: u64,
    /// Bytes of all profiles, as they are stored.
    pub(crate) profile_bytes: u64,
    /// Bytes of the store on disk, with its journal and everything that was overwritten.
    pub(crate) disk_bytes: u64,
}

/// A partner's states: by its id of the user, then by segment.
type View = HashMap<String, HashMap<String, bool>>;

/// Reads the store in `data_dir`, which no server has open, and compares it with the states of the
/// catalog's destinations, in its order. Blocks.
///
/// # Errors
/// When the store cannot be read.
pub(crate) fn reconcile(
    data_dir: &Path,
    catalog: &Catalog,
    states: Vec<Vec<SegmentState>>,
) -> anyhow::Result<Reconciled> {
    let store = Store::open(data_dir, &StoreSettings::default()).context("opening the store")?;
    let mut views: Vec<View> = states.into_iter().map(view).collect();
    let mut found = Reconciled {
        disk_bytes: store.disk_bytes()?,
        ..Reconciled::default()
    };
    let mut bytes = Vec::new();
    let mut after = None;
    loop {
        let page = store.profiles(after.as_ref(), PAGE)?;
        for (uuid, profile) in &page {
            bytes.clear();
            store.profile_bytes(uuid, &mut bytes)?;
            found.profiles += 1;
            found.profile_bytes += bytes.len() as u64;
            for (destination, view) in catalog.destinations.iter().zip(&mut views) {
                compare(profile, destination, view, &mut found);
            }
        }
        match page.into_iter().next_back() {
            Some((uuid, _)) => after = Some(uuid),
            None => break,
        }
    }
    for (destination, view) in catalog.destinations.iter().zip(&views) {
        found.owed += store.pending_count(destination.id, usize::MAX)? as u64;
        unknown_ids(destination, view, &mut found);
    }
    Ok(found)
}

fn view(states: Vec<SegmentState>) -> View {
    let mut view = View::new();
    for state in states {
        let segments = view.entry(state.data_partner_uuid).or_default();
        segments.insert(state.segment_id, state.is_active);
    }
    view
}

/// Compares one profile and takes what was compared out of the view.
fn compare(profile: &Profile, destination: &Destination, view: &mut View, found: &mut Reconciled) {
    let is_linked = |data_source| destination.id_data_sources.contains(&data_source);
    for id in &profile.ids {
        if !id.linked || !is_linked(id.data_source) {
            continue;
        }
        let mut told = view.remove(&*id.id).unwrap_or_default();
        for mapping in &destination.mappings {
            let segment = mapping.segment;
            let text = mapping.value.clone().unwrap_or_else(|| segment.to_string());
            let truth = profile.segments.iter().any(|state| state.id == segment);
            let told = told.remove(&text);
            if truth || told.is_some() {
                found.check(truth, told, || {
                    format!("{}, {} and segment {text}", destination.name, id.id)
                });
            }
        }
        told.values().for_each(|&told| {
            found.check(false, Some(told), || {
                format!("{}, {} and an unmapped segment", destination.name, id.id)
            });
        });
    }
}

/// What is left in a view is of ids that lead to no device.
fn unknown_ids(destination: &Destination, view: &View, found: &mut Reconciled) {
    let name = &destination.name;
    view.values().flat_map(HashMap::values).for_each(|&told| {
        found.check(false, Some(told), || {
            format!("{name} and an id of no device")
        });
    });
}

impl Reconciled {
    fn check(&mut self, truth: bool, told: Option<bool>, whom: impl FnOnce() -> String) {
        self.states += 1;
        if told.unwrap_or(false) != truth {
            self.differences += 1;
            self.example.get_or_insert_with(|| {
                let said = match told {
                    None => "nothing was told",
                    Some(true) => "told in",
                    Some(false) => "told out",
                };
                let truth = if truth { "in" } else { "out" };
                format!("{}: {said}, is {truth}", whom())
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::demo::shop;
    use tidings_engine::{IdKey, ProfileId};
    use tidings_model::{AuthState, DataSourceId, DeviceUuid, SegmentId, Timestamp};
    use tidings_store::Batch;

    /// One device, known to the DSP as `uid-1` and in the segments named, against what the DSP was
    /// told: `id segment 0|1`. Shows what was found.
    #[track_caller]
    fn check(segments: &[u32], told: &[&str], expected: &str) {
        let dir = tempfile::tempdir().unwrap();
        let catalog = shop::catalog().unwrap();
        let mut profile = Profile::default();
        profile.ids.push(ProfileId {
            key: IdKey(0),
            data_source: DataSourceId(31_003),
            id: "uid-1".into(),
            linked: true,
            state: AuthState::Unknown,
            linked_at: Timestamp(1),
        });
        profile.segments = segments
            .iter()
            .map(|&id| tidings_engine::SegmentState {
                id: SegmentId(id),
                since: Timestamp(1),
            })
            .collect();
        {
            let store = Store::open(dir.path(), &StoreSettings::default()).unwrap();
            let mut batch = Batch::new();
            batch.put_profile(&DeviceUuid::from_number(1).unwrap(), &profile);
            store.commit(&batch).unwrap();
        }
        let states = told.iter().map(|line| {
            let words: Vec<_> = line.split(' ').collect();
            SegmentState {
                data_partner_uuid: words[0].to_owned(),
                segment_id: words[1].to_owned(),
                is_active: words[2] == "1",
                date_time: 0,
            }
        });
        let states = vec![states.collect(), Vec::new()];
        let found = reconcile(dir.path(), &catalog, states).unwrap();
        assert_eq!(found.profiles, 1);
        assert!(found.profile_bytes > 0 && found.disk_bytes > 0);
        let example = found.example.unwrap_or_default();
        let text = format!("{} of {} {example}", found.differences, found.states);
        assert_eq!(text.trim_end(), expected);
    }

    #[test]
    fn what_is_true_must_have_been_told() {
        check(
            &[2001, 2005],
            &["uid-1 2001 1", "uid-1 keen-reader 1", "uid-1 2002 0"],
            "0 of 3",
        );
        check(
            &[2001],
            &[],
            "1 of 1 Example DSP, uid-1 and segment 2001: nothing was told, is in",
        );
        check(
            &[2001],
            &["uid-1 2001 0"],
            "1 of 1 Example DSP, uid-1 and segment 2001: told out, is in",
        );
    }

    #[test]
    fn what_was_told_must_be_true() {
        check(
            &[],
            &["uid-1 2001 1"],
            "1 of 1 Example DSP, uid-1 and segment 2001: told in, is out",
        );
        check(
            &[],
            &["uid-1 9 1"],
            "1 of 1 Example DSP, uid-1 and an unmapped segment: told in, is out",
        );
        check(
            &[],
            &["uid-2 2001 1"],
            "1 of 1 Example DSP and an id of no device: told in, is out",
        );
        // A segment that is not mapped to this partner is none of its business.
        check(&[2006], &[], "0 of 0");
    }
}
