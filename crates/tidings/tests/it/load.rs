//! A load of events by several senders against a server that comes and goes.
//!
//! Every event sets the whole state of its device (three traits, each realised or removed), so one
//! that is sent again because nobody knows whether it was applied changes nothing. The events of a
//! device are all sent by one sender, in order.

mod ledger;

use crate::support::{
    http::{Connection, Failure, Reply, post},
    now_micros,
    partner::Partner,
    server::Server,
    within,
};
use ledger::Sent;
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use std::{collections::BTreeSet, fmt::Write as _, net::SocketAddr, sync::Arc};
use tokio::{sync::watch, task::JoinSet};

pub(crate) use ledger::Ledger;

/// How much of what.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    pub(crate) seed: u64,
    pub(crate) devices: usize,
    pub(crate) batches: usize,
    pub(crate) events_per_batch: usize,
}

/// Senders at once; a request each.
const SENDERS: usize = 4;

/// Traits 1, 2 and 3 of a device as bits.
pub(crate) type Traits = u8;

/// A segment of the catalog, with its rule said once more.
struct Segment {
    id: u32,
    rule: &'static str,
    has: fn(Traits) -> bool,
}

const SEGMENTS: [Segment; 3] = [
    Segment {
        id: 101,
        rule: "1T",
        has: |traits| traits & 0b001 != 0,
    },
    Segment {
        id: 102,
        rule: "2T AND NOT 1T",
        has: |traits| traits & 0b011 == 0b010,
    },
    Segment {
        id: 103,
        rule: "3T OR (1T AND 2T)",
        has: |traits| traits & 0b100 != 0 || traits & 0b011 == 0b011,
    },
];

/// The segments that a device with these traits is in.
fn segments(traits: Traits) -> BTreeSet<u32> {
    let entered = SEGMENTS.iter().filter(|segment| (segment.has)(traits));
    entered.map(|segment| segment.id).collect()
}

/// A catalog that tells these partners about all segments.
pub(crate) fn catalog(partners: &[&Partner]) -> String {
    let mut text = String::from(
        "data_sources: [{ id: 501, name: Cookies, kind: cookie }]
traits: [{ id: 1, name: A }, { id: 2, name: B }, { id: 3, name: C }]
segments:\n",
    );
    for Segment { id, rule, .. } in SEGMENTS {
        writeln!(text, "  - {{ id: {id}, name: S{id}, rule: '{rule}' }}").unwrap();
    }
    text += "destinations:\n";
    for (id, partner) in (1..).zip(partners) {
        let url = partner.url();
        let mappings = SEGMENTS.map(|segment| format!("{{ segment: {} }}", segment.id));
        let mappings = mappings.join(", ");
        writeln!(
            text,
            "  - {{ id: {id}, name: P{id}, client_id: c, url: \"{url}\", id_data_sources: [501], \
             mappings: [{mappings}], max_linger: 50ms, retry_delay: 50ms }}"
        )
        .unwrap();
    }
    text
}

/// Senders at work.
#[derive(Debug)]
pub(crate) struct Senders {
    tasks: JoinSet<Vec<(usize, Vec<Sent>)>>,
    servers: watch::Sender<ServerAt>,
    /// Requests sent and acknowledged so far.
    pub(crate) progress: Arc<Progress>,
}

#[derive(Debug)]
pub(crate) struct Progress {
    pub(crate) sent: watch::Sender<usize>,
    pub(crate) acknowledged: watch::Sender<usize>,
}

/// Where the server is. A sender whose server has gone waits for the next one and never calls at the
/// old address again: somebody else may have it by now.
#[derive(Clone, Copy, Debug)]
struct ServerAt {
    generation: u64,
    address: SocketAddr,
}

impl Load {
    /// Starts the senders.
    pub(crate) fn start(self, server: &Server) -> Senders {
        let at = ServerAt {
            generation: 0,
            address: server.collect,
        };
        let servers = watch::Sender::new(at);
        let progress = Arc::new(Progress {
            sent: watch::Sender::new(0),
            acknowledged: watch::Sender::new(0),
        });
        let mut tasks = JoinSet::new();
        for number in 0..SENDERS {
            let sender = Sender {
                load: self,
                number,
                random: StdRng::seed_from_u64(self.seed + number as u64),
                servers: servers.subscribe(),
                connection: None,
                progress: Arc::clone(&progress),
            };
            tasks.spawn(sender.run());
        }
        Senders {
            tasks,
            servers,
            progress,
        }
    }
}

