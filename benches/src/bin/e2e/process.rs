//! A program under measurement: started, watched through `/proc`, and ended on every path.
//!
//! Dropping a [`Process`] kills it and waits for its end, so an error, a panic or a signal leaves
//! nothing behind. Its log is kept for the error message.

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use std::{
    collections::{BTreeMap, VecDeque},
    fs,
    io::{BufRead as _, BufReader},
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

const LOG_LINES_KEPT: usize = 50;
const POLL_INTERVAL: Duration = Duration::from_millis(10);
const START_MAX: Duration = Duration::from_secs(15);
const STOP_MAX: Duration = Duration::from_secs(15);

type Log = Arc<Mutex<VecDeque<String>>>;

/// A running program.
pub(crate) struct Process {
    name: &'static str,
    child: Child,
    log: Log,
}

impl Process {
    /// Starts a program whose log, on standard error, is kept.
    pub(crate) fn start(name: &'static str, command: &mut Command) -> Result<Self> {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .env_remove("RUST_LOG")
            .spawn()
            .with_context(|| format!("starting the {name}"))?;
        let log = Log::default();
        if let Some(stderr) = child.stderr.take() {
            let log = Arc::clone(&log);
            // Ends with the program, which closes the pipe.
            std::thread::spawn(move || {
                for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                    let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
                    log.push_back(line);
                    if log.len() > LOG_LINES_KEPT {
                        log.pop_front();
                    }
                }
            });
        }
        Ok(Self { name, child, log })
    }

    /// Waits until `ready` finds what it looks for in the log; an error when the program ends first
    /// or takes too long.
    pub(crate) async fn wait_for<T>(
        &mut self,
        what: &str,
        ready: impl Fn(&VecDeque<String>) -> Option<T>,
    ) -> Result<T> {
        let started = Instant::now();
        loop {
            if let Some(found) = ready(&self.log.lock().unwrap_or_else(PoisonError::into_inner)) {
                return Ok(found);
            }
            if let Some(status) = self.child.try_wait()? {
                bail!(
                    "the {} ended at its start, {status}{}",
                    self.name,
                    self.tail()
                );
            }
            ensure!(
                started.elapsed() < START_MAX,
                "the {} did not show {what} within {START_MAX:?}{}",
                self.name,
                self.tail()
            );
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }

    /// Its process id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Processor time used so far, by program and kernel.
    pub(crate) fn cpu(&self) -> Result<Duration> {
        let (_, cpu) = read_stat(self.proc("stat"))?;
        Ok(cpu)
    }

    /// Processor time used so far by the threads that are alive, added up by name.
    pub(crate) fn cpu_by_thread(&self) -> Result<BTreeMap<String, Duration>> {
        let mut threads = BTreeMap::new();
        for task in fs::read_dir(self.proc("task"))? {
            // A thread that ends meanwhile is left out.
            if let Ok((name, cpu)) = read_stat(task?.path().join("stat")) {
                *threads.entry(name).or_default() += cpu;
            }
        }
        Ok(threads)
    }

    /// The most memory that it ever had resident, in bytes.
    pub(crate) fn memory_peak_bytes(&self) -> Result<u64> {
        let status = fs::read_to_string(self.proc("status"))?;
        let peak = status
            .lines()
            .find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB"));
        let kib: u64 = peak.context("no VmHWM in /proc")?.parse()?;
        Ok(kib * 1024)
    }

    /// Asks it to end, as an operator would, and waits; an error unless it ends well in time.
    pub(crate) async fn stop(mut self) -> Result<()> {
        let id = i32::try_from(self.id()).ok().and_then(Pid::from_raw);
        kill_process(id.context("no process id")?, Signal::TERM)?;
        let started = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait()? {
                ensure!(
                    status.success(),
                    "the {} stopped with {status}{}",
                    self.name,
                    self.tail()
                );
                return Ok(());
            }
            ensure!(
                started.elapsed() < STOP_MAX,
                "the {} did not stop within {STOP_MAX:?}{}",
                self.name,
                self.tail()
            );
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }

    /// The end of its log, for an error message.
    pub(crate) fn tail(&self) -> String {
        let log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        let lines = log.iter().skip(log.len().saturating_sub(10));
        lines.fold("; its log ends with:".to_owned(), |text, line| {
            format!("{text}\n  {line}")
        })
    }

    fn proc(&self, file: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/{file}", self.id()))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail only when it has ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Processor time of this very process.
pub(crate) fn own_cpu() -> Result<Duration> {
    let (_, cpu) = read_stat("/proc/self/stat".into())?;
    Ok(cpu)
}

fn read_stat(path: PathBuf) -> Result<(String, Duration)> {
    let text = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
    parse_stat(&text).with_context(|| format!("{} has an unknown form", path.display()))
}

/// Name and processor time from a `stat` file, see proc(5).
fn parse_stat(text: &str) -> Option<(String, Duration)> {
    // The name may hold anything, so what follows begins at the last parenthesis.
    let (head, rest) = text.rsplit_once(')')?;
    let (_, name) = head.split_once('(')?;
    let mut fields = rest.split_ascii_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some((name.to_owned(), ticks(user + system)))
}

/// The time of so many clock ticks of `/proc`.
pub(crate) fn ticks(count: u64) -> Duration {
    let per_second = rustix::param::clock_ticks_per_second().max(1);
    Duration::from_nanos(count * (1_000_000_000 / per_second))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_a_stat_line_with_an_odd_name() {
        let line = "7 (a) b (c) S 1 7 7 0 -1 4194560 1 0 0 0 30 12 0 0 20 0 1 0 100 1 1 1";
        let (name, cpu) = parse_stat(line).unwrap();
        assert_eq!(name, "a) b (c");
        assert_eq!(cpu, ticks(42));
    }

    #[test]
    fn reads_its_own_processor_time() {
        assert!(own_cpu().is_ok());
    }

    #[test]
    fn says_why_a_program_did_not_start() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", "echo broken >&2; exit 3"]);
        let mut process = Process::start("shell", &mut command).unwrap();
        let error = runtime
            .block_on(process.wait_for("nothing", |_| None::<()>))
            .unwrap_err();
        assert!(error.to_string().contains("exit status: 3"), "{error}");
    }

    #[test]
    fn a_dropped_process_is_gone() {
        let process = Process::start("sleeper", Command::new("sleep").arg("60")).unwrap();
        let id = process.id();
        assert!(PathBuf::from(format!("/proc/{id}")).exists());
        drop(process);
        assert!(!PathBuf::from(format!("/proc/{id}")).exists());
    }
}
