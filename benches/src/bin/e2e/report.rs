//! The figures of a run, for people and as JSON.
//!
//! The JSON members are this struct's fields: units are in their names, and a member is only ever
//! added.

use crate::{
    load::{Preparation, Saturation, Timing},
    machine::Machine,
    site::DiskBytes,
};
use hdrhistogram::Histogram;
use serde::Serialize;
use std::{collections::BTreeMap, fmt, time::Duration};

/// The marks to beat, on two shared cores.
const USERS_TOLD_PER_SECOND_MIN: f64 = 50_000.0;
const SERVER_CPU_MICROS_PER_USER_MAX: f64 = 25.0;
const RECEIPT_P99_MS_MAX: f64 = 300.0;
const MEMORY_PEAK_MIB_MAX: f64 = 300.0;
const DISK_BYTES_PER_PROFILE_MAX: f64 = 300.0;

/// Everything that a run measured.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) machine: Machine,
    pub(crate) devices: u64,
    pub(crate) prepare: Prepare,
    pub(crate) saturate: Saturate,
    pub(crate) time: Time,
    pub(crate) server_memory_peak_mib: f64,
    pub(crate) disk: Disk,
    pub(crate) marks: Vec<Mark>,
}

/// Collecting alone: no destination is told anything.
#[derive(Debug, Serialize)]
pub(crate) struct Prepare {
    seconds: f64,
    events_per_second: f64,
    server_cpu_micros_per_event: f64,
}

/// The closed loop.
#[derive(Debug, Serialize)]
pub(crate) struct Saturate {
    seconds: f64,
    events_per_second: f64,
    users_told_per_second: f64,
    users_told_per_second_slowest: u64,
    users_told_per_second_fastest: u64,
    posts_per_second: f64,
    users_per_post: f64,
    posts_retried: u64,
    server_cpu_micros_per_event: f64,
    server_cpu_micros_per_user_told: f64,
    /// The part of each kind of thread.
    server_cpu_micros_per_user_told_by_thread: BTreeMap<String, f64>,
    receiver_cpu_micros_per_user_told: f64,
    generator_cpu_micros_per_user_told: f64,
    /// Of all cores; the rest was idle.
    machine_busy_percent: f64,
    /// Used by programs that are no part of the run, and taken by other guests of the host.
    machine_others_percent: f64,
    events_accepted_in_all: u64,
    users_told_in_all: u64,
}

/// The open loop.
#[derive(Debug, Serialize)]
pub(crate) struct Time {
    events_per_second: f64,
    server_cpu_micros_per_event: f64,
    generator_late_ms: Percentiles,
    event_to_answer_ms: Percentiles,
    event_to_receipt_ms: Percentiles,
    events_without_receipt: u64,
}

/// In milliseconds.
#[derive(Debug, Serialize)]
pub(crate) struct Percentiles {
    p50: f64,
    p90: f64,
    p99: f64,
    p999: f64,
    max: f64,
}

/// What the data directory takes.
#[derive(Debug, Serialize)]
pub(crate) struct Disk {
    bytes_per_profile: f64,
    bytes_per_profile_without_journals: f64,
    journals_mib: f64,
}

/// A figure beside its mark.
#[derive(Debug, Serialize)]
pub(crate) struct Mark {
    name: &'static str,
    measured: f64,
    mark: f64,
    is_met: bool,
}

