//! What happens, in order: the input of the oracle and of whatever is compared with it.

use crate::{Features, Version};
use std::sync::Arc;
use tidings_model::{DeviceUuid, Event, Timestamp};

/// Something that happens at an instant of the clock.
#[derive(Clone, Debug)]
pub struct Happening {
    /// The clock. An event's own `time` may lie before it.
    pub at: Timestamp,
    /// What.
    pub what: What,
}

/// What happens.
#[derive(Clone, Debug)]
pub enum What {
    /// An event of a device.
    Event(Box<Event>),
    /// A device opts out.
    OptOut(DeviceUuid),
    /// A device is deleted.
    Delete(DeviceUuid),
    /// The catalog is replaced.
    Catalog(Arc<Version>),
    /// The process ends and starts again with what it wrote, if nothing waits to be sent. Nobody else
    /// may notice.
    Restart,
    /// As `Restart`, and the catalog was replaced meanwhile. If something waits to be sent, the process
    /// does not end, and the catalog is replaced.
    RestartWith(Arc<Version>),
}

impl What {
    /// The catalog that takes the place of the one in use.
    #[must_use]
    pub const fn catalog(&self) -> Option<&Arc<Version>> {
        match self {
            Self::Catalog(version) | Self::RestartWith(version) => Some(version),
            Self::Event(_) | Self::OptOut(_) | Self::Delete(_) | Self::Restart => None,
        }
    }

    /// Whether the process ends and starts again.
    #[must_use]
    pub const fn is_restart(&self) -> bool {
        matches!(self, Self::Restart | Self::RestartWith(_))
    }
}

/// A catalog and what happens under it.
#[derive(Clone, Debug)]
pub struct Case {
    /// The parts of the protocol at work.
    pub features: Features,
    /// The catalog at the start.
    pub version: Arc<Version>,
    /// When the clock starts.
    pub start: Timestamp,
    /// In order of time.
    pub happenings: Vec<Happening>,
    /// When the clock stops.
    pub end: Timestamp,
}
