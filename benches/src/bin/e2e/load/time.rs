//! The open loop: how long it takes from the instant an event is due until its user is told.

use super::all;
use crate::{
    client::Connection,
    population::{TIMED, toggled},
    site::Site,
};
use anyhow::{Result, bail};
use hdrhistogram::Histogram;
use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};
use tidings_benches::device;
use tidings_receiver::Received;
use tokio::{
    sync::{Mutex as AsyncMutex, mpsc},
    task::JoinSet,
};

/// Not measured: the timed destination's connections are opened.
const WARM_UP: Duration = Duration::from_secs(2);
/// Not measured either: the last devices wait for company that does not come.
const COOL_DOWN: Duration = Duration::from_secs(1);
/// How long to wait for the last receipts; longer than the linger of a message that is not full.
const LAST_RECEIPTS_MAX: Duration = Duration::from_secs(8);

/// When each device's event became due, and how long it took until its receipt.
#[derive(Debug)]
pub(crate) struct Receipt {
    start: Instant,
    /// Per device, microseconds from `start` to the instant its event was due; 0 when none is open.
    due: Box<[AtomicU64]>,
    latencies: Mutex<Histogram<u64>>,
    /// Events without a receipt when the next event of their device became due.
    overtaken: AtomicU64,
}

impl Receipt {
    pub(crate) fn new(devices: u64) -> Result<Self> {
        Ok(Self {
            start: Instant::now(),
            due: (0..devices).map(|_| AtomicU64::new(0)).collect(),
            latencies: Mutex::new(histogram()?),
            overtaken: AtomicU64::new(0),
        })
    }

