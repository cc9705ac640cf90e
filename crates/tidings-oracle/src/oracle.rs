//! The oracle: time and happenings in, messages out.

mod batches;
mod send_rules;
mod time;

use self::batches::Batches;
use crate::{Device, Features, Happening, Message, Version, What, lane::Lane};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};
use tidings_model::{DataSourceId, DestinationId, DeviceUuid, Event, SegmentId, Timestamp, UtcDay};

/// R5 fires when nothing was sent for this long.
const REFRESH_SECONDS: i64 = 3 * 86_400;
/// A device unseen for this long leaves everything.
const IDLE_SECONDS: i64 = 120 * 86_400;

/// What became of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Taken; this is its device.
    Accepted(DeviceUuid),
    /// Its event id came before; this is its device.
    Duplicate(DeviceUuid),
    /// It names what does not exist.
    Rejected,
}

/// Everything that is known, and the messages that left.
#[derive(Clone, Debug)]
pub struct Oracle {
    features: Features,
    version: Arc<Version>,
    now_ms: i64,
    /// The midnight that was dealt with last.
    midnight: UtcDay,
    /// The batches of each destination that gets them.
    batches: BTreeMap<DestinationId, Batches>,
    /// Devices that a batch found, in the order found, about which something is being told in real
    /// time, which comes first.
    put_off: BTreeMap<(DestinationId, DataSourceId), Vec<DeviceUuid>>,
    devices: BTreeMap<DeviceUuid, Device>,
    /// Every time an id was declared for a device, in order.
    declared: Vec<Declared>,
    lanes: BTreeMap<(DestinationId, DataSourceId), Lane>,
    order: u64,
    messages: Vec<Message>,
    /// The catalogs that were replaced since the process began, and when each was.
    replaced: Vec<(Arc<Version>, Timestamp)>,
    /// Destinations for which it has not been read yet what waits.
    unread: BTreeSet<DestinationId>,
}

#[derive(Clone, Debug)]
struct Declared {
    data_source: DataSourceId,
    id: Box<str>,
    uuid: DeviceUuid,
    time: Timestamp,
}

/// Why a device is evaluated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cause {
    /// It was seen.
    Seen,
    /// Time passed.
    Unseen,
    /// The catalog changed.
    Catalog,
    /// Its user asked for it.
    Asked,
}

impl Oracle {
    /// Nothing is known; the clock stands at `start`.
    #[must_use]
    pub fn new(features: Features, version: Arc<Version>, start: Timestamp) -> Self {
        Self {
            features,
            now_ms: start.0 * 1000,
            midnight: start.day(),
            batches: batches::from(&version, start),
            put_off: BTreeMap::new(),
            devices: BTreeMap::new(),
            declared: Vec::new(),
            lanes: BTreeMap::new(),
            order: 0,
            messages: Vec::new(),
            replaced: Vec::new(),
            unread: BTreeSet::new(),
            version,
        }
    }

    /// The clock.
    #[must_use]
    pub const fn now(&self) -> Timestamp {
        Timestamp(self.now_ms.div_euclid(1000))
    }

    /// The messages that left so far, in order.
    #[must_use]
    pub fn messages(&self) -> &[Message] {
        &self.messages
    }

    /// Whether anything waits to be sent, other than to destinations that are paused, or a batch is under
    /// way.
    #[must_use]
    pub fn has_to_send(&self) -> bool {
        if self.put_off.values().any(|devices| !devices.is_empty()) {
            return true;
        }
        let mut lanes = self.lanes.iter();
        lanes.any(|((to, _), lane)| !self.version.is_paused(*to) && !lane.is_empty())
    }

    /// The devices that anything is known about.
    pub fn devices(&self) -> impl Iterator<Item = (&DeviceUuid, &Device)> {
        self.devices.iter()
    }

    /// What is known about a device.
    #[must_use]
    pub fn device(&self, uuid: &DeviceUuid) -> Option<&Device> {
        self.devices.get(uuid)
    }

    /// The segments whose rules a device fulfils at an instant, whether or not it was evaluated
    /// then. Nothing may have happened after that instant.
    #[must_use]
    pub fn fulfils(&self, uuid: &DeviceUuid, at: Timestamp) -> BTreeSet<SegmentId> {
        let live = self.devices.get(uuid).map(|device| device.history.live(at));
        let live = live.unwrap_or_default();
        let segments = self.version.segments().map(|(segment, _)| segment);
        segments
            .filter(|segment| self.version.holds(*segment, at.day(), &live))
            .collect()
    }

    /// Lets time pass until the happening, then lets it happen. `new_uuid` names a new device.
    pub fn happen(
        &mut self,
        happening: &Happening,
        new_uuid: impl FnOnce() -> DeviceUuid,
    ) -> Option<Outcome> {
        self.run_until(happening.at);
        let outcome = match &happening.what {
            What::Event(event) => Some(self.event(event, new_uuid)),
            What::OptOut(uuid) => {
                self.opt_out(uuid);
                None
            }
            What::Delete(uuid) => {
                self.delete(uuid);
                None
            }
            What::Catalog(version) => {
                self.catalog(version);
                None
            }
            What::Restart => {
                self.restart();
                None
            }
            What::RestartWith(version) => {
                self.restart();
                self.catalog(version);
                // The run before is over: the catalog that it had tells nothing in this one.
                self.replaced.clear();
                None
            }
        };
        self.send_what_is_due();
        outcome
    }

