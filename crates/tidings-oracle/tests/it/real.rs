//! The real system in a dry run, seen as the oracle sees itself: what left, in decoded form.

use std::{path::Path, sync::Arc};
use tidings_catalog::Source;
use tidings_collect::Submitted;
use tidings_engine::MappingChanges;
use tidings_model::{Catalog, DataSourceId, DeviceUuid, RegionId, SegmentId, Timestamp};
use tidings_oracle::{Happening, Kind, Message, Outcome, ToldSegment, UserObject, What, text};
use tidings_runtime::{
    core::{ActiveCatalog, Change},
    simulate::{SentMessage, Simulation},
};
use tidings_wire::{Decoder, Options, Status};

/// A dry run in progress.
pub(crate) struct Real {
    simulation: Simulation,
    messages: Vec<Message>,
}

impl Real {
    pub(crate) fn new(catalog: &Catalog, start: Timestamp) -> Self {
        let active =
            ActiveCatalog::new(through_a_file(catalog), 1, MappingChanges::default()).unwrap();
        Self {
            simulation: Simulation::new(Arc::new(active), start),
            messages: Vec::new(),
        }
    }

    pub(crate) fn happen(&mut self, happening: &Happening) -> Option<Outcome> {
        self.run_until(happening.at);
        let messages = &mut self.messages;
        let mut sent = |sent: SentMessage<'_>| messages.push(decoded(sent));
        match &happening.what {
            What::Event(event) => Some(match self.simulation.event(event, &mut sent) {
                Submitted::Accepted(uuid) => Outcome::Accepted(uuid),
                Submitted::Duplicate(uuid) => Outcome::Duplicate(uuid),
                Submitted::OptedOut(_) | Submitted::Rejected { .. } => Outcome::Rejected,
            }),
            What::OptOut(uuid) => {
                self.simulation.change(Change::OptOut, uuid, &mut sent);
                None
            }
            What::Delete(uuid) => {
                self.simulation.change(Change::Delete, uuid, &mut sent);
                None
            }
            What::Catalog(version) => {
                let catalog = through_a_file(&version.catalog);
                self.simulation.replace_catalog(catalog, &mut sent).unwrap();
                None
            }
            What::Restart => {
                self.simulation.restart(None, &mut sent).unwrap();
                None
            }
            What::RestartWith(version) => {
                let catalog = through_a_file(&version.catalog);
                self.simulation.restart(Some(catalog), &mut sent).unwrap();
                None
            }
        }
    }

    pub(crate) fn run_until(&mut self, until: Timestamp) {
        let messages = &mut self.messages;
        let mut sent = |sent: SentMessage<'_>| messages.push(decoded(sent));
        self.simulation.run_until(until, &mut sent);
    }

    pub(crate) fn segments(&mut self, uuid: &DeviceUuid) -> Vec<SegmentId> {
        self.simulation.segments(uuid)
    }

    pub(crate) fn messages(&self) -> &[Message] {
        &self.messages
    }
}

/// The catalog as its reader understands the file, which must be what was meant.
fn through_a_file(catalog: &Catalog) -> Catalog {
    let source = Source {
        name: "catalog.yaml",
        text: &text::yaml(catalog),
        directory: Path::new("."),
    };
    let read = tidings_catalog::read(source, |_| None).unwrap_or_else(|faults| {
        let faults: Vec<_> = faults.iter().map(ToString::to_string).collect();
        panic!("{}\n{}", faults.join("\n"), source.text)
    });
    assert_eq!(read.catalog, *catalog, "{}", source.text);
    read.catalog
}

fn decoded(sent: SentMessage<'_>) -> Message {
    let decoded = Decoder::strict(Options::default())
        .decode(sent.body)
        .unwrap();
    assert!(decoded.warnings.is_empty(), "{:?}", decoded.warnings);
    let message = decoded.message;
    assert_eq!(message.process_time, sent.time.0);
    assert_eq!(message.destination_id, sent.destination.to_string());
    let user = |user: tidings_wire::MessageUser| UserObject {
        uuid: user.aam_uuid.parse().unwrap(),
        id: user.data_partner_uuid,
        regions: user.regions.into_iter().map(RegionId).collect(),
        segments: user.segments.into_iter().map(segment).collect(),
    };
    Message {
        time: sent.time,
        destination: sent.destination,
        namespace: message.user_dpid.map_or(DataSourceId::NONE, DataSourceId),
        kind: match sent.kind {
            tidings_dispatch::Kind::Realtime => Kind::Realtime,
            tidings_dispatch::Kind::Batch => Kind::Batch,
        },
        users: message.users.into_iter().map(user).collect(),
    }
}

fn segment(segment: tidings_wire::MessageSegment) -> ToldSegment {
    ToldSegment {
        id: segment.segment_id,
        status: match segment.status {
            Status::Active => 1,
            Status::Inactive => 0,
        },
        date_time: Timestamp(segment.date_time),
    }
}
