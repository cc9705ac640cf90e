//! Every bound of the receiver: what it takes from outside and what it keeps in memory.

use std::time::Duration;

/// Bytes of one request body; a larger one is answered 413.
pub const BODY_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Bytes of a request line and its headers; more is answered 431.
pub const HEADER_BYTES_MAX: usize = 64 * 1024;
/// Header fields of one request; more is answered 431.
pub const HEADERS_MAX: usize = 100;
/// Connections served at once; the next ones wait in the kernel's queue.
pub const CONNECTIONS_MAX: usize = 4_096;
/// Time for a TLS handshake.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// Time from the end of one request to the end of the next one's headers, so also the time a
/// connection may idle. Longer than senders keep idle connections, so that closing is theirs.
pub const HEADER_TIMEOUT: Duration = Duration::from_secs(75);
/// Time for the body of one request.
pub const BODY_TIMEOUT: Duration = Duration::from_secs(30);
/// Time that connections get to finish at shutdown.
pub const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);
/// Pause after a failed accept. It fails when file descriptors run out, which passes.
pub const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// Access tokens that are valid at once; the oldest gives way.
pub const TOKENS_MAX: usize = 10_000;
/// Body hashes remembered for finding duplicates; the oldest gives way.
pub const BODIES_REMEMBERED_MAX: usize = 1 << 18;
/// Segment states kept in memory when that is asked for; further new ones are only counted.
pub const STATES_MAX: usize = 5_000_000;
/// Received requests a subscriber may lag behind before it loses the oldest.
pub const SUBSCRIBER_QUEUE_MAX: usize = 1_024;
/// Longest delay or interval of a fault.
pub const FAULT_DURATION_MAX: Duration = Duration::from_secs(3_600);
/// Bytes of a TLS file.
pub const TLS_FILE_BYTES_MAX: u64 = 1024 * 1024;
