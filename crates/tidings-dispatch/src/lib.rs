//! Delivery to one destination, as a state machine: packing, order, retry, and what becomes of
//! failures.
//!
//! A [`Dispatcher`] is fed with hints (a pair of destination and device has something to tell),
//! with user objects taken from profiles, with the outcomes of attempts, and with the time. It
//! answers with [`Action`]s. It owns no socket, no clock and no task, so it runs unchanged under a
//! server, under a dry run and under simulation.
//!
//! Promises:
//! - a device is never in two messages of one destination and namespace at a time; a touch while
//!   it is in flight is remembered and sent after the outcome;
//! - memory is bounded by [`Settings::waiting_max`]; what does not fit is read again from the
//!   pending set, which is the truth ([`Action::Rescan`]);
//! - nothing pending is forgotten: a device that is not in memory is found by the next reading;
//! - a device that is owed a Status 0 goes ahead of those that are not; these get every eighth message;
//! - a batch waits for real time: none of its messages is built while one in real time is ready,
//!   and they take at most half of the places in flight;
//! - a destination that does not answer is probed with one device at a time, at least every 30 s, and
//!   is sent what waited at no more than 1.1 times the rate before once it answers;
//! - every message is attempted at most `1 + retries` times, with the same bytes.
#![forbid(unsafe_code)]

mod batch;
mod breaker;
mod dispatcher;
mod lane;
mod pace;
mod types;

pub use breaker::Health;
pub use dispatcher::{Dispatcher, QUIET_MAX};
pub use types::{
    Acknowledged, Action, Hint, Kind, MessageId, Outcome, Settings, SettledUser, Taken,
};
