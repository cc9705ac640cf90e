//! A partner: it believes what it is told, and every user object it is told must have been true, and
//! not before what it was told last.

use crate::{
    Counts, Violation,
    truth::{Segments, State, Truth},
};
use std::collections::BTreeMap;
use tidings_dispatch::Kind;
use tidings_model::{DestinationId, DeviceUuid};
use tidings_wire::{Decoder, MessageUser, Options, Status};

/// Segments, and since when what told of each was true, in milliseconds.
pub(crate) type Known = BTreeMap<String, u64>;

/// What one partner knows.
#[derive(Debug)]
pub(crate) struct Partner {
    id: DestinationId,
    decoder: Decoder,
    /// Per namespace, id and device: the segments it holds the user for a member of, and since when
    /// what told it so was true.
    known: BTreeMap<(u32, String, DeviceUuid), Known>,
    /// Per namespace and device: which state it was told last.
    told: BTreeMap<(u32, DeviceUuid), usize>,
    /// Per namespace and device: the segments that batches ever told it is in, under any id.
    batched: BTreeMap<(u32, DeviceUuid), Segments>,
}

impl Partner {
    pub(crate) fn new(id: DestinationId) -> Self {
        Self {
            id,
            decoder: Decoder::strict(Options::default()),
            known: BTreeMap::new(),
            told: BTreeMap::new(),
            batched: BTreeMap::new(),
        }
    }

    /// Takes a message. `durable` is the last commit on disk.
    pub(crate) fn process(
        &mut self,
        kind: Kind,
        body: &[u8],
        truth: &Truth,
        durable: u64,
        counts: &mut Counts,
    ) -> Result<(), Violation> {
        let decoded = self
            .decoder
            .decode(body)
            .map_err(|error| Violation::new("messages are valid", error))?;
        let namespace = decoded.message.user_dpid.unwrap_or(0);
        counts.add("messages processed");
        for user in decoded.message.users {
            self.hear(kind, namespace, &user, truth, durable, counts)?;
        }
        Ok(())
    }

    fn hear(
        &mut self,
        kind: Kind,
        namespace: u32,
        user: &MessageUser,
        truth: &Truth,
        durable: u64,
        counts: &mut Counts,
    ) -> Result<(), Violation> {
        let uuid: DeviceUuid = user
            .aam_uuid
            .parse()
            .map_err(|_| Violation::new("messages are valid", &user.aam_uuid))?;
        let with = |status| {
            let segments = user.segments.iter();
            let segments = segments.filter(move |one| one.status == status);
            segments
                .map(|one| one.segment_id.clone())
                .collect::<Segments>()
        };
        let (ones, zeros) = (with(Status::Active), with(Status::Inactive));
        counts.add("users told");
        if !zeros.is_empty() {
            counts.add("zeros told");
        }
        let told = self.told.entry((namespace, uuid.clone())).or_default();
        let states = truth.of(self.id, &uuid);
        let was_true = |state: &State| {
            // A batch tells what changed, everything else the whole state.
            let is_whole = ones.is_empty() || ones == state.segments;
            let is_part = kind == Kind::Batch && ones.is_subset(&state.segments);
            (is_whole || is_part) && zeros.is_disjoint(&state.members)
        };
        let later = states.iter().enumerate().skip(*told);
        let durable_later = later.filter(|(_, state)| state.seq <= durable);
        let mut fitting = durable_later.filter(|(_, state)| was_true(state));
        let Some((state, first)) = fitting.next() else {
            let promise = if states
                .iter()
                .any(|state| was_true(state) && state.seq > durable)
            {
                "nothing leaves before it is durable"
            } else if states.iter().any(was_true) {
                "no partner is told an older state after a newer one"
            } else {
                "partners are told what is true"
            };
            let (id, last) = (self.id, *told);
            let detail = format!(
                "destination {id}, device {uuid}: 1 {ones:?}, 0 {zeros:?}; told state {last} of {states:?}"
            );
            return Err(Violation::new(promise, detail));
        };
        *told = state;
        let since = fitting
            .next_back()
            .map_or(first.since, |(_, last)| last.since);
        if kind == Kind::Batch {
            counts.add("users told by batches");
            let batched = self.batched.entry((namespace, uuid.clone())).or_default();
            batched.extend(ones.iter().cloned());
        }
        let key = (namespace, user.data_partner_uuid.clone(), uuid);
        let known = self.known.entry(key).or_default();
        for zero in &zeros {
            known.remove(zero);
        }
        known.extend(ones.into_iter().map(|one| (one, since)));
        Ok(())
    }

    /// What it knows of a device: namespace, id, and the segments it holds it for a member of.
    pub(crate) fn of<'a>(
        &'a self,
        uuid: &'a DeviceUuid,
    ) -> impl Iterator<Item = (u32, &'a str, &'a Known)> + 'a {
        let known = self.known.iter().filter(move |((.., of), _)| of == uuid);
        known.map(|((namespace, id, _), segments)| (*namespace, id.as_str(), segments))
    }

    /// Whether batches told of all these segments, at some time.
    pub(crate) fn was_batched(&self, namespace: u32, uuid: &DeviceUuid, told: &Segments) -> bool {
        let batched = self.batched.get(&(namespace, uuid.clone()));
        batched.is_some_and(|batched| told.is_subset(batched))
    }
}
