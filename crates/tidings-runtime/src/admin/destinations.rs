//! What the admin side tells of each destination.

use crate::{
    destination::read,
    stats::{DestinationState, NamedStats},
};
use serde_json::{Value, json};
use tidings_dispatch::Health;
use tidings_model::Timestamp;

/// The figures of one destination.
pub(super) fn figures(named: &NamedStats) -> Value {
    let stats = &named.stats;
    let DestinationState {
        health,
        failing_since,
        last_failure,
        next_probe,
        quiet_until,
        alert,
        waiting,
        held,
        in_flight,
        next_batch,
        refused,
    } = stats.state();
    let health = match (&refused, health) {
        (Some(_), _) => "refused",
        (None, None) => "starting",
        (None, Some(Health::Healthy)) => "healthy",
        (None, Some(Health::Recovering { .. })) => "recovering",
        (None, Some(Health::Failing { .. })) => "failing",
        (None, Some(Health::Open { .. })) => "open",
    };
    json!({
        "id": named.id.0,
        "name": named.name,
        "health": health,
        "failing_since": text(failing_since),
        "last_failure": last_failure,
        "next_probe": text(next_probe),
        "quiet_until": text(quiet_until),
        "alert": alert.map(|alert| json!({
            "since": alert.since.to_string(),
            "reason": alert.reason,
        })),
        "refused": refused,
        "waiting": waiting,
        "held": held,
        "in_flight": in_flight,
        "next_batch": text(next_batch),
        "messages_delivered": read(&stats.messages_delivered),
        "messages_failed": read(&stats.messages_failed),
        "users_told": read(&stats.users_told),
        "attempts": read(&stats.attempts),
        "attempts_by_outcome": {
            "acknowledged": read(&stats.attempts_acknowledged),
            "refused": read(&stats.attempts_refused),
            "busy": read(&stats.attempts_busy),
            "failed": read(&stats.attempts_failed),
        },
        "attempts_reused": read(&stats.attempts_reused),
        "bytes_sent": read(&stats.bytes_sent),
        "attempt_micros": read(&stats.attempt_micros),
    })
}

fn text(time: Option<Timestamp>) -> Option<String> {
    time.map(|time| time.to_string())
}
