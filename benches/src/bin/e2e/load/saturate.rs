//! The closed loop: how many users can be told per second, and what that costs.

use super::all;
use crate::{
    machine::MachineCpu,
    population::{FAST, toggled},
    process::own_cpu,
    site::{Receipts, Site},
};
use anyhow::{Result, bail, ensure};
use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::{
    sync::Semaphore,
    task::JoinSet,
    time::{MissedTickBehavior, interval, timeout_at},
};

/// How often the receiver is asked how many users it was told.
const POLL_INTERVAL: Duration = Duration::from_millis(20);
/// Not measured: connections are opened, caches fill.
const WARM_UP: Duration = Duration::from_secs(2);
/// Without progress for this long, what is left will not come.
const STALLED_AFTER: Duration = Duration::from_secs(10);

/// How the loop is set up.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setup {
    pub(crate) devices: u64,
    pub(crate) connections: usize,
    pub(crate) events_per_request: u64,
    /// Events sent whose user has not been told.
    pub(crate) untold_max: u64,
    pub(crate) duration: Duration,
}

/// What was measured between the warm-up and the last event; the rest is told afterwards.
#[derive(Debug)]
pub(crate) struct Saturation {
    pub(crate) elapsed: Duration,
    pub(crate) events: u64,
    pub(crate) users: u64,
    pub(crate) messages: u64,
    /// Messages that came again.
    pub(crate) retries: u64,
    /// Users told in each whole second.
    pub(crate) users_by_second: Vec<u64>,
    pub(crate) server_cpu: Duration,
    pub(crate) server_cpu_by_thread: BTreeMap<String, Duration>,
    pub(crate) receiver_cpu: Duration,
    pub(crate) generator_cpu: Duration,
    pub(crate) machine: MachineCpu,
    /// Of all events of the phase, how many were told in the end.
    pub(crate) sent_in_all: u64,
    pub(crate) told_in_all: u64,
}

/// Counts at one instant.
struct Mark {
    at: Instant,
    events: u64,
    receipts: Receipts,
    server_cpu: Duration,
    server_cpu_by_thread: BTreeMap<String, Duration>,
    receiver_cpu: Duration,
    generator_cpu: Duration,
    machine: MachineCpu,
}

impl Mark {
    fn set(site: &Site, receipts: Receipts, accepted: &AtomicU64) -> Result<Self> {
        Ok(Self {
            at: Instant::now(),
            events: accepted.load(Ordering::Relaxed),
            receipts,
            server_cpu: site.server.cpu()?,
            server_cpu_by_thread: site.server.cpu_by_thread()?,
            receiver_cpu: site.receiver.cpu()?,
            generator_cpu: own_cpu()?,
            machine: MachineCpu::now()?,
        })
    }
}

/// Runs the closed loop until everything is told.
pub(crate) async fn saturate(site: &mut Site, setup: Setup) -> Result<Saturation> {
    ensure!(
        setup.devices >= 2 * setup.untold_max,
        "a device must not change again before its last change is told: \
         the devices must be at least twice the untold events"
    );
    let accepted = Arc::new(AtomicU64::new(0));
    let room = Arc::new(Semaphore::new(usize::try_from(setup.untold_max)?));
    let deadline = Instant::now() + WARM_UP + setup.duration;
    let senders = start_senders(site, setup, &accepted, &room, deadline).await?;
    let (first, last, samples) = watch(site, &accepted, &room, deadline, senders).await?;
    let (sent_in_all, told_in_all) = wait_until_told(site, &accepted).await?;
    let threads = last.server_cpu_by_thread.into_iter().map(|(name, cpu)| {
        let before = first.server_cpu_by_thread.get(&name).copied();
        (name, cpu.saturating_sub(before.unwrap_or_default()))
    });
    Ok(Saturation {
        elapsed: last.at - first.at,
        events: last.events - first.events,
        users: last.receipts.users - first.receipts.users,
        messages: last.receipts.messages - first.receipts.messages,
        retries: last.receipts.duplicates - first.receipts.duplicates,
        users_by_second: by_second(&samples),
        server_cpu: last.server_cpu.saturating_sub(first.server_cpu),
        server_cpu_by_thread: threads.collect(),
        receiver_cpu: last.receiver_cpu.saturating_sub(first.receiver_cpu),
        generator_cpu: last.generator_cpu.saturating_sub(first.generator_cpu),
        machine: last.machine.since(first.machine),
        sent_in_all,
        told_in_all,
    })
}

