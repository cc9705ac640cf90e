//! The phases of a run.
//!
//! 1. *Prepare*: make the devices known. Nothing is told; a measure of collecting alone.
//! 2. *Saturate*: closed loop. As many events as are taken, but never more than a bound that the
//!    receiver has not been told yet, so that the figure is that of the whole way and not of a queue.
//! 3. *Time*: open loop. Events become due at fixed instants at half the rate of phase 2, whether or
//!    not the system keeps up, and each latency counts from the instant the event was due: a stall
//!    makes everything behind it late, as it would for real visitors (no coordinated omission).

mod saturate;
mod time;

pub(crate) use saturate::{Saturation, Setup as SaturateSetup, saturate};
pub(crate) use time::{Receipt, Setup as TimeSetup, Timing, time};

use crate::{population, site::Site};
use anyhow::Result;
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};
use tidings_benches::device::KNOWN_EVENTS;
use tidings_model::Timestamp;
use tokio::task::JoinSet;

/// Waits for the tasks; the first error ends the others.
async fn all(mut tasks: JoinSet<Result<()>>) -> Result<()> {
    while let Some(done) = tasks.join_next().await {
        done??;
    }
    Ok(())
}

/// What it cost to make the devices known.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Preparation {
    pub(crate) events: u64,
    pub(crate) elapsed: Duration,
    pub(crate) server_cpu: Duration,
}

/// Makes the devices known.
pub(crate) async fn prepare(
    site: &Site,
    devices: u64,
    connections: usize,
    events_per_request: u64,
    now: Timestamp,
) -> Result<Preparation> {
    let devices_per_request = (events_per_request / KNOWN_EVENTS).max(1);
    let next = Arc::new(AtomicU64::new(0));
    let cpu = site.server.cpu()?;
    let started = Instant::now();
    let mut tasks = JoinSet::new();
    for mut connection in site.connect(connections).await? {
        let next = Arc::clone(&next);
        tasks.spawn(async move {
            loop {
                let first = next.fetch_add(devices_per_request, Ordering::Relaxed);
                let end = devices.min(first + devices_per_request);
                if first >= end {
                    return Ok(());
                }
                let body = population::known(first..end, now);
                let count = (end - first) * KNOWN_EVENTS;
                connection.post_events(&body, count).await?;
            }
        });
    }
    all(tasks).await?;
    Ok(Preparation {
        events: devices * KNOWN_EVENTS,
        elapsed: started.elapsed(),
        server_cpu: site.server.cpu()?.saturating_sub(cpu),
    })
}