    fn event(&mut self, event: &Event, new_uuid: impl FnOnce() -> DeviceUuid) -> Outcome {
        let version = Arc::clone(&self.version);
        let now = self.now();
        if !version.knows(event) {
            return Outcome::Rejected;
        }
        let known = event.uuid.clone().or_else(|| self.resolve(event));
        let uuid = known.unwrap_or_else(new_uuid);
        let device = self
            .devices
            .entry(uuid.clone())
            .or_insert_with(|| Device::new(Arc::clone(&version), now));
        if device.opted_out {
            return Outcome::Accepted(uuid);
        }
        if let Some(event_id) = &event.event_id
            && device.is_duplicate(event_id, now)
        {
            return Outcome::Duplicate(uuid);
        }
        let time = event.time.unwrap_or(now).min(now);
        device.last_seen = device.last_seen.max(time);
        device.is_erased = false;
        if let Some(region) = event.region {
            device.see_in(region);
        }
        let mut new_namespaces = BTreeSet::new();
        for declared in &event.ids {
            self.order += 1;
            if device.link(declared, time, self.order) {
                new_namespaces.insert(declared.data_source);
            }
            self.declared.push(Declared {
                data_source: declared.data_source,
                id: declared.id.clone(),
                uuid: uuid.clone(),
                time,
            });
        }
        for &id in &event.remove_traits {
            device.history.removed(now, id);
        }
        for id in version.realised_by(event) {
            device.history.realised(now, id, time);
        }
        // The event may tell of a sighting so long ago that it has run out already.
        let is_idle = self.features.idle && is_idle(&version, device.last_seen, now);
        if is_idle {
            device.history.erased(now);
        }
        self.evaluate(&uuid, Cause::Seen, &new_namespaces);
        if is_idle {
            self.erase(&uuid);
        }
        Outcome::Accepted(uuid)
    }

    /// The device of the event's first id that leads to one: the latest for which it was declared.
    fn resolve(&self, event: &Event) -> Option<DeviceUuid> {
        event.ids.iter().find_map(|id| {
            let same = |other: &&Declared| other.data_source == id.data_source && other.id == id.id;
            let latest = self.declared.iter().filter(same).max_by_key(|one| one.time);
            latest.map(|one| one.uuid.clone())
        })
    }

    fn opt_out(&mut self, uuid: &DeviceUuid) {
        let (version, now) = (Arc::clone(&self.version), self.now());
        let device = self
            .devices
            .entry(uuid.clone())
            .or_insert_with(|| Device::new(version, now));
        device.opted_out = true;
        if device.is_erased {
            device.forget_event_ids(now);
        }
        self.leave_everything(uuid, Cause::Asked);
        self.forget(uuid);
    }

    fn delete(&mut self, uuid: &DeviceUuid) {
        self.opt_out(uuid);
        let (version, now) = (Arc::clone(&self.version), self.now());
        if let Some(device) = self.devices.get_mut(uuid) {
            device.drop_zeros(&version, now);
            device.event_ids.clear();
        }
        self.erase(uuid);
    }

    fn erase(&mut self, uuid: &DeviceUuid) {
        let now = self.now();
        if let Some(device) = self.devices.get_mut(uuid) {
            device.erase(now);
        }
        self.forget(uuid);
        if self.features.links_end {
            self.declared.retain(|declared| declared.uuid != *uuid);
        }
    }

    fn leave_everything(&mut self, uuid: &DeviceUuid, cause: Cause) {
        let now = self.now();
        let Some(device) = self.devices.get_mut(uuid) else {
            return;
        };
        let left = std::mem::take(&mut device.members);
        if cause == Cause::Asked || !left.is_empty() {
            device.evaluated = now;
        }
        self.apply_send_rules(uuid, cause, &BTreeSet::new(), &left, &BTreeSet::new());
    }

    fn evaluate(
        &mut self,
        uuid: &DeviceUuid,
        cause: Cause,
        new_namespaces: &BTreeSet<DataSourceId>,
    ) {
        let (version, now) = (Arc::clone(&self.version), self.now());
        let Some(device) = self.devices.get_mut(uuid) else {
            return;
        };
        let (entered, left) = device.evaluate(&version, now);
        // A look at midnight that finds nothing new is no evaluation.
        if cause != Cause::Unseen || !entered.is_empty() || !left.is_empty() {
            device.evaluated = now;
        }
        self.apply_send_rules(uuid, cause, &entered, &left, new_namespaces);
        self.forget(uuid);
    }
}

/// Whether a cleanup has found a device unseen for too long by now. There is one at the midnight of
/// every so many days, counted from a Monday.
fn is_idle(version: &Version, last_seen: Timestamp, now: Timestamp) -> bool {
    let is_cleanup = |day: &UtcDay| (day.0 - 4) % i32::from(version.catalog.cleanup.days) == 0;
    let mut days =
        (0..i32::from(version.catalog.cleanup.days)).map(|ago| now.day().plus_days(-ago));
    let last_cleanup = days.find(is_cleanup);
    last_cleanup.is_some_and(|day| day.start().seconds_since(last_seen) >= IDLE_SECONDS)
}
