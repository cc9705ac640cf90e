//! Opt-out and deletion, by device and by declared id.
//!
//! Invariants: the flag of a declared id is written in the step in which its devices change, so either
//! both are durable or neither; zeros are owed before links go, so partners can still be told. The flag
//! outlives the links, and is never taken back.

use super::{
    Change, Changes, Core, DestinationHint, Rows,
    links::{known_id, newest},
    load,
};
use std::collections::BTreeMap;
use tidings_collect::{Subject, Submitted};
use tidings_engine::{
    CompiledDestination, Moment, Profile,
    why::{Answer, MappingState},
};
use tidings_model::{DestinationId, DeviceUuid, Event, SegmentId};

/// What somebody asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PrivacyRequest {
    /// Nothing more is collected; what is stored stays. By a declared id: of the id and of the device
    /// that was linked to it last.
    OptOut,
    /// As an opt-out, and what is stored goes. By a declared id: of all devices that are linked to it.
    Delete,
}

/// What a request came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PrivacyReport {
    /// The devices that it was about, the newest link last.
    pub devices: Vec<DeviceUuid>,
    /// Per destination that knew of a membership.
    pub destinations: BTreeMap<DestinationId, Told>,
}

/// How a destination hears of a request, as pairs of device and segment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// Memberships that the partner may know of.
    pub known: u64,
    /// Those of which a Status 0 is owed from now on, or was before.
    pub owed: u64,
    /// Those that its next batch ends.
    pub in_batch: u64,
    /// Those of which it is not told: by segment and the stable name of the reason.
    pub not_told: BTreeMap<(SegmentId, &'static str), u64>,
}

impl Core {
    /// Does what is asked for one subject.
    ///
    /// A declared id that leads to no device is flagged all the same, so that a device that comes with
    /// it later inherits the opt-out.
    ///
    /// # Errors
    /// As [`Core::submit`].
    pub fn privacy<R: Rows>(
        &mut self,
        moment: Moment,
        request: PrivacyRequest,
        subject: &Subject,
        rows: &R,
        changes: &mut impl Changes,
        mut hint: impl FnMut(DestinationHint),
    ) -> Result<PrivacyReport, R::Error> {
        let devices = match subject {
            Subject::Device(uuid) => vec![uuid.clone()],
            Subject::Id { data_source, id } => {
                let key = (*data_source, id.clone());
                let known = known_id(&mut self.links, &key, rows)?;
                let devices: Vec<_> = match request {
                    PrivacyRequest::OptOut => {
                        let (links, catalog) = (&known.links, &self.catalog.compiled);
                        let newest = newest(moment, catalog, links, &mut self.profiles, rows)?;
                        newest.into_iter().collect()
                    }
                    PrivacyRequest::Delete => {
                        let links = known.links.iter();
                        links.map(|link| link.uuid.clone()).collect()
                    }
                };
                if !known.opted_out {
                    known.opted_out = true;
                    changes.put_opt_out(rows.opt_out_mark(key.0, &key.1));
                }
                devices
            }
        };
        let change = match request {
            PrivacyRequest::OptOut => Change::OptOut,
            PrivacyRequest::Delete => Change::Delete,
        };
        let mut report = PrivacyReport::default();
        for uuid in &devices {
            let mut before = known(&load(&mut self.profiles, uuid, rows)?.profile);
            for ((destination, ..), flight) in self.flights.get(uuid).into_iter().flatten() {
                for &segment in &flight.ones {
                    before.entry((*destination, segment)).or_default().messages = true;
                }
            }
            self.change(moment, change, uuid, rows, changes, &mut hint)?;
            let after = &load(&mut self.profiles, uuid, rows)?.profile;
            let mut memberships = known(after);
            memberships.extend(before);
            for ((destination, segment), how) in memberships {
                let compiled = self.catalog.compiled.destination(destination);
                let told = report.destinations.entry(destination).or_default();
                told.count(moment, compiled, after, segment, how);
            }
        }
        report.devices = devices;
        Ok(report)
    }

    /// Whether the catalog has the subject's namespace: an id of another would be flagged in vain.
    #[must_use]
    pub fn knows(&self, subject: &Subject) -> bool {
        match subject {
            Subject::Device(_) => true,
            Subject::Id { data_source, .. } => self.catalog.compiled.has_data_source(*data_source),
        }
    }