impl Report {
    /// The figures that follow from what was measured.
    pub(crate) fn new(
        machine: Machine,
        devices: u64,
        preparation: Preparation,
        saturation: &Saturation,
        timing: &Timing,
        memory_peak_bytes: u64,
        disk: DiskBytes,
    ) -> Self {
        let saturate = Saturate::new(saturation, machine.cores());
        let receipts = Percentiles::new(&timing.receipts);
        let memory_peak_mib = memory_peak_bytes as f64 / MIB;
        let disk = Disk::new(disk, devices);
        let at_least = |name, measured, mark| Mark {
            name,
            measured,
            mark,
            is_met: measured >= mark,
        };
        let at_most = |name, measured, mark| Mark {
            name,
            measured,
            mark,
            is_met: measured <= mark,
        };
        let marks = vec![
            at_least(
                "users told per second, at least",
                saturate.users_told_per_second,
                USERS_TOLD_PER_SECOND_MIN,
            ),
            at_most(
                "server CPU µs per user told, at most",
                saturate.server_cpu_micros_per_user_told,
                SERVER_CPU_MICROS_PER_USER_MAX,
            ),
            at_most(
                "ms until receipt at half the rate, p99, at most",
                receipts.p99,
                RECEIPT_P99_MS_MAX,
            ),
            at_most(
                "server memory peak MiB, at most",
                memory_peak_mib,
                MEMORY_PEAK_MIB_MAX,
            ),
            at_most(
                "bytes per profile on disk, at most",
                disk.bytes_per_profile,
                DISK_BYTES_PER_PROFILE_MAX,
            ),
        ];
        Self {
            machine,
            devices,
            prepare: Prepare {
                seconds: preparation.elapsed.as_secs_f64(),
                events_per_second: per_second(preparation.events, preparation.elapsed),
                server_cpu_micros_per_event: micros_per(preparation.server_cpu, preparation.events),
            },
            saturate,
            time: Time {
                events_per_second: per_second(timing.events, timing.elapsed),
                server_cpu_micros_per_event: micros_per(timing.server_cpu, timing.events),
                generator_late_ms: Percentiles::new(&timing.lateness),
                event_to_answer_ms: Percentiles::new(&timing.answers),
                event_to_receipt_ms: receipts,
                events_without_receipt: timing.missing,
            },
            server_memory_peak_mib: memory_peak_mib,
            disk,
            marks,
        }
    }

    /// Why the run does not count, if so: somebody was not told.
    pub(crate) fn failure(&self) -> Option<String> {
        let Saturate {
            events_accepted_in_all,
            users_told_in_all,
            ..
        } = self.saturate;
        if users_told_in_all < events_accepted_in_all {
            return Some(format!(
                "{events_accepted_in_all} events were accepted and only {users_told_in_all} users told"
            ));
        }
        let missing = self.time.events_without_receipt;
        (missing > 0).then(|| format!("{missing} timed events were accepted and never told"))
    }
}

const MIB: f64 = 1_048_576.0;

impl Saturate {
    fn new(measured: &Saturation, cores: usize) -> Self {
        let users = measured.users;
        let ours = measured.server_cpu + measured.receiver_cpu + measured.generator_cpu;
        let others = measured.machine.busy.saturating_sub(ours) + measured.machine.stolen;
        let all = measured.machine.total.as_secs_f64();
        let all = if all > 0.0 {
            all
        } else {
            measured.elapsed.as_secs_f64() * cores as f64
        };
        let percent = |time: Duration| time.as_secs_f64() / all * 100.0;
        let by_second = &measured.users_by_second;
        Self {
            seconds: measured.elapsed.as_secs_f64(),
            events_per_second: per_second(measured.events, measured.elapsed),
            users_told_per_second: per_second(users, measured.elapsed),
            users_told_per_second_slowest: by_second.iter().copied().min().unwrap_or_default(),
            users_told_per_second_fastest: by_second.iter().copied().max().unwrap_or_default(),
            posts_per_second: per_second(measured.messages, measured.elapsed),
            users_per_post: users as f64 / measured.messages.max(1) as f64,
            posts_retried: measured.retries,
            server_cpu_micros_per_event: micros_per(measured.server_cpu, measured.events),
            server_cpu_micros_per_user_told: micros_per(measured.server_cpu, users),
            server_cpu_micros_per_user_told_by_thread: measured
                .server_cpu_by_thread
                .iter()
                .filter(|(_, cpu)| !cpu.is_zero())
                .map(|(name, cpu)| (name.clone(), micros_per(*cpu, users)))
                .collect(),
            receiver_cpu_micros_per_user_told: micros_per(measured.receiver_cpu, users),
            generator_cpu_micros_per_user_told: micros_per(measured.generator_cpu, users),
            machine_busy_percent: percent(measured.machine.busy + measured.machine.stolen),
            machine_others_percent: percent(others),
            events_accepted_in_all: measured.sent_in_all,
            users_told_in_all: measured.told_in_all,
        }
    }
}

impl Percentiles {
    fn new(micros: &Histogram<u64>) -> Self {
        let at = |quantile| micros.value_at_quantile(quantile) as f64 / 1000.0;
        Self {
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p999: at(0.999),
            max: micros.max() as f64 / 1000.0,
        }
    }
}

impl Disk {
    fn new(bytes: DiskBytes, profiles: u64) -> Self {
        let per_profile = |bytes: u64| bytes as f64 / profiles.max(1) as f64;
        Self {
            bytes_per_profile: per_profile(bytes.all),
            bytes_per_profile_without_journals: per_profile(bytes.all - bytes.journals),
            journals_mib: bytes.journals as f64 / MIB,
        }
    }
}

