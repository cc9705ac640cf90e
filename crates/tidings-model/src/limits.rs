//! Every bound in one place: what is accepted from outside, and what is kept in memory.

use std::time::Duration;

/// Digits of a device id.
pub const UUID_DIGITS_MAX: usize = 64;
/// Bytes of a declared id.
pub const DECLARED_ID_BYTES_MAX: usize = 512;
/// Declared ids of one event.
pub const EVENT_IDS_MAX: usize = 10;
/// Declared ids of one event in one namespace.
pub const EVENT_IDS_PER_DATA_SOURCE_MAX: usize = 3;
/// Signals (pairs of key and value) of one event.
pub const EVENT_SIGNALS_MAX: usize = 1_000;
/// Bytes of a signal's key.
pub const SIGNAL_KEY_BYTES_MAX: usize = 256;
/// Bytes of a signal's value.
pub const SIGNAL_VALUE_BYTES_MAX: usize = 8 * 1024;
/// Traits named in `traits`, and likewise in `remove_traits`.
pub const EVENT_TRAITS_MAX: usize = 1_000;
/// Bytes of an event id.
pub const EVENT_ID_BYTES_MAX: usize = 128;
/// Bytes of one request to the event API.
pub const EVENTS_BODY_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Events of one request to the event API.
pub const EVENTS_PER_REQUEST_MAX: usize = 10_000;
/// Nesting of JSON that is accepted.
pub const JSON_DEPTH_MAX: usize = 64;
/// Bytes of a privacy request document.
pub const PRIVACY_REQUEST_BYTES_MAX: usize = 1024 * 1024;
/// Users of a privacy request document.
pub const PRIVACY_USERS_MAX: usize = 1_000;
/// Ids of a privacy request document, of all its users together.
pub const PRIVACY_IDS_MAX: usize = 1_000;
/// Bytes of what one answer to a privacy request document tells about people.
pub const PRIVACY_ANSWER_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Events waiting for the engine before a request is refused with 429.
pub const EVENTS_QUEUED_MAX: usize = 50_000;

/// Ids linked to one device in one namespace; the oldest link gives way.
pub const LINKS_PER_DATA_SOURCE_MAX: usize = 10;
/// Devices linked to one declared id; the oldest link gives way.
pub const DEVICES_PER_ID_MAX: usize = 100;
/// Ids kept in one profile, linked ones and ones that a partner still has to be told about.
pub const PROFILE_IDS_MAX: usize = 1_000;
/// Realised traits of one profile; the one realised longest ago gives way.
pub const PROFILE_TRAITS_MAX: usize = 150_000;
/// Regions of one profile.
pub const PROFILE_REGIONS_MAX: usize = 16;
/// Event ids remembered in one profile within the duplicate window.
pub const PROFILE_EVENT_IDS_MAX: usize = 256;
/// How long an event id is remembered.
pub const EVENT_ID_WINDOW_SECONDS: i64 = 24 * 3600;

/// Characters of a name in the catalog.
pub const NAME_CHARS_MAX: usize = 255;
/// Bytes of a trait rule or segment expression.
pub const RULE_BYTES_MAX: usize = 1024 * 1024;
/// Nesting of parentheses and NOT in a rule.
pub const RULE_DEPTH_MAX: usize = 256;
/// Folders within folders.
pub const FOLDER_DEPTH_MAX: usize = 5;
/// Traits in one segment expression.
pub const SEGMENT_TRAITS_MAX: usize = 5_000;
/// Days from one cleanup of unseen devices to the next.
pub const CLEANUP_DAYS_MAX: u8 = 30;
/// Rule-based traits of a catalog; onboarded ones; third-party ones: unless the catalog sets it.
pub const TRAITS_PER_KIND_DEFAULT: u32 = 100_000;
/// The highest that a catalog may set for the traits of a kind.
pub const TRAITS_PER_KIND_MAX: u32 = 1_000_000;
/// Folders of traits in a catalog, unless it sets that.
pub const FOLDERS_DEFAULT: u32 = 2_000;
/// The highest that a catalog may set for folders of traits.
pub const FOLDERS_MAX: u32 = 20_000;
/// Segments of a catalog, unless it sets that.
pub const SEGMENTS_DEFAULT: u32 = 20_000;
/// The highest that a catalog may set for segments.
pub const SEGMENTS_MAX: u32 = 200_000;
/// Destinations of a catalog, unless it sets that.
pub const DESTINATIONS_DEFAULT: u32 = 100;
/// The highest that a catalog may set for destinations.
pub const DESTINATIONS_MAX: u32 = 1_000;
/// Bytes of a catalog file.
pub const CATALOG_BYTES_MAX: usize = 256 * 1024 * 1024;

/// User objects of one message.
pub const USERS_PER_MESSAGE_MAX: u32 = 1_000;
/// The longest that a user may wait for company in a message.
pub const LINGER_MAX: Duration = Duration::from_secs(60);
/// Bytes of path and query of a GET request: what servers take as a rule.
pub const REQUEST_TARGET_BYTES_MAX: usize = 8 * 1024;
/// Bytes read of a partner's response.
pub const RESPONSE_BYTES_MAX: usize = 64 * 1024;
/// Users of one destination whose turn is kept in memory; the rest wait on disk.
pub const HINTS_PER_DESTINATION_MAX: usize = 20_000;
/// Requests of one destination in flight at once.
pub const IN_FLIGHT_PER_DESTINATION_MAX: usize = 32;