    /// Somebody opts out among the events.
    ///
    /// # Errors
    /// As [`Core::submit`].
    pub fn submit_opt_out<R: Rows>(
        &mut self,
        moment: Moment,
        subject: &Subject,
        rows: &R,
        changes: &mut impl Changes,
        hint: impl FnMut(DestinationHint),
    ) -> Result<Submitted, R::Error> {
        if let Subject::Id { data_source, .. } = subject
            && !self.knows(subject)
        {
            return Ok(Submitted::Rejected {
                code: "unknown_data_source",
                message: format!("id.data_source: there is no data source {data_source}"),
            });
        }
        self.privacy(moment, PrivacyRequest::OptOut, subject, rows, changes, hint)?;
        Ok(Submitted::OptedOut(match subject {
            Subject::Device(uuid) => Some(uuid.clone()),
            Subject::Id { .. } => None,
        }))
    }

    /// What becomes of an event that names a declared id which opted out: nothing is collected. A
    /// device that was not linked to the id inherits the opt-out; one that was stays as it is, since an
    /// opt-out by a declared id is about the newest device alone. `None` when no id of it opted out.
    pub(super) fn declined<R: Rows>(
        &mut self,
        event: &Event,
        uuid: Option<&DeviceUuid>,
        rows: &R,
    ) -> Result<Option<Declined>, R::Error> {
        let mut declined = None;
        for declared in &event.ids {
            let key = (declared.data_source, declared.id.clone());
            let known = known_id(&mut self.links, &key, rows)?;
            if !known.opted_out {
                continue;
            }
            let inherits = uuid.is_some_and(|uuid| known.links.iter().all(|l| l.uuid != *uuid));
            if inherits {
                return Ok(Some(Declined::Inherited));
            }
            declined = Some(Declined::Ignored);
        }
        Ok(declined)
    }

    /// Whether a device has opted out.
    pub(super) fn has_opted_out<R: Rows>(
        &mut self,
        uuid: &DeviceUuid,
        rows: &R,
    ) -> Result<bool, R::Error> {
        Ok(load(&mut self.profiles, uuid, rows)?.profile.opted_out)
    }
}

/// What becomes of an event that names a declared id which opted out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Declined {
    /// It is not collected.
    Ignored,
    /// It is not collected, and its device opts out too.
    Inherited,
}

/// From where a partner knows of a membership.
#[derive(Clone, Copy, Debug, Default)]
struct KnownBy {
    messages: bool,
    batches: bool,
}

/// The memberships that partners may know of, less what is on its way.
fn known(profile: &Profile) -> BTreeMap<(DestinationId, SegmentId), KnownBy> {
    let mut known: BTreeMap<_, KnownBy> = BTreeMap::new();
    for state in &profile.destinations {
        let owed = state.owed.iter().map(|zero| zero.segment);
        for segment in state.told.iter().copied().chain(owed) {
            known.entry((state.id, segment)).or_default().messages = true;
        }
        let baselines = state.batch.baselines.iter();
        for &segment in baselines.flat_map(|baseline| &baseline.segments) {
            known.entry((state.id, segment)).or_default().batches = true;
        }
    }
    known
}

impl Told {
    fn count(
        &mut self,
        moment: Moment,
        destination: Option<&CompiledDestination>,
        after: &Profile,
        segment: SegmentId,
        by: KnownBy,
    ) {
        self.known += 1;
        let sent = destination.is_some_and(|d| d.delivers(segment, moment.now));
        let state = destination.and_then(|d| after.destination(d.id));
        let owes = |state: &tidings_engine::DestinationState| {
            state.owed.iter().any(|zero| zero.segment == segment)
        };
        let in_batch = by.batches && state.is_some_and(|state| state.batch.marked.is_some());
        if sent && state.is_some_and(owes) {
            self.owed += 1;
        } else if sent && in_batch {
            self.in_batch += 1;
        } else {
            let reason = why_not(moment, destination, segment);
            *self.not_told.entry((segment, reason)).or_default() += 1;
        }
    }
}

/// Why a destination is not told of a membership that it may know of.
fn why_not(
    moment: Moment,
    destination: Option<&CompiledDestination>,
    segment: SegmentId,
) -> &'static str {
    let Some(destination) = destination else {
        return "not_in_catalog";
    };
    if !destination.supports_unsegment {
        return "takes_no_zeros";
    }
    match destination.state_of(segment, moment.now) {
        None => Answer::NotMapped.code(),
        // There is no id left that it was told under.
        Some(MappingState::Deliverable) => Answer::NoId.code(),
        Some(state) => Answer::Undeliverable(state).code(),
    }
}
