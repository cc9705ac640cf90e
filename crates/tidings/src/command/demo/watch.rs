//! What can be seen from outside of the server: what visitors did, and what partners came to know.
//!
//! Latency is measured between the two, for each user object of a message that tells its partner
//! something new: from the moment the event that brought the news about was handed to the connection
//! to the server, to the moment the partner had read the message in full. So it holds everything in
//! between: reading the event, evaluating it, making it durable, waiting for company, TLS, signing.
//! Of several news in one user object the oldest counts. Messages that only repeat what a partner
//! knows are not measured.
//!
//! Which event brought the news about is found by applying visitors' events here as well, to
//! profiles of our own: it is the one at which the device entered or left the segment, or the one
//! that declared the partner's id if that came later. Nothing of the server is asked for it.

use hdrhistogram::Histogram;
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant, SystemTime},
};
use tidings_engine::{CompiledCatalog, Engine, MappingChanges, Moment, Profile};
use tidings_model::{Catalog, DeviceUuid, Event, SegmentId, Timestamp};
use tidings_receiver::Received;
use tidings_wire::{Message, MessageUser, Status};

/// Watches visitors and partners. Each call holds one lock for microseconds.
#[derive(Debug)]
pub(crate) struct Watch {
    catalog: CompiledCatalog,
    seen: Mutex<Seen>,
}

/// Something that happened, in the words of the catalog.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Happening {
    /// The device's id.
    pub(crate) device: String,
    /// Names of segments.
    pub(crate) entered: Vec<Arc<str>>,
    /// Names of segments.
    pub(crate) left: Vec<Arc<str>>,
    /// Name of the partner that was told.
    pub(crate) partner: Arc<str>,
    /// The device's id with that partner.
    pub(crate) id: String,
    /// From the event to the partner.
    pub(crate) latency: Duration,
}

/// How long news took to reach a partner; `None` while there was none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Latency {
    pub(crate) p50: Duration,
    pub(crate) p99: Duration,
    pub(crate) max: Duration,
}

#[derive(Debug)]
struct Seen {
    engine: Engine,
    devices: HashMap<DeviceUuid, Device>,
    partners: Vec<Partner>,
    latest: Option<Happening>,
}

/// What a visitor did.
#[derive(Debug, Default)]
struct Device {
    profile: Profile,
    /// When its id with a partner was declared; visitors have at most one.
    synced: Option<Instant>,
    changes: Vec<Change>,
}

/// When a device last entered and left a segment.
#[derive(Debug)]
struct Change {
    segment: SegmentId,
    entered: Option<Instant>,
    left: Option<Instant>,
}

/// What a partner knows.
#[derive(Debug)]
struct Partner {
    name: Arc<str>,
    /// The segments mapped to it, under the text that it is told.
    segments: HashMap<String, (SegmentId, Arc<str>)>,
    /// Segments that are active, per id of its own.
    active: HashMap<Box<str>, Vec<SegmentId>>,
    /// In microseconds.
    latencies: Histogram<u64>,
}

/// The longest latency that is told from longer ones.
const LATENCY_MAX: Duration = Duration::from_secs(600);

impl Watch {
    /// Partners are numbered as the catalog's destinations are.
    pub(crate) fn new(catalog: &Catalog) -> anyhow::Result<Self> {
        let micros = u64::try_from(LATENCY_MAX.as_micros())?;
        let mut partners = Vec::new();
        for destination in &catalog.destinations {
            let segments = destination.mappings.iter().map(|mapping| {
                let id = mapping.segment;
                let text = mapping.value.clone().unwrap_or_else(|| id.to_string());
                let segment = catalog.segments.iter().find(|segment| segment.id == id);
                let name = segment.map_or_else(|| text.clone(), |segment| segment.name.clone());
                (text, (id, name.into()))
            });
            partners.push(Partner {
                name: destination.name.as_str().into(),
                segments: segments.collect(),
                active: HashMap::new(),
                latencies: Histogram::new_with_bounds(1, micros, 3)?,
            });
        }
        Ok(Self {
            catalog: CompiledCatalog::compile(catalog, 1, MappingChanges::default())?,
            seen: Mutex::new(Seen {
                engine: Engine::new(),
                devices: HashMap::new(),
                partners,
                latest: None,
            }),
        })
    }

