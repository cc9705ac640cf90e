//! The record of what was sent and acknowledged, and the judgement of what partners were told.

use super::{SEGMENTS, Segment, Traits, partner_id, segments, uuid};
use crate::support::{
    partner::{Partner, Seen},
    server::Server,
    try_poll,
};
use std::collections::BTreeSet;
use tidings_wire::{MessageSegment, MessageUser, Status};

/// The longest between the reading of a state and the building of its message, generously: between
/// them lies one synced write.
const READ_TO_BUILD_MICROS_MAX: i64 = 5_000_000;
/// The longest between the beginning of a step of the writer, whose time is that of the evaluation,
/// and the arrival of the last events that it takes along.
const STEP_SECONDS_MAX: i64 = 2;
const MICROS: i64 = 1_000_000;

/// One event, as its sender knows it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sent {
    /// What it makes of the device.
    pub(super) traits: Traits,
    /// Before its request was sent for the first time.
    pub(super) first_sent: i64,
    /// After its request was acknowledged.
    pub(super) acknowledged: i64,
    /// Where its batch begins among the device's events, if that was sent more than once: from there
    /// on, everything may have happened again.
    pub(super) repeated_from: Option<usize>,
}

/// Everything that was sent, per device. All of it was acknowledged in the end.
#[derive(Debug)]
pub(crate) struct Ledger {
    pub(super) devices: Vec<Vec<Sent>>,
}

fn device_of(partner_id: &str) -> usize {
    partner_id.strip_prefix('p').unwrap().parse().unwrap()
}

impl Ledger {
    /// Waits until a partner was told the final state of every device and the server has nothing
    /// left to tell it.
    pub(crate) async fn wait_until_told(&self, server: &Server, id: u32, partner: &Partner) {
        let told = try_poll(async || {
            let status = server.destination(id).await;
            let idle = ["waiting", "held", "in_flight"].map(|name| status[name] == 0);
            let is_idle = idle == [true; 3] && status["health"] == "healthy";
            (is_idle && self.wrong_states(partner).is_empty()).then_some(())
        })
        .await;
        if told.is_none() {
            let wrong = self.wrong_states(partner);
            panic!(
                "partner {id} was last told otherwise than what is true of {} devices: {:#?}\n{}",
                wrong.len(),
                wrong.iter().take(10).collect::<Vec<_>>(),
                server.destination(id).await,
            );
        }
    }

    /// The devices of which the partner was last told otherwise than what is true in the end.
    pub(crate) fn wrong_states(&self, partner: &Partner) -> Vec<String> {
        let mut wrong = Vec::new();
        for (device, sent) in self.devices.iter().enumerate() {
            let Some(last) = sent.last() else { continue };
            let is_in = segments(last.traits);
            for Segment { id: segment, .. } in SEGMENTS {
                let told = partner.state(&partner_id(device), segment);
                // Nothing needs to be told of a segment that was never reported as entered.
                if told.unwrap_or(false) != is_in.contains(&segment) {
                    wrong.push(format!(
                        "device {device}: {segment} was told as {told:?}, it is in {is_in:?}"
                    ));
                }
            }
        }
        wrong
    }

    /// Checks that every state a partner was told was true when it was told, and that no older
    /// state came after a newer one. Otherwise the first thing that was wrong.
    pub(crate) fn check_truth(&self, told: &[Seen]) -> Result<(), String> {
        let mut oldest = vec![0; self.devices.len()];
        for seen in told {
            if !seen.errors.is_empty() {
                return Err(format!("{:?}", seen.errors));
            }
            for user in &seen.message.users {
                let device = device_of(&user.data_partner_uuid);
                let event = self.event_told(device, oldest[device], seen, user);
                let event = event
                    .filter(|_| user.aam_uuid == uuid(device))
                    .ok_or_else(|| {
                        let events = &self.devices[device][oldest[device]..];
                        format!("at {}: {user:?} after {events:#?}", seen.at_micros)
                    })?;
                let repeated_from = self.devices[device][event].repeated_from;
                oldest[device] = repeated_from.unwrap_or(event);
            }
        }
        Ok(())
    }