fn per_second(count: u64, elapsed: Duration) -> f64 {
    count as f64 / elapsed.as_secs_f64().max(f64::MIN_POSITIVE)
}

fn micros_per(cpu: Duration, count: u64) -> f64 {
    cpu.as_secs_f64() * 1e6 / count.max(1) as f64
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            machine,
            devices,
            prepare,
            saturate,
            time,
            server_memory_peak_mib,
            disk,
            marks,
        } = self;
        writeln!(f, "machine    {}", machine.line())?;
        writeln!(
            f,
            "devices    {devices}, each with 20 traits, 5 segments, 2 ids\n"
        )?;
        writeln!(f, "prepare    events that nobody is told about")?;
        row(f, "events/s", prepare.events_per_second, 0)?;
        row(
            f,
            "server CPU µs per event",
            prepare.server_cpu_micros_per_event,
            1,
        )?;
        write!(f, "\n{saturate}\n{time}\n")?;
        writeln!(f, "at the end")?;
        row(f, "server memory peak MiB", *server_memory_peak_mib, 0)?;
        row(f, "disk bytes per profile", disk.bytes_per_profile, 0)?;
        row(
            f,
            "  without the journals",
            disk.bytes_per_profile_without_journals,
            0,
        )?;
        row(f, "journals MiB", disk.journals_mib, 0)?;
        writeln!(f, "\nmarks")?;
        for mark in marks {
            let met = if mark.is_met { "met" } else { "missed" };
            writeln!(
                f,
                "  {:<48}{:>7.0}  measured {:>8.1}  {met}",
                mark.name, mark.mark, mark.measured
            )?;
        }
        Ok(())
    }
}

impl fmt::Display for Saturate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "saturate   closed loop, {:.0} s, every event tells one user",
            self.seconds
        )?;
        row(f, "events/s", self.events_per_second, 0)?;
        row(f, "users told/s", self.users_told_per_second, 0)?;
        writeln!(
            f,
            "  {:<40}{:>10} to {}",
            "  slowest and fastest second",
            self.users_told_per_second_slowest,
            self.users_told_per_second_fastest
        )?;
        row(f, "POSTs/s", self.posts_per_second, 0)?;
        row(f, "users per POST", self.users_per_post, 2)?;
        row(f, "POSTs retried", self.posts_retried as f64, 0)?;
        row(
            f,
            "server CPU µs per event",
            self.server_cpu_micros_per_event,
            1,
        )?;
        row(
            f,
            "server CPU µs per user told",
            self.server_cpu_micros_per_user_told,
            1,
        )?;
        for (thread, micros) in &self.server_cpu_micros_per_user_told_by_thread {
            row(f, &format!("  {thread}"), *micros, 1)?;
        }
        row(
            f,
            "receiver CPU µs per user told",
            self.receiver_cpu_micros_per_user_told,
            1,
        )?;
        row(
            f,
            "generator CPU µs per user told",
            self.generator_cpu_micros_per_user_told,
            1,
        )?;
        row(f, "machine busy %", self.machine_busy_percent, 0)?;
        row(
            f,
            "  of it not by this run %",
            self.machine_others_percent,
            0,
        )
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "time       open loop at half the rate, from the instant an event is due"
        )?;
        row(f, "events/s", self.events_per_second, 0)?;
        row(
            f,
            "server CPU µs per event",
            self.server_cpu_micros_per_event,
            1,
        )?;
        for (name, percentiles) in [
            ("ms until receipt by the partner", &self.event_to_receipt_ms),
            ("ms until durable and answered", &self.event_to_answer_ms),
            ("ms late by the generator itself", &self.generator_late_ms),
        ] {
            let Percentiles {
                p50,
                p90,
                p99,
                p999,
                max,
            } = percentiles;
            writeln!(
                f,
                "  {name:<34}p50 {p50:>7.1}  p90 {p90:>7.1}  p99 {p99:>7.1}  p99.9 {p999:>7.1}  max {max:>7.1}"
            )?;
        }
        Ok(())
    }
}

fn row(f: &mut fmt::Formatter<'_>, name: &str, value: f64, decimals: usize) -> fmt::Result {
    writeln!(f, "  {name:<40}{value:>10.decimals$}")
}