    /// Events are about to be sent, in this order.
    pub(crate) fn sent(&self, events: &[Event], at: Instant) {
        let elapsed = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
        let moment = Moment {
            now: Timestamp(i64::try_from(elapsed.as_secs()).unwrap_or(i64::MAX)),
            seq: 1,
            epoch: 1,
        };
        let mut seen = self.seen();
        let Seen {
            engine, devices, ..
        } = &mut *seen;
        for event in events {
            let Some(uuid) = &event.uuid else { continue };
            let device = devices.entry(uuid.clone()).or_default();
            if !event.ids.is_empty() {
                device.synced = Some(at);
            }
            let profile = &mut device.profile;
            let nothing_in_flight = |_, _| false;
            let applied = engine.apply(moment, &self.catalog, profile, event, nothing_in_flight);
            let (_, effects) = applied;
            for &segment in &effects.entered {
                change(&mut device.changes, segment).entered = Some(at);
            }
            for &segment in &effects.left {
                change(&mut device.changes, segment).left = Some(at);
            }
        }
    }

    /// A partner has read a request and is about to answer it.
    pub(crate) fn received(&self, partner: usize, received: &Received) {
        if received.valid
            && received.status == 200
            && let Some(message) = &received.message
        {
            self.told(partner, message, received.instant);
        }
    }

    fn told(&self, partner: usize, message: &Message, at: Instant) {
        let mut seen = self.seen();
        let Seen {
            partners,
            devices,
            latest,
            ..
        } = &mut *seen;
        let Some(partner) = partners.get_mut(partner) else {
            return;
        };
        for user in &message.users {
            let device = user.aam_uuid.parse::<DeviceUuid>().ok();
            let device = device.and_then(|uuid| devices.get(&uuid));
            if let Some(happening) = partner.learn(user, device, at) {
                *latest = Some(happening);
            }
        }
    }

    /// The last thing that happened, once.
    pub(crate) fn take_latest(&self) -> Option<Happening> {
        self.seen().latest.take()
    }

    /// Devices that were seen.
    pub(crate) fn devices(&self) -> usize {
        self.seen().devices.len()
    }

