//! What goes into a dispatcher and what comes out of it.

use smallvec::SmallVec;
use std::time::Duration;
use tidings_model::{DataSourceId, DeviceUuid, FailurePolicy};

/// How one destination is to be told.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The namespaces it is told in, one message each.
    pub namespaces: Vec<DataSourceId>,
    /// User objects per message, at least 1.
    pub users_max: usize,
    /// How long a device may wait for company.
    pub linger: Duration,
    /// Attempts after the first.
    pub retries: u32,
    /// Pause before a retry.
    pub retry_delay: Duration,
    /// What becomes of devices whose message was given up.
    pub after_failure: FailurePolicy,
    /// Messages on their way at once, those waiting for their retry included; at least 1.
    pub in_flight_max: usize,
    /// Devices kept in memory; the rest stay in the pending set until there is room.
    pub waiting_max: usize,
    /// Sends nothing while set.
    pub paused: bool,
}

/// A pair of destination and device has something to tell in one namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hint {
    /// The device.
    pub uuid: DeviceUuid,
    /// The touch: rises with every change of the device that concerns the destination.
    pub seq: u64,
    /// The namespace.
    pub namespace: DataSourceId,
    /// How many user objects the device will be.
    pub objects: u16,
    /// The partner is owed a Status 0 about the device in this namespace.
    pub removal: bool,
}

/// What was taken from the profile of one device. `P` is a user object, ready to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken<P> {
    /// The device.
    pub uuid: DeviceUuid,
    /// The touch whose state this is.
    pub seq: u64,
    /// Its user objects; empty when there was nothing left to tell.
    pub objects: SmallVec<[P; 1]>,
    /// They hold a Status 0. Such a device is held when its message is given up, whatever
    /// [`Settings::after_failure`] says: a zero is owed until it was acknowledged.
    pub removal: bool,
}

/// Names a message from its first attempt to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MessageId(pub u64);

/// What a message is part of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Told because something happened.
    Realtime,
    /// Told in a batch.
    Batch,
}

/// How an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The destination answered with success.
    Acknowledged,
    /// It did not.
    Failed,
    /// It answered that it wants to be left alone for a while (429 or 503 with `Retry-After`): neither
    /// a retry nor anything new is sent before that, or before [`crate::QUIET_MAX`] is over.
    Busy {
        /// For how long.
        pause: Duration,
    },
    /// It refuses us rather than the message (401, 403, 404): nothing but probes is sent until that is
    /// put right, and nothing is dropped.
    Refused,
}

/// Why a message was given up, as far as that decides anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Failed,
    Refused,
}

/// What the caller is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action<P> {
    /// Build the user objects of these devices and answer with [`Dispatcher::taken`](crate::Dispatcher::taken).
    Take {
        /// What is to be built.
        kind: Kind,
        /// The namespace.
        namespace: DataSourceId,
        /// The devices: removals first, as a rule, then the oldest first.
        users: Vec<DeviceUuid>,
    },
    /// Make a message of these user objects, keep its bytes, attempt it and answer with
    /// [`Dispatcher::attempted`](crate::Dispatcher::attempted).
    Send {
        /// The message.
        message: MessageId,
        /// What it is part of.
        kind: Kind,
        /// The namespace.
        namespace: DataSourceId,
        /// The devices it tells about, each once.
        users: Vec<DeviceUuid>,
        /// Its user objects, in the order of the devices.
        objects: Vec<P>,
    },
    /// Attempt the message again with the bytes of the first attempt.
    Retry {
        /// The message.
        message: MessageId,
    },
    /// A message came to its end: its bytes may go. `users` are the devices for which it was the
    /// last one out.
    Settle {
        /// The message.
        message: MessageId,
        /// What it was part of.
        kind: Kind,
        /// The namespace.
        namespace: DataSourceId,
        /// Devices whose outcome is now known.
        users: Vec<SettledUser>,
    },
    /// Read a part of the pending set, from where the last part ended or, after its end, from its
    /// beginning, and answer with [`Dispatcher::hint`](crate::Dispatcher::hint) for each row, then
    /// [`Dispatcher::rescanned`](crate::Dispatcher::rescanned).
    Rescan,
    /// Read the next page of the set of changes since the last batch and answer with
    /// [`Dispatcher::batch_page`](crate::Dispatcher::batch_page).
    BatchPage {
        /// The page is the first one.
        first: bool,
    },
    /// Every device of the batch was told, or given up for this time.
    BatchDone,
}

/// Whether each user object of a device was acknowledged; it has hardly ever more than one.
pub type Acknowledged = SmallVec<[bool; 16]>;

/// The outcome for one device in one namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettledUser {
    /// The device.
    pub uuid: DeviceUuid,
    /// The touch that was told.
    pub seq: u64,
    /// Per user object, whether the message it was in succeeded.
    pub acknowledged: Acknowledged,
    /// What becomes of the device if not every one was: the policy of the destination, but a zero is
    /// never dropped, and nothing is because the destination refuses us.
    pub after_failure: FailurePolicy,
}

impl SettledUser {
    /// True when every user object was acknowledged.
    #[must_use]
    pub fn delivered(&self) -> bool {
        self.acknowledged.iter().all(|&acknowledged| acknowledged)
    }
}
