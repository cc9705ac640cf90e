//! A year of 1,000 devices as a dry run: writes a catalog and its events, runs `tidings simulate` on
//! them, and says how long that took.
//!
//! `cargo build --release -p tidings`, then
//! `cargo run --release -p tidings-benches --example dry_run -- target/release/tidings [devices] [days]`
//!
//! A device is seen on every third day or so, realises a few of 60 traits by rules over signals,
//! leaves segments by lifetimes, windows and `AND NOT`, and is gone for good in the end. One partner
//! hears at once, one in a daily batch, one only when devices are seen.
#![expect(clippy::print_stdout, reason = "what it measures is its output")]

use anyhow::{Context as _, Result, ensure};
use std::{
    env,
    fmt::Write as _,
    fs::{self, File},
    path::Path,
    process::{Command, Stdio},
    time::Instant,
};
use tidings_benches::device::mix;
use tidings_model::Timestamp;

/// 2016-01-01
const START: Timestamp = Timestamp(1_451_606_400);
const DAY: i64 = 86_400;
const TRAITS: u64 = 60;

fn main() -> Result<()> {
    let mut args = env::args().skip(1);
    let tidings = args.next().context("the first argument is the program")?;
    let devices = args.next().map_or(Ok(1_000), |text| text.parse())?;
    let days = args.next().map_or(Ok(365), |text| text.parse())?;
    let dir = tempfile::tempdir()?;
    fs::write(dir.path().join("catalog.yaml"), catalog()?)?;
    let (events, count) = events(devices, days)?;
    fs::write(dir.path().join("events.ndjson"), events)?;
    let until = START.plus_seconds(days * DAY);
    let begun = Instant::now();
    let status = Command::new(&tidings)
        .args(["simulate", "--catalog", "catalog.yaml"])
        .args(["--events", "events.ndjson", "--until", &until.to_string()])
        .current_dir(dir.path())
        .stdout(Stdio::from(File::create(dir.path().join("out"))?))
        .status()?;
    let elapsed = begun.elapsed();
    ensure!(status.success(), "{tidings} ended with {status}");
    let (realtime, batch) = messages(&dir.path().join("out"))?;
    println!("{devices} devices, {days} days, {count} events: {elapsed:.2?}");
    println!("messages: {realtime} in real time, {batch} in batches");
    Ok(())
}

fn messages(path: &Path) -> Result<(usize, usize)> {
    let out = fs::read_to_string(path)?;
    let count = |kind: &str| out.lines().filter(|line| line.contains(kind)).count();
    Ok((count(r#""kind":"realtime""#), count(r#""kind":"batch""#)))
}

fn catalog() -> Result<String> {
    let mut text = "data_sources: [{ id: 7, name: Cookies }]\ntraits:\n".to_owned();
    for id in 1..=TRAITS {
        let days = [1, 7, 30, 60, 120, 0][usize::try_from(id % 6)?];
        writeln!(
            text,
            "  - {{ id: {id}, name: T{id}, rule: 'page == \"p{id}\"', ttl_days: {days} }}"
        )?;
    }
    text += "segments:\n";
    for id in 1..=TRAITS {
        let (b, c) = (id % TRAITS + 1, (id + 20) % TRAITS + 1);
        let rule = match id % 4 {
            0 => format!("{id}T"),
            1 => format!("FREQUENCY([{id}T,{b}T] <= 3D) >= 1"),
            2 => format!("FREQUENCY([{id}T] >= 10D) >= 1 AND NOT {c}T"),
            _ => format!("({id}T OR {b}T) AND NOT FREQUENCY([{c}T] <= 14D) >= 2"),
        };
        writeln!(text, "  - {{ id: {id}, name: S{id}, rule: '{rule}' }}")?;
    }
    text += "destinations:\n";
    for (id, settings) in [
        (1, "unsegment: immediate"),
        (2, "unsegment: batch, batch: { every: 24h, at: \"02:00\" }"),
        (3, "unsegment: when_seen"),
    ] {
        let mappings: Vec<_> = (1..=TRAITS)
            .filter(|segment| segment % 3 != id % 3)
            .map(|segment| format!("{{ segment: {segment} }}"))
            .collect();
        writeln!(
            text,
            "  - {{ id: {id}, name: D{id}, client_id: c, url: 'https://d.example/', id_data_sources: [7], {settings}, mappings: [{}] }}",
            mappings.join(", ")
        )?;
    }
    Ok(text)
}

/// Lines of events in order of time, and how many there are.
fn events(devices: u64, days: i64) -> Result<(String, usize)> {
    let mut times = Vec::new();
    for device in 0..devices {
        // Gone for good after half a year or later.
        let last = days - i64::try_from(mix(device) % 180)?;
        for day in 0..last {
            let random = mix(device << 20 | u64::try_from(day)?);
            if random.is_multiple_of(3) {
                let second = i64::try_from(random >> 8 & 0xffff)?;
                times.push((START.plus_seconds(day * DAY + second), device, random >> 32));
            }
        }
    }
    times.sort_unstable();
    let mut text = String::new();
    for (time, device, random) in &times {
        let (a, b) = (random % TRAITS + 1, (random >> 8) % 8 + 1);
        writeln!(
            text,
            r#"{{"time":"{time}","uuid":"{device}","signals":{{"page":["p{a}","p{b}"]}},"ids":[{{"data_source":7,"id":"c{device}"}}]}}"#
        )?;
    }
    Ok((text, times.len()))
}