impl Senders {
    /// Tells the senders of the next server.
    pub(crate) fn go_on_with(&self, server: &Server) {
        self.servers.send_modify(|at| {
            at.generation += 1;
            at.address = server.collect;
        });
    }

    /// Waits until everything is acknowledged.
    pub(crate) async fn done(mut self, load: Load) -> Ledger {
        let mut devices = vec![Vec::new(); load.devices];
        while let Some(sent) = within("the senders", self.tasks.join_next()).await {
            for (device, events) in sent.unwrap() {
                devices[device] = events;
            }
        }
        Ledger { devices }
    }
}

struct Sender {
    load: Load,
    number: usize,
    random: StdRng,
    servers: watch::Receiver<ServerAt>,
    connection: Option<Connection>,
    progress: Arc<Progress>,
}

impl Sender {
    /// Sends its share of the batches; the devices are its own.
    async fn run(mut self) -> Vec<(usize, Vec<Sent>)> {
        let mut devices: Vec<_> = (self.number..self.load.devices)
            .step_by(SENDERS)
            .map(|device| (device, Vec::new()))
            .collect();
        for batch in (self.number..self.load.batches).step_by(SENDERS) {
            let mut body = String::new();
            let mut events = Vec::new();
            for event in 0..self.load.events_per_batch {
                let place = self.random.random_range(0..devices.len());
                let traits = self.random.random_range(0..8);
                // Every other sender names its events, so that what is sent again is dropped.
                let event_id = self
                    .number
                    .is_multiple_of(2)
                    .then(|| format!("{batch}-{event}"));
                write_event(&mut body, devices[place].0, traits, event_id);
                events.push((place, traits));
            }
            let (first_sent, attempts) = (now_micros(), self.deliver(body.into()).await);
            let acknowledged = now_micros();
            let begins: Vec<_> = devices.iter().map(|(_, sent)| sent.len()).collect();
            for (place, traits) in events {
                devices[place].1.push(Sent {
                    traits,
                    first_sent,
                    acknowledged,
                    repeated_from: (attempts > 1).then_some(begins[place]),
                });
            }
            self.progress.acknowledged.send_modify(|count| *count += 1);
        }
        devices
    }

    /// Sends a request until it is acknowledged; how many times that was.
    async fn deliver(&mut self, body: bytes::Bytes) -> usize {
        for attempt in 1.. {
            let at = *self.servers.borrow_and_update();
            match self.attempt(at.address, body.clone()).await {
                Ok(reply) if reply.status == 200 => {
                    let answer = reply.json();
                    assert_eq!(answer["rejected"], serde_json::json!([]), "{answer}");
                    return attempt;
                }
                // The server is stopping.
                Ok(reply) => assert_eq!(reply.status, 503, "{}", reply.shown()),
                Err(_) => {}
            }
            self.connection = None;
            let next = self
                .servers
                .wait_for(|next| next.generation > at.generation);
            drop(within("the next server", next).await.unwrap());
        }
        unreachable!("attempts are counted for ever")
    }

    async fn attempt(&mut self, address: SocketAddr, body: bytes::Bytes) -> Result<Reply, Failure> {
        self.progress.sent.send_modify(|count| *count += 1);
        let connection = match &mut self.connection {
            Some(connection) => connection,
            none => none.insert(Connection::open(address).await?),
        };
        let request = post("/v1/events", "application/x-ndjson", body);
        within("an answer", connection.send(request)).await
    }
}

/// Writes an event of a device as a line.
pub(crate) fn write_event(
    body: &mut String,
    device: usize,
    traits: Traits,
    event_id: Option<String>,
) {
    let list = |wanted: bool| {
        let chosen = (1..=3).filter(|bit| (traits >> (bit - 1) & 1 == 1) == wanted);
        chosen
            .map(|bit| bit.to_string())
            .collect::<Vec<_>>()
            .join(",")
    };
    let event_id = event_id.map_or_else(String::new, |id| format!(r#","event_id":"{id}""#));
    writeln!(
        body,
        r#"{{"uuid":"{}","traits":[{}],"remove_traits":[{}],"ids":[{{"data_source":501,"id":"{}"}}]{event_id}}}"#,
        uuid(device),
        list(true),
        list(false),
        partner_id(device),
    )
    .unwrap();
}

fn uuid(device: usize) -> String {
    format!("{device:038}")
}

/// The id under which partners know a device.
pub(crate) fn partner_id(device: usize) -> String {
    format!("p{device}")
}
