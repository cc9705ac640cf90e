//! Whether profiles that have timers cost anything while none is due.
//!
//! For each number of profiles: opens the store, starts a server on it, lets a day pass in which
//! nothing is due, and then one on which a hundredth of all timers is.
//!
//! `cargo run --release -p tidings-benches --example timers [profiles ...]`
#![expect(clippy::print_stdout, reason = "what it measures is its output")]
#![expect(
    clippy::cast_precision_loss,
    reason = "a few digits of each figure are enough"
)]

use anyhow::{Context as _, Result, ensure};
use std::{
    env, fs,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};
use tidings_benches::device;
use tidings_catalog::Source;
use tidings_engine::{MappingChanges, Moment};
use tidings_model::{Catalog, Event, Timestamp, TraitId};
use tidings_runtime::{
    CatalogFile, Server, ServerSettings,
    core::{ActiveCatalog, Core},
};
use tidings_store::{Batch, Store, StoreSettings};

/// As the server.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// 2016-07-27 16:00
const START: Timestamp = Timestamp(1_469_635_200);
const HOUR: i64 = 3600;
const DAY: i64 = 86_400;
/// Lifetimes in days: the first timers come on the day after next.
const LIFETIMES: std::ops::RangeInclusive<u32> = 1..=100;
const EVENTS_PER_COMMIT: u64 = 2_000;

fn main() -> Result<()> {
    let asked: Result<Vec<u64>, _> = env::args().skip(1).map(|text| text.parse()).collect();
    let mut numbers = asked?;
    if numbers.is_empty() {
        numbers = vec![10_000, 100_000, 1_000_000];
    }
    println!(
        "{:>9} | {:>10} | {:>12} | {:>17} | {:>14} | {:>12}",
        "profiles",
        "open store",
        "start server",
        "24 h, nothing due",
        "1/100 due, all",
        "per timer"
    );
    for profiles in numbers {
        measure(profiles)?;
    }
    Ok(())
}

fn measure(profiles: u64) -> Result<()> {
    let dir = tempfile::tempdir()?;
    // A server that has started once knows that no profile is behind its catalog.
    runtime()?.block_on(async { start(dir.path()).await?.stop().await })?;
    fill(dir.path(), profiles)?;
    let begun = Instant::now();
    let store = Store::open(&dir.path().join(STORE), &StoreSettings::default())?;
    let opened = begun.elapsed();
    drop(store);
    runtime()?.block_on(async {
        let begun = Instant::now();
        let server = start(dir.path()).await?;
        let started = begun.elapsed();
        // What the first page reads is read before it.
        advance(server.admin_addr(), HOUR)?;
        let quiet = advance(server.admin_addr(), DAY - HOUR)?;
        let due = advance(server.admin_addr(), DAY)?;
        println!(
            "{profiles:>9} | {opened:>10.1?} | {started:>12.1?} | {quiet:>17.1?} | {due:>14.1?} | {:>9.1} us",
            due.as_secs_f64() * 1e6 / (profiles as f64 / f64::from(*LIFETIMES.end()))
        );
        server.stop().await
    })
}

/// Where a server keeps its database.
const STORE: &str = ".";

fn runtime() -> Result<tokio::runtime::Runtime> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    Ok(runtime?)
}

fn catalog() -> Result<Catalog> {
    let mut text = "traits:\n".to_owned();
    for days in LIFETIMES {
        text += &format!("  - {{ id: {days}, name: T, ttl_days: {days} }}\n");
    }
    text += "segments:\n";
    for days in LIFETIMES {
        text += &format!("  - {{ id: {days}, name: S, rule: {days}T }}\n");
    }
    let source = Source {
        name: "catalog.yaml",
        text: &text,
        directory: Path::new("."),
    };
    let loaded = tidings_catalog::read(source, |_| None);
    Ok(loaded
        .map_err(|faults| anyhow::anyhow!("{faults:?}"))?
        .catalog)
}

async fn start(data_dir: &Path) -> Result<Server> {
    let any_port = SocketAddr::from(([127, 0, 0, 1], 0));
    let settings = ServerSettings {
        data_dir: data_dir.to_owned(),
        collect: any_port,
        admin: any_port,
        ca_pem: None,
        dangerous_allow_private_addresses: false,
        virtual_now: Some(START),
        profiles_in_memory_max: 100_000,
        records: tidings_runtime::settings::RecordSettings::default(),
    };
    let path = data_dir.join("catalog.yaml");
    fs::write(&path, "")?;
    let file = CatalogFile {
        path,
        text: String::new(),
        catalog: catalog()?,
        warnings: Vec::new(),
    };
    Server::start(settings, file).await
}

/// Every device is seen once, and realises one of the traits.
fn fill(data_dir: &Path, profiles: u64) -> Result<()> {
    let store = Store::open(&data_dir.join(STORE), &StoreSettings::default())?;
    let active = ActiveCatalog::new(catalog()?, 1, MappingChanges::default())?;
    let mut core = Core::new(Arc::new(active), 10_000);
    let mut batch = Batch::new();
    let mut seq = store.head().seq;
    for number in 0..profiles {
        let moment = Moment {
            now: START,
            seq: seq + 1,
            epoch: store.epoch(),
        };
        let days = u32::try_from(number % 100)? + 1;
        let event = Event {
            traits: vec![TraitId(days)],
            ..Event::default()
        };
        let uuid = || device::uuid(number);
        core.submit(moment, &event, &store, &mut batch, uuid, |_| {})?;
        if (number + 1) % EVENTS_PER_COMMIT == 0 || number + 1 == profiles {
            core.finish(moment, seq, &store, &mut batch);
            seq = store.commit(&batch)?;
            batch.clear();
        }
    }
    Ok(())
}

/// Moves the clock; returns how long it took until everything due was done.
#[expect(
    clippy::disallowed_methods,
    reason = "the load comes from outside, as an operator's does"
)]
fn advance(admin: SocketAddr, seconds: i64) -> Result<Duration> {
    let body = format!(r#"{{"advance":"{seconds}s"}}"#);
    let length = body.len();
    let request = format!(
        "POST /v1/dev/clock HTTP/1.1\r\nhost: {admin}\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
    );
    let begun = Instant::now();
    let mut socket = TcpStream::connect(admin)?;
    socket.write_all(request.as_bytes())?;
    let mut answer = String::new();
    socket.read_to_string(&mut answer)?;
    let elapsed = begun.elapsed();
    let head = answer.lines().next().context("no answer")?;
    ensure!(head.contains(" 200 "), "{answer}");
    Ok(elapsed)
}