    /// An event of a device is due now or soon.
    fn expect(&self, device: u64, due: Instant) {
        let slot = usize::try_from(device).ok().and_then(|at| self.due.get(at));
        let due = micros(due - self.start).max(1);
        if slot.is_some_and(|slot| slot.swap(due, Ordering::Relaxed) != 0) {
            self.overtaken.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Takes the receipt of a message; called by the receiver.
    pub(crate) fn observe(&self, received: &Received) {
        let at = micros(received.instant - self.start);
        let users = received.message.iter().flat_map(|message| &message.users);
        let mut latencies = lock(&self.latencies);
        for user in users {
            let slot = device::of_cookie(&user.data_partner_uuid).and_then(|at| self.due.get(at));
            // A second receipt finds nothing open.
            match slot.map(|slot| slot.swap(0, Ordering::Relaxed)) {
                None | Some(0) => {}
                Some(due) => latencies.saturating_record(at.saturating_sub(due)),
            }
        }
    }

    /// Events whose receipt has not come.
    fn open(&self) -> usize {
        self.due
            .iter()
            .filter(|slot| slot.load(Ordering::Relaxed) != 0)
            .count()
    }
}

/// What was measured after the warm-up.
#[derive(Debug)]
pub(crate) struct Timing {
    /// Events sent, warm-up and cool-down included, with the time and processor time they took.
    pub(crate) events: u64,
    pub(crate) elapsed: Duration,
    pub(crate) server_cpu: Duration,
    /// From due to sent: the load generator's own delay, part of the two below.
    pub(crate) lateness: Histogram<u64>,
    /// From due to the answer that says it is durable.
    pub(crate) answers: Histogram<u64>,
    /// From due to the receipt by the receiver.
    pub(crate) receipts: Histogram<u64>,
    /// Events without a receipt of their own.
    pub(crate) missing: u64,
}

/// How the loop is set up.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setup {
    pub(crate) devices: u64,
    pub(crate) connections: usize,
    pub(crate) events_per_request: u64,
    pub(crate) events_per_second: f64,
    pub(crate) duration: Duration,
}

/// A request that is due.
#[derive(Clone, Copy)]
struct Due {
    first: u64,
    at: Instant,
    is_measured: bool,
}

struct Measured {
    lateness: Mutex<Histogram<u64>>,
    answers: Mutex<Histogram<u64>>,
}

/// Runs the open loop until everything is told.
pub(crate) async fn time(site: &Site, receipt: &Arc<Receipt>, setup: Setup) -> Result<Timing> {
    let measured = Arc::new(Measured {
        lateness: Mutex::new(histogram()?),
        answers: Mutex::new(histogram()?),
    });
    let connections = site.connect(setup.connections).await?;
    let cpu = site.server.cpu()?;
    let started = Instant::now();
    let (requests, due) = start_pacer(receipt, setup)?;
    let due = Arc::new(AsyncMutex::new(due));
    let mut senders = JoinSet::new();
    for connection in connections {
        senders.spawn(send(
            connection,
            Arc::clone(&due),
            Arc::clone(&measured),
            setup,
        ));
    }
    all(senders).await?;
    let elapsed = started.elapsed();
    let server_cpu = site.server.cpu()?.saturating_sub(cpu);
    let waiting = Instant::now();
    while receipt.open() > 0 && waiting.elapsed() < LAST_RECEIPTS_MAX {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    if let Some(faults) = site.timed_receipts().faults() {
        bail!("the timed receiver refused what it was told: {faults}");
    }
    Ok(Timing {
        events: requests * setup.events_per_request,
        elapsed,
        server_cpu,
        lateness: lock(&measured.lateness).clone(),
        answers: lock(&measured.answers).clone(),
        receipts: lock(&receipt.latencies).clone(),
        missing: receipt.open() as u64 + receipt.overtaken.load(Ordering::Relaxed),
    })
}

/// Sends requests as they become due, one after the other: when the server is slow to answer, the
/// next one goes out late, and its latency still counts from when it was due.
async fn send(
    mut connection: Connection,
    due: Arc<AsyncMutex<mpsc::Receiver<Due>>>,
    measured: Arc<Measured>,
    setup: Setup,
) -> Result<()> {
    loop {
        let Some(next) = due.lock().await.recv().await else {
            return Ok(());
        };
        let count = setup.events_per_request;
        let body = toggled(TIMED, next.first, count, setup.devices);
        let sent = Instant::now();
        connection.post_events(&body, count).await?;
        if next.is_measured {
            record(&measured.lateness, sent - next.at, count);
            record(&measured.answers, next.at.elapsed(), count);
        }
    }
}

/// Announces each request at the instant it is due, from a thread of its own: the timers of the
/// runtime are good to a millisecond only. Returns the number of requests.
fn start_pacer(receipt: &Arc<Receipt>, setup: Setup) -> Result<(u64, mpsc::Receiver<Due>)> {
    let count = setup.events_per_request;
    let interval = Duration::from_secs_f64(count as f64 / setup.events_per_second);
    let total = WARM_UP + setup.duration + COOL_DOWN;
    let requests = u32::try_from(total.as_nanos() / interval.as_nanos().max(1))?;
    // Room for all of them: the pacer never waits for the senders.
    let (announce, due) = mpsc::channel(usize::try_from(requests)?.max(1));
    let receipt = Arc::clone(receipt);
    thread::spawn(move || {
        let start = Instant::now();
        let begin = start + WARM_UP;
        for request in 0..requests {
            let first = u64::from(request) * count;
            let at = start + interval * request;
            let is_measured = at >= begin && at < begin + setup.duration;
            thread::sleep(at.saturating_duration_since(Instant::now()));
            if is_measured {
                for event in first..first + count {
                    receipt.expect(event % setup.devices, at);
                }
            }
            let request = Due {
                first,
                at,
                is_measured,
            };
            if announce.blocking_send(request).is_err() {
                // The senders are gone: the run has failed.
                return;
            }
        }
    });
    Ok((requests.into(), due))
}

fn record(histogram: &Mutex<Histogram<u64>>, time: Duration, count: u64) {
    lock(histogram).saturating_record_n(micros(time), count);
}
fn histogram() -> Result<Histogram<u64>> {
    Ok(Histogram::new_with_bounds(1, 600_000_000, 3)?)
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
