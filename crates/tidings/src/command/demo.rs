//! `tidings demo`: the whole system on this machine, by its real parts, and what happens in it.
//!
//! A server on an embedded store in a temporary directory, the reference partner over HTTPS once for
//! each destination of the example catalog, and synthetic visitors who send events to the server as a
//! website would. Shows figures while it runs and a summary in the end. Nothing is simulated but the
//! visitors; nothing is left behind.
//!
//! To read the code: `stage` starts and stops the parts, `visitors` and `sender` bring events in,
//! `watch` sees what partners are told, `frame` and `summary` say it.

mod figures;
mod frame;
mod line;
mod pace;
mod reconcile;
mod screen;
mod sender;
mod shop;
mod stage;
mod summary;
mod text;
mod view;
mod visitors;
mod watch;

use crate::{config::LogSettings, failure::Failure};
use clap::{Args as ClapArgs, builder::RangedU64ValueParser};
use figures::PartnerFigures;
use pace::Pace;
use sender::Senders;
use stage::{Ended, Stage};
use std::{
    io::{self, Write as _},
    time::{Duration, Instant},
};
use summary::Summary;
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    time::{Interval, MissedTickBehavior, interval},
};
use view::{Lines, View};
use visitors::Visitors;

/// How long deliveries get after the visitors have gone.
const ENDING_MAX: Duration = Duration::from_secs(5);
/// Deliveries are done when nothing was owed for this long: more than a linger of the catalog.
const QUIET: Duration = Duration::from_millis(500);
/// How often visitors get their turn.
const VISITS_EVERY: Duration = Duration::from_millis(20);
/// How often figures are read and shown.
const FRAME_EVERY: Duration = Duration::from_millis(200);

#[derive(Debug, ClapArgs)]
pub(crate) struct Args {
    /// How long visitors come, as 20s or 5m; without it, until Ctrl-C
    #[arg(long, value_parser = tidings_catalog::parse_duration)]
    duration: Option<Duration>,
    /// Events per second
    #[arg(
        long,
        default_value_t = 800,
        value_parser = RangedU64ValueParser::<u32>::new().range(1..=u64::from(visitors::RATE_MAX))
    )]
    rate: u32,
    /// Decides who the visitors are and what they do
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Print one JSON object in the end, and progress to standard error
    #[arg(long)]
    json: bool,
}

/// Exit status 0 only if partners were told something and nothing failed.
pub(crate) fn run(args: Args) -> Result<(), Failure> {
    LogSettings::from_level("warn").start();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let summary = runtime.block_on(demo(&args))?;
    let mut out = io::stdout().lock();
    if args.json {
        writeln!(out, "{}", summary.to_json())?;
    } else {
        summary.write(&mut out)?;
    }
    out.flush()?;
    summary.verdict()
}

async fn demo(args: &Args) -> Result<Summary, Failure> {
    let mut signals = Signals::new()?;
    let mut stage = Stage::set(args.duration).await?;
    let mut view = if args.json {
        View::lines(Lines::Stderr)
    } else {
        View::open()?
    };
    let started = Instant::now();
    let senders = stage.senders();
    let shown = show_visits(args, &mut stage, &senders, &mut view, &mut signals).await;
    let visited = started.elapsed();
    // Whatever ended the visits, everything is stopped in order before it is told.
    let ended = tokio::select! {
        ended = end(stage, senders, &mut view) => ended,
        () = signals.any() => Err(anyhow::anyhow!("stopped at once on a second signal")),
    };
    drop(view);
    shown?;
    let Ended {
        figures,
        reconciled,
        refused,
    } = ended?;
    Ok(Summary {
        seed: args.seed,
        visited,
        figures,
        reconciled,
        refused_by_partners: refused,
    })
}

/// Lets visitors come until it is time to end.
async fn show_visits(
    args: &Args,
    stage: &mut Stage,
    senders: &Senders,
    view: &mut View,
    signals: &mut Signals,
) -> Result<(), Failure> {
    let visits = visit(args, senders);
    tokio::pin!(visits);
    let mut frames = every(FRAME_EVERY);
    loop {
        tokio::select! {
            result = &mut visits => return result,
            () = signals.any() => return Ok(()),
            () = stage.server.run() => {
                return Err(Failure::Work(anyhow::anyhow!("the server's store has failed")));
            }
            _ = frames.tick() => {
                let figures = stage.figures(false);
                view.show(&figures, &stage.watch)?;
            }
        }
    }
}

/// Sends visitors' events at their pace for as long as was asked for.
async fn visit(args: &Args, senders: &Senders) -> Result<(), Failure> {
    let mut visitors = Visitors::new(args.seed, args.rate);
    let mut pace = Pace::new(args.rate);
    let started = Instant::now();
    let mut turns = every(VISITS_EVERY);
    loop {
        turns.tick().await;
        let elapsed = started.elapsed();
        if args.duration.is_some_and(|duration| elapsed >= duration) {
            return Ok(());
        }
        for _ in 0..pace.due(elapsed) {
            let Some(visit) = visitors.next() else {
                return Ok(());
            };
            if !senders.send(visit).await {
                // What the sender failed of is told by `finish`.
                return Ok(());
            }
        }
    }
}

/// Waits until everything handed over is answered and delivered, then stops all.
async fn end(mut stage: Stage, senders: Senders, view: &mut View) -> anyhow::Result<Ended> {
    let mut finished = senders.finish().await;
    let deadline = Instant::now() + ENDING_MAX;
    let mut quiet_since: Option<Instant> = None;
    let mut frames = every(FRAME_EVERY);
    let mut told_before = 0;
    while finished.is_ok() && Instant::now() < deadline {
        frames.tick().await;
        let figures = stage.figures(true);
        let told: u64 = figures.partners.iter().map(|p| p.users_told).sum();
        let is_quiet = figures.partners.iter().all(PartnerFigures::is_quiet);
        if !is_quiet || told != told_before {
            quiet_since = None;
        } else if quiet_since.get_or_insert_with(Instant::now).elapsed() >= QUIET {
            break;
        }
        told_before = told;
        if let Err(error) = view.show(&figures, &stage.watch) {
            finished = Err(error.into());
        }
    }
    let ended = stage.strike().await;
    finished.and(ended)
}

/// A tick at once and then one each `period`; late ones are left out.
fn every(period: Duration) -> Interval {
    let mut ticks = interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    ticks
}

/// The signals that end the demo.
struct Signals([Signal; 3]);

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self([
            signal(SignalKind::interrupt())?,
            signal(SignalKind::terminate())?,
            signal(SignalKind::hangup())?,
        ]))
    }

    /// Waits for one of them. Cancel safe.
    async fn any(&mut self) {
        let [interrupt, terminate, hangup] = &mut self.0;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
    }
}
