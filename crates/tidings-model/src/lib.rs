//! The vocabulary of tidings: ids, time, events, the catalog and the limits.
//!
//! Every other crate speaks these types. They are plain data: no I/O, no async, no wire or disk
//! format (those live in `tidings-wire`, `tidings-store` and the readers of files).
#![forbid(unsafe_code)]

pub mod catalog;
pub mod event;
pub mod export;
pub mod id;
pub mod limits;
mod plant;
#[cfg(planted)]
pub mod planted;
pub mod secret;
pub mod time;

pub use catalog::{
    Batch, Catalog, Cleanup, ClientCertificate, DataSource, DataSourceKind, Destination,
    FailurePolicy, HashName, Mapping, Method, Numbers, OAuth, OAuthCredentials, Segment, Signing,
    Status, TlsFiles, Trait, TraitKind, Unsegment, Unsynced, WireSettings,
};
pub use event::{AuthState, DeclaredId, Event, Signals};
pub use export::{ExportBlock, ExportUse, ExportUses};
pub use id::{DataSourceId, DestinationId, DeviceUuid, IdError, RegionId, SegmentId, TraitId};
pub use secret::SecretRef;
pub use time::{Millis, Timestamp, TimestampError, UtcDay};
