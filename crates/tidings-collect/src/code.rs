//! The stable codes of refusals. Clients compare them, so a code is never renamed or reused.

/// The text is not JSON.
pub const INVALID_JSON: &str = "invalid_json";
/// JSON nested deeper than [`tidings_model::limits::JSON_DEPTH_MAX`].
pub const TOO_DEEP: &str = "too_deep";
/// The JSON value is not an object, so it is not an event.
pub const INVALID_EVENT: &str = "invalid_event";
/// A member that events do not have. Refused, since a misspelt member would lose data silently.
pub const UNKNOWN_FIELD: &str = "unknown_field";
/// A member that is given twice.
pub const DUPLICATE_FIELD: &str = "duplicate_field";
/// `uuid` is not a device id.
pub const INVALID_UUID: &str = "invalid_uuid";
/// `time` is not an RFC 3339 instant.
pub const INVALID_TIME: &str = "invalid_time";
/// `time` lies in the future.
pub const TIME_IN_FUTURE: &str = "time_in_future";
/// A line of a file has no `time`.
pub const MISSING_TIME: &str = "missing_time";
/// `region` is not a region id.
pub const INVALID_REGION: &str = "invalid_region";
/// A signal's key or value is not one.
pub const INVALID_SIGNALS: &str = "invalid_signals";
/// More signals than an event may have.
pub const TOO_MANY_SIGNALS: &str = "too_many_signals";
/// A member of `traits` or `remove_traits` is not a trait id.
pub const INVALID_TRAIT: &str = "invalid_trait";
/// More traits than an event may name.
pub const TOO_MANY_TRAITS: &str = "too_many_traits";
/// A declared id is not one, or has not the form that its data source demands.
pub const INVALID_ID: &str = "invalid_id";
/// The data source of a declared id is not one.
pub const INVALID_DATA_SOURCE: &str = "invalid_data_source";
/// The authentication state of a declared id is not 0, 1 or 2.
pub const INVALID_STATE: &str = "invalid_state";
/// More declared ids than an event may carry, in all or in one namespace.
pub const TOO_MANY_IDS: &str = "too_many_ids";
/// `event_id` is not one.
pub const INVALID_EVENT_ID: &str = "invalid_event_id";
/// Something is asked for that does not exist, or not here.
pub const INVALID_COMMAND: &str = "invalid_command";
/// Something is asked for that only the admin side may be asked for.
pub const NOT_ALLOWED: &str = "not_allowed";

/// The request has no events in it.
pub const EMPTY_BODY: &str = "empty_body";
/// More bytes than a request may have.
pub const BODY_TOO_LARGE: &str = "body_too_large";
/// More events than a request may have.
pub const TOO_MANY_EVENTS: &str = "too_many_events";
/// The body broke off or could not be read.
pub const BROKEN_BODY: &str = "broken_body";
/// The body came too slowly.
pub const BODY_TIMEOUT: &str = "body_timeout";
/// The body is not what `Content-Encoding` says.
pub const INVALID_ENCODING: &str = "invalid_encoding";
/// A `Content-Type` that the call does not take.
pub const UNSUPPORTED_MEDIA_TYPE: &str = "unsupported_media_type";
/// A `Content-Encoding` that the call does not take.
pub const UNSUPPORTED_ENCODING: &str = "unsupported_encoding";
/// The queue of events is full; try again later.
pub const QUEUE_FULL: &str = "queue_full";
/// The service cannot take the request now; try again later.
pub const UNAVAILABLE: &str = "unavailable";
/// There is nothing at this path.
pub const NOT_FOUND: &str = "not_found";
/// The path does not take this method.
pub const METHOD_NOT_ALLOWED: &str = "method_not_allowed";
/// A fault of ours.
pub const INTERNAL: &str = "internal";
