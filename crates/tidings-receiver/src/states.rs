//! The partner's side of the story: the last state it was told, and acknowledged, of every segment of
//! every partner id.
//!
//! States are idempotent and keyed by partner id and segment, as the protocol has it. The one received
//! last counts; one whose `DateTime` is earlier than that of the one before is taken too, but counted.
//! Users without a partner id are left out: nothing tells them apart here.

use crate::{limits::STATES_MAX, stats::Stats};
use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};
use tidings_wire::{Message, MessageSegment, MessageUser, Status};

/// What the partner knows about one segment of one of its ids.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SegmentState {
    /// The partner's id of the user.
    pub data_partner_uuid: String,
    /// The segment.
    pub segment_id: String,
    /// In or out.
    pub is_active: bool,
    /// When the state was verified, in seconds since 1970-01-01T00:00:00Z.
    pub date_time: i64,
}

/// All states, behind one lock that is held for one message at a time.
#[derive(Debug)]
pub(crate) struct States {
    ledger: Mutex<Ledger>,
    states_max: usize,
}

#[derive(Debug, Default)]
struct Ledger {
    /// A user has few segments, so a list is smaller than a map and as fast.
    users: HashMap<Box<str>, Vec<Entry>>,
    states: usize,
    out_of_order: u64,
    dropped: u64,
}

#[derive(Debug)]
struct Entry {
    segment_id: Box<str>,
    is_active: bool,
    date_time: i64,
}

impl Default for States {
    fn default() -> Self {
        Self {
            ledger: Mutex::default(),
            states_max: STATES_MAX,
        }
    }
}

impl States {
    /// Takes in what an acknowledged message tells.
    pub(crate) fn apply(&self, message: &Message) {
        let mut ledger = self.ledger();
        for user in &message.users {
            if !user.data_partner_uuid.is_empty() {
                ledger.apply(user, self.states_max);
            }
        }
    }

    /// Every state, sorted.
    pub(crate) fn all(&self) -> Vec<SegmentState> {
        let ledger = self.ledger();
        let mut states: Vec<_> = ledger
            .users
            .iter()
            .flat_map(|(user, entries)| entries.iter().map(|entry| entry.state(user)))
            .collect();
        drop(ledger);
        states.sort_unstable();
        states
    }

    pub(crate) fn get(&self, data_partner_uuid: &str, segment_id: &str) -> Option<SegmentState> {
        let ledger = self.ledger();
        let mut entries = ledger.users.get(data_partner_uuid)?.iter();
        entries
            .find(|entry| *entry.segment_id == *segment_id)
            .map(|entry| entry.state(data_partner_uuid))
    }

    pub(crate) fn count_into(&self, stats: &mut Stats) {
        let ledger = self.ledger();
        stats.states = ledger.states as u64;
        stats.states_out_of_order = ledger.out_of_order;
        stats.states_dropped = ledger.dropped;
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ledger {
    fn apply(&mut self, user: &MessageUser, states_max: usize) {
        let known = self.users.get_mut(user.data_partner_uuid.as_str());
        let mut added = Vec::new();
        let entries = known.unwrap_or(&mut added);
        for segment in &user.segments {
            let MessageSegment {
                segment_id,
                status,
                date_time,
            } = segment;
            let is_active = *status == Status::Active;
            let place = entries
                .iter_mut()
                .find(|entry| *entry.segment_id == **segment_id);
            match place {
                Some(entry) => {
                    self.out_of_order += u64::from(*date_time < entry.date_time);
                    (entry.is_active, entry.date_time) = (is_active, *date_time);
                }
                None if self.states >= states_max => self.dropped += 1,
                None => {
                    self.states += 1;
                    entries.push(Entry {
                        segment_id: segment_id.as_str().into(),
                        is_active,
                        date_time: *date_time,
                    });
                }
            }
        }
        if !added.is_empty() {
            self.users
                .insert(user.data_partner_uuid.as_str().into(), added);
        }
    }
}

impl Entry {
    fn state(&self, data_partner_uuid: &str) -> SegmentState {
        SegmentState {
            data_partner_uuid: data_partner_uuid.to_owned(),
            segment_id: self.segment_id.as_ref().to_owned(),
            is_active: self.is_active,
            date_time: self.date_time,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A message from lines of `user segment status time`.
    fn message(lines: &str) -> Message {
        let users = lines
            .split("; ")
            .map(|line| {
                let words: Vec<_> = line.split(' ').collect();
                MessageUser {
                    aam_uuid: "1".to_owned(),
                    data_partner_uuid: words[0].replace('-', ""),
                    regions: Vec::new(),
                    segments: vec![MessageSegment {
                        segment_id: words[1].to_owned(),
                        status: if words[2] == "1" {
                            Status::Active
                        } else {
                            Status::Inactive
                        },
                        date_time: words[3].parse().unwrap(),
                    }],
                }
            })
            .collect();
        Message {
            process_time: 0,
            user_dpid: None,
            client_id: "c".to_owned(),
            destination_id: "d".to_owned(),
            users,
        }
    }

    /// Applies messages and shows the states and the counts.
    #[track_caller]
    fn check(states_max: usize, messages: &[&str], expected: &str) {
        let states = States {
            states_max,
            ..States::default()
        };
        for lines in messages {
            states.apply(&message(lines));
        }
        let mut stats = Stats::default();
        states.count_into(&mut stats);
        let all = states.all();
        assert_eq!(all.len() as u64, stats.states);
        let shown: Vec<_> = all
            .iter()
            .map(|state| {
                let SegmentState {
                    data_partner_uuid,
                    segment_id,
                    is_active,
                    date_time,
                } = state;
                assert_eq!(
                    states.get(data_partner_uuid, segment_id).as_ref(),
                    Some(state)
                );
                let status = u8::from(*is_active);
                format!("{data_partner_uuid} {segment_id} {status} {date_time}")
            })
            .collect();
        let counts = format!("{}, {}", stats.states_out_of_order, stats.states_dropped);
        assert_eq!(format!("{} | {counts}", shown.join("; ")), expected);
    }

    #[test]
    fn the_last_word_counts() {
        check(9, &["a 1 1 10", "a 1 0 20"], "a 1 0 20 | 0, 0");
        check(
            9,
            &["a 1 1 10; a 2 0 10; b 1 1 10"],
            "a 1 1 10; a 2 0 10; b 1 1 10 | 0, 0",
        );
        check(9, &["a 1 1 20", "a 1 0 10"], "a 1 0 10 | 1, 0");
        check(9, &["- 1 1 20"], " | 0, 0");
    }

    #[test]
    fn there_is_room_for_a_bounded_number() {
        check(
            2,
            &["a 1 1 1; b 1 1 1; c 1 1 1", "a 1 0 2"],
            "a 1 0 2; b 1 1 1 | 0, 1",
        );
    }
}