    /// The first event from `oldest` on whose state is what was told and may have been the current
    /// one at that time.
    fn event_told(
        &self,
        device: usize,
        oldest: usize,
        seen: &Seen,
        user: &MessageUser,
    ) -> Option<usize> {
        let with = |status: Status| -> BTreeSet<u32> {
            let segments = user.segments.iter().filter(|one| one.status == status);
            segments
                .map(|one| one.segment_id.parse().unwrap())
                .collect()
        };
        let (ones, zeros) = (with(Status::Active), with(Status::Inactive));
        let evaluated = user.segments[0].date_time;
        let built = seen.message.process_time * MICROS;
        let events = &self.devices[device];
        (oldest..events.len()).find(|&at| {
            let sent = &events[at];
            let is_state = ones == segments(sent.traits) && zeros.is_disjoint(&ones);
            let is_evaluated = sent.first_sent / MICROS - STEP_SECONDS_MAX <= evaluated
                && evaluated <= sent.acknowledged / MICROS;
            // It was the current state at most until the next event was acknowledged.
            let is_current = sent.first_sent <= seen.at_micros
                && events
                    .get(at + 1)
                    .is_none_or(|next| built <= next.acknowledged + READ_TO_BUILD_MICROS_MAX);
            is_state && is_evaluated && is_current
        })
    }

    /// Events sent, all devices together.
    pub(crate) fn events(&self) -> usize {
        self.devices.iter().map(Vec::len).sum()
    }
}

/// What a partner is told: the second of arrival, of building and of evaluation, ones and zeros.
type Told<'a> = (i64, i64, i64, &'a [u32], &'a [u32]);

/// Says of some states of one device whether all of them were true. It had only trait 1 from second
/// 10 on, only trait 2 from 20 on, and only trait 1 again from 30 on; each change was acknowledged
/// within a second.
#[track_caller]
fn check(told: &[Told<'_>], expected: bool) {
    let sent = |traits, second: i64| Sent {
        traits,
        first_sent: second * MICROS,
        acknowledged: (second + 1) * MICROS,
        repeated_from: None,
    };
    let ledger = Ledger {
        devices: vec![vec![sent(1, 10), sent(2, 20), sent(1, 30)]],
    };
    let seen = |&(arrival, built, date_time, ones, zeros): &Told<'_>| {
        let ones = ones.iter().map(|&id| (id, Status::Active));
        let zeros = zeros.iter().map(|&id| (id, Status::Inactive));
        let segments = ones.chain(zeros).map(|(id, status)| MessageSegment {
            segment_id: id.to_string(),
            status,
            date_time,
        });
        let user = MessageUser {
            aam_uuid: uuid(0),
            data_partner_uuid: partner_id(0),
            regions: Vec::new(),
            segments: segments.collect(),
        };
        Seen::of_message(arrival * MICROS, built, user)
    };
    let seen: Vec<_> = told.iter().map(seen).collect();
    let truth = ledger.check_truth(&seen);
    assert_eq!(truth.is_ok(), expected, "{truth:?}");
}

#[test]
fn the_judge_knows_the_truth() {
    check(&[(12, 11, 10, &[101], &[])], true);
    check(
        &[
            (12, 11, 10, &[101], &[]),
            (22, 21, 20, &[102], &[101]),
            (31, 31, 30, &[101], &[102]),
            (39, 39, 30, &[101], &[]),
        ],
        true,
    );
    // Never true, then not yet, and no more.
    check(&[(12, 11, 10, &[103], &[])], false);
    check(&[(12, 11, 10, &[101, 102], &[])], false);
    check(&[(12, 11, 10, &[101], &[101])], false);
    check(&[(9, 9, 9, &[101], &[])], false);
    check(&[(19, 19, 19, &[102], &[])], false);
    check(&[(28, 27, 10, &[101], &[])], false);
    check(&[(39, 39, 20, &[102], &[])], false);
    // Built in time but later than what came before it.
    let newer: Told<'_> = (22, 22, 20, &[102], &[]);
    check(&[newer, (23, 21, 10, &[101], &[])], false);
    check(&[(23, 21, 10, &[101], &[]), newer], true);
}
