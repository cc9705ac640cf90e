//! Every fault of the reference partner, met by the real client under the real retry logic: each
//! ends in a named outcome, after the attempts it may have, within its bytes and its time.
//!
//! `cargo xtask faults` runs this and shows the table. Fast faults go a few at a time, so that a
//! busy machine does not make them slow ones; those that last until the deadline go all at once.
//!
//! **Time.** Where time ends an attempt, it is the time that partners really get: the deadline, or what
//! is set aside for the rest of a response. It may be overrun by 50 ms. The client's own clock tells how
//! long it took, and a probe beside it how late this machine is with its timers: that much is not the
//! client's doing, and is allowed on top. All other attempts end by themselves, in ample time, so that no
//! busy machine turns an answer into a missed deadline; one that did not end would have a wrong outcome.

mod deliver;
mod rows;

use crate::partner::{AMPLE, HOST};
use deliver::{Delivery, deliver};
use rows::{EndedBy, Partner, Row};
use std::{
    collections::BTreeSet,
    fmt::Write as _,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tidings_egress::{
    AddressPolicy, Egress, EgressSettings, Endpoint, EndpointSettings, HostsFile, NameServers,
    Request, Timings,
};
use tidings_receiver::{ReceiverSettings, Running, Stage};
use tokio::{
    net::{TcpSocket, TcpStream},
    sync::Semaphore,
    task::JoinSet,
    time::{Instant, sleep, timeout},
};

/// The deadline of partners (spec: the response is expected within 3000 ms).
const TIMEOUT: Duration = Duration::from_millis(3_000);
/// What is set aside for the rest of a response, as destinations have it.
const BODY_WAIT: Duration = Duration::from_millis(500);
/// What an attempt may overrun either by.
const OVERRUN_MAX: Duration = Duration::from_millis(50);
/// Head and body, see [`tidings_egress::Attempt::bytes_read`], and 1 KiB of framing.
const BYTES_MAX: usize = (32 + 64 + 1) * 1024;
/// Attempts at fast faults at the same time.
const ATTEMPTS_MAX: usize = 4;
/// A message as the receiver takes it.
const MESSAGE: &str = r#"{"ProcessTime":"Wed Jul 27 16:17:42 UTC 2016","Client_ID":"74323","AAM_Destination_Id":"423","User_count":"1","Users":[{"AAM_UUID":"19393572368547369350319949416899715727","DataPartner_UUID":"4250948725049857","Segments":[{"Segment_ID":"14356","Status":"1","DateTime":"Wed Jul 27 16:17:22 UTC 2016"}]}]}"#;
/// More than the buffers of two sockets take.
const LARGE_BYTES: usize = 32 << 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_fault_ends_in_a_named_outcome() {
    let dir = tempfile::tempdir().unwrap();
    let rows = rows::all();
    // The first receiver makes the CA that the others share.
    drop(start(dir.path(), "hang").await);
    let bench = Arc::new(Bench {
        egress: egress(std::fs::read(dir.path().join("ca.pem")).unwrap()),
        tls_dir: dir.path().to_owned(),
        attempts: Semaphore::new(ATTEMPTS_MAX),
        large: Request::json(vec![b' '; LARGE_BYTES].into()),
    });
    let lateness = Arc::new(Lateness::default());
    let probe = tokio::spawn(Arc::clone(&lateness).watch());
    let mut running = JoinSet::new();
    for (number, row) in rows.iter().cloned().enumerate() {
        let bench = Arc::clone(&bench);
        running.spawn(async move { (number, bench.run(&row).await) });
    }
    let mut outcomes = running.join_all().await;
    probe.abort();
    outcomes.sort_unstable_by_key(|(number, _)| *number);

    let overrun_max = OVERRUN_MAX + lateness.max();
    let mut faults = Vec::new();
    for (row, (_, outcome)) in rows.iter().zip(&outcomes) {
        faults.extend(judge(row, outcome, overrun_max));
    }
    show(&rows, &outcomes, &lateness);
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
    assert!(rows.len() >= 60, "{}", rows.len());
}

#[test]
fn every_fault_of_the_receiver_has_its_row() {
    let rows = rows::all();
    let tried: BTreeSet<_> = rows.iter().map(Row::name).collect();
    for listed in tidings_receiver::list() {
        assert!(tried.contains(listed.name), "{} is not tried", listed.name);
    }
}

/// What all rows share.
struct Bench {
    egress: Arc<Egress>,
    tls_dir: std::path::PathBuf,
    attempts: Semaphore,
    large: Request,
}

/// What a row came to.
struct Outcome {
    delivery: Delivery,
    /// Requests that the partner has read in full; `None` where it does not count them.
    requests: Option<u64>,
}

impl Bench {
    async fn run(&self, row: &Row) -> Outcome {
        let request = if row.is_large {
            self.large.clone()
        } else {
            Request::json(MESSAGE.into())
        };
        let permits = (!row.is_slow()).then_some(&self.attempts);
        let deliver = async |endpoint: &Endpoint| {
            deliver(endpoint, &request, row.ended_by().deadline(), permits).await
        };
        match row.partner {
            Partner::Receiver => {
                let receiver = start(&self.tls_dir, &row.fault).await;
                let endpoint = self.endpoint(row, receiver.local_addr());
                if row.is_second {
                    let first = deliver(&endpoint).await;
                    assert_eq!(first.outcomes(), ["status_200 complete"], "{}", row.fault);
                }
                let delivery = deliver(&endpoint).await;
                let counted = !row.is_second && row.stage() == Some(Stage::Answer);
                Outcome {
                    delivery,
                    requests: counted.then(|| receiver.stats().requests),
                }
            }
            Partner::Closed => {
                let socket = TcpSocket::new_v4().unwrap();
                socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
                // Bound and not listening: nobody else can take the port.
                let endpoint = self.endpoint(row, socket.local_addr().unwrap());
                unserved(deliver(&endpoint).await)
            }
            Partner::Deaf => {
                let socket = TcpSocket::new_v4().unwrap();
                socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
                // Once the queue is full, the system drops further SYNs.
                let listener = socket.listen(1).unwrap();
                let address = listener.local_addr().unwrap();
                let mut queued = Vec::new();
                let short = Duration::from_millis(500);
                while let Ok(stream) = timeout(short, TcpStream::connect(address)).await {
                    queued.push(stream.unwrap());
                }
                unserved(deliver(&self.endpoint(row, address)).await)
            }
            Partner::Forbidden => {
                let settings = EgressSettings {
                    policy: AddressPolicy::default(),
                    ..settings(Vec::new())
                };
                let egress = Egress::new(EgressSettings {
                    ca_pem: None,
                    ..settings
                });
                let endpoint = Endpoint::new(
                    egress.unwrap(),
                    "https://127.0.0.1:9/",
                    EndpointSettings::default(),
                );
                unserved(deliver(&endpoint.unwrap()).await)
            }
        }
    }

    fn endpoint(&self, row: &Row, address: SocketAddr) -> Endpoint {
        let url = format!("https://{HOST}:{}/segments", address.port());
        let settings = EndpointSettings {
            body_wait: row.ended_by().body_wait(),
            ..EndpointSettings::default()
        };
        Endpoint::new(Arc::clone(&self.egress), &url, settings).unwrap()
    }
}

impl EndedBy {
    const fn deadline(self) -> Duration {
        match self {
            Self::Deadline => TIMEOUT,
            Self::BodyWait | Self::Itself => AMPLE,
        }
    }

    const fn body_wait(self) -> Duration {
        match self {
            Self::BodyWait => BODY_WAIT,
            Self::Deadline | Self::Itself => AMPLE,
        }
    }

    /// What took so long, and what it may have taken without an overrun.
    fn time(self, timings: &Timings) -> (Duration, Duration) {
        match self {
            Self::Deadline => (timings.total, TIMEOUT),
            Self::BodyWait => (timings.total - until_head(timings), BODY_WAIT),
            Self::Itself => (timings.total, AMPLE),
        }
    }
}

/// How long it took until the head of the response was there.
fn until_head(timings: &Timings) -> Duration {
    let Timings {
        dns,
        connect,
        tls,
        write,
        response,
        ..
    } = *timings;
    let phases = [dns, connect, tls, write, response];
    phases.into_iter().flatten().sum()
}

const fn unserved(delivery: Delivery) -> Outcome {
    Outcome {
        delivery,
        requests: None,
    }
}

async fn start(tls_dir: &std::path::Path, fault: &str) -> Running {
    tidings_receiver::start(ReceiverSettings {
        tls_dir: Some(tls_dir.to_owned()),
        tls_names: vec![HOST.to_owned()],
        faults: vec![fault.parse().unwrap()],
        ..ReceiverSettings::default()
    })
    .await
    .unwrap()
}

fn egress(ca_pem: Vec<u8>) -> Arc<Egress> {
    Egress::new(settings(ca_pem)).unwrap()
}

fn settings(ca_pem: Vec<u8>) -> EgressSettings {
    EgressSettings {
        ca_pem: Some(ca_pem),
        policy: AddressPolicy {
            allow_private: true,
        },
        name_servers: NameServers::Listed(Vec::new()),
        hosts: HostsFile::Text(format!("127.0.0.1 {HOST}\n")),
        ..EgressSettings::default()
    }
}

/// What is wrong with an outcome.
fn judge(row: &Row, outcome: &Outcome, overrun_max: Duration) -> Vec<String> {
    let Delivery {
        attempts,
        delivered,
    } = &outcome.delivery;
    let mut faults = Vec::new();
    let mut wrong = |what: String| faults.push(format!("{}: {what}", row.label()));
    let outcomes = outcome.delivery.outcomes();
    let as_expected = |outcome: &String| row.expected.iter().any(|expected| expected == outcome);
    // What may follow a first failure is another matter only where the row says so.
    let told: &[String] = if row.is_second {
        &outcomes[..1]
    } else {
        &outcomes
    };
    if !told.iter().all(as_expected) {
        wrong(format!("{outcomes:?}, expected {:?}", row.expected));
    }
    let succeeds = outcomes
        .last()
        .is_some_and(|last| last.starts_with("status_200 "));
    if *delivered != succeeds {
        wrong(format!("delivered: {delivered}"));
    }
    let attempts_expected = if outcomes[0].starts_with("status_200 ") {
        1
    } else {
        2
    };
    if attempts.len() != attempts_expected {
        wrong(format!("{} attempts", attempts.len()));
    }
    if outcome
        .requests
        .is_some_and(|requests| requests != attempts.len() as u64)
    {
        wrong(format!("the partner got {:?} requests", outcome.requests));
    }
    for attempt in attempts {
        if attempt.bytes_read > BYTES_MAX {
            wrong(format!("{} bytes read", attempt.bytes_read));
        }
        let (took, time_max) = row.ended_by().time(&attempt.timings);
        if took > time_max + overrun_max {
            wrong(format!(
                "{took:?}, more than {time_max:?} + {overrun_max:?}"
            ));
        }
    }
    faults
}

#[expect(
    clippy::print_stdout,
    reason = "the table is what `cargo xtask faults` is for"
)]
fn show(rows: &[Row], outcomes: &[(usize, Outcome)], lateness: &Lateness) {
    let mut table = format!(
        "{:48} {:48} {:>8} {:>7} {:>9}\n",
        "the partner's fault", "outcome", "attempts", "bytes", "time"
    );
    for (row, (_, outcome)) in rows.iter().zip(outcomes) {
        let mut names = outcome.delivery.outcomes();
        names.dedup();
        let attempts = &outcome.delivery.attempts;
        let bytes = attempts.iter().map(|attempt| attempt.bytes_read).max();
        let time = attempts.iter().map(|attempt| attempt.timings.total).max();
        writeln!(
            table,
            "{:48} {:48} {:>8} {:>7} {:>6} ms",
            row.label(),
            names.join(", then "),
            attempts.len(),
            bytes.unwrap_or_default(),
            time.unwrap_or_default().as_millis(),
        )
        .unwrap();
    }
    println!(
        "{table}{} rows; the most bytes of an attempt and its longest time. Where time ends an attempt, {} + \
         {} ms are allowed, and {} + {} ms for the rest of a response. Timers of this machine were up to \
         {} ms late.",
        rows.len(),
        TIMEOUT.as_millis(),
        OVERRUN_MAX.as_millis(),
        BODY_WAIT.as_millis(),
        OVERRUN_MAX.as_millis(),
        lateness.max().as_millis(),
    );
}

/// How late timers of this process are.
#[derive(Default)]
struct Lateness(AtomicU64);

impl Lateness {
    async fn watch(self: Arc<Self>) {
        const STEP: Duration = Duration::from_millis(5);
        loop {
            let due = Instant::now() + STEP;
            sleep(STEP).await;
            let late = u64::try_from(due.elapsed().as_micros()).unwrap_or(u64::MAX);
            self.0.fetch_max(late, Ordering::Relaxed);
        }
    }

    fn max(&self) -> Duration {
        Duration::from_micros(self.0.load(Ordering::Relaxed))
    }
}
