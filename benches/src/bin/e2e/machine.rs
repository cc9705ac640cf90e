//! The machine that a run is made on: what it is, how fast its disk syncs, and how busy others keep
//! it meanwhile. Figures without these say little.

use crate::process::ticks;
use anyhow::{Context, Result};
use serde::Serialize;
use std::{
    fs::{self, File},
    io::Write as _,
    path::Path,
    thread,
    time::{Duration, Instant},
};

/// What the machine is.
#[derive(Debug, Serialize)]
pub(crate) struct Machine {
    cores: usize,
    cpu_model: String,
    kernel: String,
    memory_mib: u64,
    load_average_before: String,
    file_system: String,
    /// Median time of appending 4 KiB and syncing them.
    sync_micros: u64,
}

impl Machine {
    /// Looks at the machine; `directory` is where the data will lie.
    pub(crate) fn look(directory: &Path) -> Result<Self> {
        let memory = value_of(&fs::read_to_string("/proc/meminfo")?, "MemTotal");
        let memory_kib: u64 = memory.trim_end_matches(" kB").parse().unwrap_or_default();
        let load = fs::read_to_string("/proc/loadavg")?;
        Ok(Self {
            cores: thread::available_parallelism()?.get(),
            cpu_model: value_of(&fs::read_to_string("/proc/cpuinfo")?, "model name"),
            kernel: fs::read_to_string("/proc/sys/kernel/osrelease")?
                .trim()
                .to_owned(),
            memory_mib: memory_kib / 1024,
            load_average_before: load.split(' ').take(3).collect::<Vec<_>>().join(" "),
            file_system: file_system_of(directory)?,
            sync_micros: sync_micros(directory)?,
        })
    }

    /// How many processors there are.
    pub(crate) const fn cores(&self) -> usize {
        self.cores
    }

    /// One line for people.
    pub(crate) fn line(&self) -> String {
        format!(
            "{} cores of {}, {} MiB, Linux {}, {}, sync of 4 KiB {} µs, load average {}",
            self.cores,
            self.cpu_model,
            self.memory_mib,
            self.kernel,
            self.file_system,
            self.sync_micros,
            self.load_average_before
        )
    }
}

/// The value of the first line `key : value`; empty when there is none.
fn value_of(text: &str, key: &str) -> String {
    text.lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.trim() == key)
        .map_or_else(String::new, |(_, value)| value.trim().to_owned())
}

/// The type of the file system that holds a directory.
fn file_system_of(directory: &Path) -> Result<String> {
    let directory = directory.canonicalize()?;
    let mounts = fs::read_to_string("/proc/mounts")?;
    let kind = mounts
        .lines()
        .filter_map(|line| {
            let mut fields = line.split(' ');
            let (point, kind) = (fields.nth(1)?, fields.next()?);
            directory.starts_with(point).then_some((point.len(), kind))
        })
        // Of equal ones the last hides the others.
        .max_by_key(|(length, _)| *length);
    Ok(kind.map_or("unknown", |(_, kind)| kind).to_owned())
}

fn sync_micros(directory: &Path) -> Result<u64> {
    let path = directory.join("sync");
    let mut file = File::create(&path).context("making a file to sync")?;
    let mut times = Vec::new();
    for _ in 0..31 {
        let started = Instant::now();
        file.write_all(&[7; 4096])?;
        file.sync_data()?;
        times.push(started.elapsed());
    }
    fs::remove_file(path)?;
    times.sort();
    let median = times.get(times.len() / 2).copied().unwrap_or_default();
    Ok(u64::try_from(median.as_micros())?)
}

/// Processor time of the whole machine since it started.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct MachineCpu {
    /// Used by any process or the kernel.
    pub(crate) busy: Duration,
    /// Taken by other guests of the host.
    pub(crate) stolen: Duration,
    /// All of it, idle time included.
    pub(crate) total: Duration,
}

impl MachineCpu {
    /// The counts now.
    pub(crate) fn now() -> Result<Self> {
        let text = fs::read_to_string("/proc/stat")?;
        Self::parse(&text).context("/proc/stat has an unknown form")
    }

    /// From the first line of `/proc/stat`, see proc(5).
    fn parse(text: &str) -> Option<Self> {
        let line = text.lines().next()?.strip_prefix("cpu ")?;
        let fields: Vec<u64> = line
            .split_ascii_whitespace()
            .map(str::parse)
            .collect::<Result<_, _>>()
            .ok()?;
        let &[
            user,
            nice,
            system,
            idle,
            waiting,
            interrupts,
            soft,
            stolen,
            ..,
        ] = &*fields
        else {
            return None;
        };
        let busy = user + nice + system + interrupts + soft;
        Some(Self {
            busy: ticks(busy),
            stolen: ticks(stolen),
            total: ticks(busy + idle + waiting + stolen),
        })
    }

    /// What was added since `earlier`.
    pub(crate) fn since(self, earlier: Self) -> Self {
        Self {
            busy: self.busy.saturating_sub(earlier.busy),
            stolen: self.stolen.saturating_sub(earlier.stolen),
            total: self.total.saturating_sub(earlier.total),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_processor_line() {
        let cpu = MachineCpu::parse("cpu  10 1 5 100 4 2 3 7 0 0\ncpu0 1 1\n").unwrap();
        assert_eq!(
            (cpu.busy, cpu.stolen, cpu.total),
            (ticks(21), ticks(7), ticks(132))
        );
        assert!(MachineCpu::parse("cpu 1 2").is_none());
    }

    #[test]
    fn finds_values_by_name() {
        let text = "a : 1\nmodel name\t: Fast One\nmodel name\t: Two\n";
        assert_eq!(value_of(text, "model name"), "Fast One");
        assert_eq!(value_of(text, "b"), "");
    }
}