    /// How long it took a partner to be told, since the start.
    pub(crate) fn latency(&self, partner: usize) -> Option<Latency> {
        let seen = self.seen();
        let latencies = &seen.partners.get(partner)?.latencies;
        let at = |quantile| Duration::from_micros(latencies.value_at_quantile(quantile));
        (!latencies.is_empty()).then(|| Latency {
            p50: at(0.5),
            p99: at(0.99),
            max: Duration::from_micros(latencies.max()),
        })
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        // What it guards only serves to be shown.
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Partner {
    /// Takes in what a user object tells; gives what of it is new.
    fn learn(
        &mut self,
        user: &MessageUser,
        device: Option<&Device>,
        at: Instant,
    ) -> Option<Happening> {
        let id = user.data_partner_uuid.as_str();
        if !self.active.contains_key(id) {
            self.active.insert(id.into(), Vec::new());
        }
        let active = self.active.get_mut(id)?;
        let mut happening = Happening::default();
        let mut oldest_cause: Option<Instant> = None;
        for told in &user.segments {
            let Some((segment, name)) = self.segments.get(&told.segment_id) else {
                continue;
            };
            let is_active = told.status == Status::Active;
            let known = active.iter().position(|other| other == segment);
            match (known, is_active) {
                (None, true) => {
                    active.push(*segment);
                    happening.entered.push(Arc::clone(name));
                }
                (Some(known), false) => {
                    active.swap_remove(known);
                    happening.left.push(Arc::clone(name));
                }
                _ => continue,
            }
            let cause = device.and_then(|device| device.cause(*segment, is_active));
            oldest_cause = cause.into_iter().chain(oldest_cause).min();
        }
        let latency = at.saturating_duration_since(oldest_cause?);
        let micros = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
        self.latencies.saturating_record(micros);
        Some(Happening {
            device: user.aam_uuid.clone(),
            partner: Arc::clone(&self.name),
            id: id.to_owned(),
            latency,
            ..happening
        })
    }
}

impl Device {
    /// When the event was sent because of which a partner is told this.
    fn cause(&self, segment: SegmentId, is_active: bool) -> Option<Instant> {
        let mut changes = self.changes.iter();
        let change = changes.find(|change| change.segment == segment)?;
        if is_active {
            change.entered.max(self.synced)
        } else {
            change.left
        }
    }
}

fn change(changes: &mut Vec<Change>, segment: SegmentId) -> &mut Change {
    let known = changes.iter().position(|change| change.segment == segment);
    let at = known.unwrap_or_else(|| {
        changes.push(Change {
            segment,
            entered: None,
            left: None,
        });
        changes.len() - 1
    });
    changes.get_mut(at).expect("found or pushed just above")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::demo::shop;
    use tidings_model::{AuthState, DataSourceId, DeclaredId, Signals};
    use tidings_wire::MessageSegment;

    const UUID: &str = "07955261652886032950143702505894272138";

    /// Plays a scene of `second: what` lines: events `key=value`, `sync`, and messages to the DSP
    /// as `+segment` and `-segment`. Shows what the watcher says about each message.
    #[track_caller]
    fn check(scene: &str, expected: &[&str]) {
        let watch = Watch::new(&shop::catalog().unwrap()).unwrap();
        let start = Instant::now();
        let mut said = Vec::new();
        for line in scene.split("; ") {
            let (second, what) = line.split_once(": ").unwrap();
            let at = start + Duration::from_secs(second.parse().unwrap());
            if what.starts_with(['+', '-']) {
                watch.told(0, &message(what), at);
                let words = watch.take_latest().map(|h| {
                    let secs = h.latency.as_secs();
                    format!(
                        "in {} out {} {secs} s",
                        h.entered.join("+"),
                        h.left.join("+")
                    )
                });
                said.push(words.unwrap_or_else(|| "nothing new".to_owned()));
            } else {
                watch.sent(&[event(what)], at);
            }
        }
        assert_eq!(said, expected);
    }

    fn event(what: &str) -> Event {
        let mut event = Event {
            uuid: Some(UUID.parse().unwrap()),
            ..Event::default()
        };
        let mut signals = Signals::default();
        match what.split_once('=') {
            Some((key, value)) => assert!(signals.push(key, value)),
            None => event.ids.push(DeclaredId {
                data_source: DataSourceId(31_003),
                id: "uid-1".into(),
                state: AuthState::Unknown,
            }),
        }
        event.signals = signals;
        event
    }

    fn message(what: &str) -> Message {
        let segments = what.split(' ').map(|segment| {
            let (is_active, id) = match segment.strip_prefix('+') {
                Some(id) => (true, id),
                None => (false, segment.strip_prefix('-').unwrap()),
            };
            MessageSegment {
                segment_id: id.to_owned(),
                status: if is_active {
                    Status::Active
                } else {
                    Status::Inactive
                },
                date_time: 0,
            }
        });
        Message {
            process_time: 0,
            user_dpid: Some(31_003),
            client_id: "74323".to_owned(),
            destination_id: "423".to_owned(),
            users: vec![MessageUser {
                aam_uuid: UUID.to_owned(),
                data_partner_uuid: "uid-1".to_owned(),
                regions: Vec::new(),
                segments: segments.collect(),
            }],
        }
    }

    #[test]
    fn news_count_from_the_event_that_made_them() {
        check(
            "0: sync; 1: action=cart; 2: page=home; 4: +2001; 5: action=buy; 7: -2001",
            &["in Open cart out  3 s", "in  out Open cart 2 s"],
        );
    }

    #[test]
    fn news_count_from_the_sync_that_came_later() {
        check(
            "0: action=cart; 5: sync; 6: +2001",
            &["in Open cart out  1 s"],
        );
    }

    #[test]
    fn the_oldest_of_several_news_counts() {
        check(
            "0: sync; 1: page=product; 2: action=cart; 4: +2001 +2004",
            &["in Open cart+Just looking out  3 s"],
        );
    }

    #[test]
    fn what_is_known_is_no_news() {
        check(
            "0: sync; 1: action=cart; 2: +2001; 3: +2001; 4: -2002; 5: +no-such-segment",
            &[
                "in Open cart out  1 s",
                "nothing new",
                "nothing new",
                "nothing new",
            ],
        );
    }
}