async fn start_senders(
    site: &Site,
    setup: Setup,
    accepted: &Arc<AtomicU64>,
    room: &Arc<Semaphore>,
    deadline: Instant,
) -> Result<JoinSet<Result<()>>> {
    let next = Arc::new(AtomicU64::new(0));
    let count = setup.events_per_request;
    let permits = u32::try_from(count)?;
    let mut senders = JoinSet::new();
    for mut connection in site.connect(setup.connections).await? {
        let (next, accepted, room) = (Arc::clone(&next), Arc::clone(accepted), Arc::clone(room));
        senders.spawn(async move {
            while let Ok(permit) = timeout_at(deadline.into(), room.acquire_many(permits)).await {
                // Given back when the users are told, not when the events are taken.
                permit?.forget();
                if Instant::now() >= deadline {
                    break;
                }
                let first = next.fetch_add(count, Ordering::Relaxed);
                let body = toggled(FAST, first, count, setup.devices);
                connection.post_events(&body, count).await?;
                accepted.fetch_add(count, Ordering::Relaxed);
            }
            Ok(())
        });
    }
    Ok(senders)
}

/// Makes room for events as users are told. Returns the marks at the end of the warm-up and at the
/// deadline, and the users told over time between them.
async fn watch(
    site: &mut Site,
    accepted: &AtomicU64,
    room: &Semaphore,
    deadline: Instant,
    mut senders: JoinSet<Result<()>>,
) -> Result<(Mark, Mark, Vec<(Instant, u64)>)> {
    let begin = Instant::now() + WARM_UP;
    let mut told = site.receipts().await?.users;
    let mut first = None;
    let mut samples = Vec::new();
    let mut ticks = interval(POLL_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            // A sender ends early only by an error.
            Some(done) = senders.join_next(), if Instant::now() < deadline => done??,
            _ = ticks.tick() => {}
        }
        let receipts = site.receipts().await?;
        room.add_permits(usize::try_from(receipts.users.saturating_sub(told))?);
        told = receipts.users;
        let now = Instant::now();
        match first.take() {
            None if now >= begin => first = Some(Mark::set(site, receipts, accepted)?),
            None => {}
            Some(first) if now >= deadline => {
                let last = Mark::set(site, receipts, accepted)?;
                samples.push((now, told));
                // Requests under way end by themselves; no more room is needed for that.
                all(senders).await?;
                return Ok((first, last, samples));
            }
            Some(mark) => {
                first = Some(mark);
                samples.push((now, told));
            }
        }
    }
}

async fn wait_until_told(site: &mut Site, accepted: &AtomicU64) -> Result<(u64, u64)> {
    let sent = accepted.load(Ordering::Relaxed);
    let mut told = 0;
    let mut progress = Instant::now();
    while progress.elapsed() < STALLED_AFTER {
        let receipts = site.receipts().await?;
        if let Some(faults) = receipts.faults() {
            bail!("the receiver refused what it was told: {faults}");
        }
        if receipts.users > told {
            told = receipts.users;
            progress = Instant::now();
        }
        if told >= sent {
            break;
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    }
    Ok((sent, told))
}

/// Users told in each whole second.
fn by_second(samples: &[(Instant, u64)]) -> Vec<u64> {
    let mut seconds = Vec::new();
    let Some(&(mut from, mut told)) = samples.first() else {
        return seconds;
    };
    for &(at, users) in samples {
        let elapsed = at - from;
        if elapsed >= Duration::from_secs(1) {
            // A sample is never exactly a second after the last one.
            let rate = (users - told) as f64 / elapsed.as_secs_f64();
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "a rate of users is positive and far below 2^53"
            )]
            seconds.push(rate as u64);
            (from, told) = (at, users);
        }
    }
    seconds
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_taken_second_by_second() {
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        let samples = [
            (at(0), 100),
            (at(500), 200),
            (at(1_000), 400),
            (at(1_900), 500),
            (at(2_500), 700),
        ];
        assert_eq!(by_second(&samples), [300, 200]);
        assert!(by_second(&[]).is_empty());
    }
}
