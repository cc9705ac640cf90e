//! What the service is told before it starts.

use std::{net::SocketAddr, path::PathBuf, time::Duration};
use tidings_dispatch as dispatch;
use tidings_model::{DataSourceId, Destination, Status, Timestamp, limits};

/// How a destination of the catalog is dispatched.
#[must_use]
pub fn dispatch_settings(destination: &Destination) -> dispatch::Settings {
    let namespaces = if destination.id_data_sources.is_empty() {
        vec![DataSourceId::NONE]
    } else {
        destination.id_data_sources.clone()
    };
    dispatch::Settings {
        namespaces,
        users_max: destination.max_users.max(1) as usize,
        linger: destination.max_linger.min(limits::LINGER_MAX),
        retries: destination.retries,
        retry_delay: destination.retry_delay,
        after_failure: destination.after_failure,
        in_flight_max: limits::IN_FLIGHT_PER_DESTINATION_MAX,
        waiting_max: limits::HINTS_PER_DESTINATION_MAX,
        paused: destination.status == Status::Paused,
    }
}

/// How long a stop waits for messages that are on their way.
pub const DRAIN_MAX: Duration = Duration::from_secs(10);

/// Settings of a server.
#[derive(Clone, Debug)]
pub struct ServerSettings {
    /// Where everything durable lies.
    pub data_dir: PathBuf,
    /// Where the public side listens; port 0 takes any free one.
    pub collect: SocketAddr,
    /// Where the admin side listens: loopback only.
    pub admin: SocketAddr,
    /// Trust roots in PEM, in addition to the system's.
    pub ca_pem: Option<Vec<u8>>,
    /// Lets destinations lie in private networks and on this machine.
    pub dangerous_allow_private_addresses: bool,
    /// Where a virtual clock begins to stand; `None` for the system's clock.
    pub virtual_now: Option<Timestamp>,
    /// Profiles kept in memory, about 1 KiB each.
    pub profiles_in_memory_max: usize,
    /// How long is remembered what happened.
    pub records: RecordSettings,
}

/// How long the server remembers what it did, for people who ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordSettings {
    /// How long attempts are kept. Default 7 days.
    pub attempts_keep: Duration,
    /// Bytes of the attempt log of one destination; the oldest attempts make room. Default 64 MiB.
    pub attempts_bytes_max: u64,
    /// How long removals are kept that were acknowledged or cancelled; those that are owed stay.
    /// Default 400 days.
    pub removals_keep: Duration,
}

impl Default for RecordSettings {
    fn default() -> Self {
        const DAY: Duration = Duration::from_secs(86_400);
        Self {
            attempts_keep: 7 * DAY,
            attempts_bytes_max: 64 << 20,
            removals_keep: 400 * DAY,
        }
    }
}

/// Whole seconds, as times are counted in.
pub(crate) fn seconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_secs()).unwrap_or(i64::MAX)
}

/// Profiles kept in memory unless configured otherwise.
pub const PROFILES_IN_MEMORY: usize = 20_000;
