//! Bounds that only this reader needs; those shared with other crates are in `tidings_model::limits`.

use std::time::Duration;

/// Nesting of mappings and sequences in a catalog file; a correct one needs five levels.
pub const DEPTH_MAX: usize = 64;
/// Keys and values of a catalog file. The tree of them takes 20 bytes for each.
pub const NODES_MAX: usize = 16_000_000;
/// Bytes of a catalog file in JSON form. The YAML parser holds all of it back until its last brace,
/// which takes 40 bytes of memory for each byte of text; the block form of YAML takes five.
pub const JSON_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Faults listed, and likewise warnings; further ones are only counted.
pub const FAULTS_MAX: usize = 1_000;

/// Data sources of a catalog.
pub const DATA_SOURCES_MAX: usize = 10_000;
/// Days of a trait's time-to-live: a hundred years.
pub const TTL_DAYS_MAX: u32 = 36_500;
/// Time-to-live of a trait that names none, in days.
pub const TTL_DAYS_DEFAULT: u32 = 120;

/// Namespaces of one destination.
pub const ID_DATA_SOURCES_MAX: usize = 100;
/// Mappings of one destination.
pub const MAPPINGS_MAX: usize = tidings_model::limits::SEGMENTS_MAX as usize;
/// Signature headers of one destination. Rotating a key takes two.
pub const SIGNING_MAX: usize = 8;
/// Success codes of one destination: every one there is.
pub const SUCCESS_CODES_MAX: usize = 500;
/// Bytes of a URL.
pub const URL_BYTES_MAX: usize = 2_048;
/// Bytes of a header name.
pub const HEADER_BYTES_MAX: usize = 64;
/// Bytes of a secret written as `plain:`, of an environment variable's name, or of a path.
pub const SECRET_BYTES_MAX: usize = 8_192;
/// The longest deadline of one attempt.
pub const TIMEOUT_MAX: Duration = Duration::from_secs(60);
/// Attempts after the first.
pub const RETRIES_MAX: u32 = 10;
/// The longest pause before a retry.
pub const RETRY_DELAY_MAX: Duration = Duration::from_secs(60);
/// The shortest time between two batches of one destination.
pub const BATCH_EVERY_MIN: Duration = Duration::from_secs(24 * 3600);
/// The longest time between two batches of one destination.
pub const BATCH_EVERY_MAX: Duration = Duration::from_secs(366 * 24 * 3600);
