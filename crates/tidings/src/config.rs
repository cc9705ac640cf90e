//! `tidings.toml`: parsed once into typed settings, with every mistake named by its line.

use crate::{catalog_file, failure::Failure};
use anyhow::anyhow;
use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};
use tidings_egress::AddressPolicy;
use tidings_model::Timestamp;
use tidings_runtime::{CatalogFile, RecordSettings, ServerSettings, settings::PROFILES_IN_MEMORY};
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};
use tracing_subscriber::EnvFilter;

/// Everything that `serve` needs.
#[derive(Debug)]
pub(crate) struct Config {
    pub(crate) server: ServerSettings,
    pub(crate) catalog: CatalogFile,
    pub(crate) log: LogSettings,
}

/// What is logged.
#[derive(Debug, Default)]
pub(crate) struct LogSettings {
    level: Option<String>,
}

impl LogSettings {
    /// A level as in `[log] level`.
    pub(crate) fn from_level(level: &str) -> Self {
        Self {
            level: Some(level.to_owned()),
        }
    }

    /// Logs to standard error: text on a terminal, one JSON object per line elsewhere. `RUST_LOG`
    /// goes before the configured level.
    pub(crate) fn start(&self) {
        use std::io::IsTerminal as _;
        let level = self.level.as_deref().unwrap_or("info");
        let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(level));
        let builder = tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_writer(std::io::stderr);
        let started = if std::io::stderr().is_terminal() {
            builder.try_init()
        } else {
            builder.json().flatten_event(true).try_init()
        };
        // A second start, as in tests, keeps the first settings.
        drop(started);
    }
}

/// Reads the configuration and the catalog that it names.
pub(crate) fn read(path: &Path) -> Result<Config, Failure> {
    let directory = path.parent().unwrap_or_else(|| Path::new("."));
    let (parsed, ca_pem) = read_file(path, directory)?;
    let policy = parsed.policy();
    let catalog_path = directory.join(parsed.catalog.unwrap_or_else(|| "catalog.yaml".into()));
    let loaded = catalog_file::require(&catalog_path, policy)?;
    Ok(Config {
        server: ServerSettings {
            data_dir: directory.join(parsed.data_dir.unwrap_or_else(|| "data".into())),
            collect: parsed
                .collect
                .unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 8080))),
            admin: parsed
                .admin
                .unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 8081))),
            ca_pem,
            dangerous_allow_private_addresses: parsed.dangerous_allow_private_addresses,
            virtual_now: parsed.dangerous_virtual,
            profiles_in_memory_max: PROFILES_IN_MEMORY,
            records: parsed.records,
        },
        catalog: loaded,
        log: LogSettings {
            level: parsed.log_level,
        },
    })
}

/// Reads what of the configuration can change while the server runs.
pub(crate) fn read_policy(path: &Path) -> Result<AddressPolicy, Failure> {
    let directory = path.parent().unwrap_or_else(|| Path::new("."));
    let (parsed, _) = read_file(path, directory)?;
    Ok(parsed.policy())
}

/// Reads the file and the trust roots that it names.
fn read_file(path: &Path, directory: &Path) -> Result<(Parsed, Option<Vec<u8>>), Failure> {
    let text = fs::read_to_string(path).map_err(|error| {
        Failure::usage(format_args!("could not read {}: {error}", path.display()))
    })?;
    let (parsed, mut faults) = parse(&text);
    let file = parsed.delivery_ca_file.as_ref().map(|(ca_file, line)| {
        let ca_file = directory.join(ca_file);
        fs::read(&ca_file).map_err(|error| {
            let ca_file = ca_file.display();
            (
                *line,
                format!("delivery.ca_file: could not read {ca_file}: {error}"),
            )
        })
    });
    let ca_pem = match file.transpose() {
        Ok(pem) => pem,
        Err(fault) => {
            faults.push(fault);
            None
        }
    };
    if faults.is_empty() {
        return Ok((parsed, ca_pem));
    }
    faults.sort_by_key(|(line, _)| *line);
    let name = path
        .file_name()
        .unwrap_or(path.as_os_str())
        .to_string_lossy();
    let list: Vec<_> = faults
        .iter()
        .map(|(line, fault)| format!("{name}:{line}: {fault}"))
        .collect();
    Err(Failure::Usage(anyhow!(
        "the configuration has faults\n{}",
        list.join("\n")
    )))
}

#[derive(Debug, Default)]
struct Parsed {
    data_dir: Option<PathBuf>,
    catalog: Option<PathBuf>,
    collect: Option<SocketAddr>,
    admin: Option<SocketAddr>,
    delivery_ca_file: Option<(PathBuf, usize)>,
    dangerous_allow_private_addresses: bool,
    dangerous_virtual: Option<Timestamp>,
    log_level: Option<String>,
    records: RecordSettings,
}

impl Parsed {
    const fn policy(&self) -> AddressPolicy {
        AddressPolicy {
            allow_private: self.dangerous_allow_private_addresses,
        }
    }
}

/// The line and what is wrong there.
type Fault = (usize, String);

struct Reader<'a> {
    text: &'a str,
    faults: Vec<Fault>,
}

fn parse(text: &str) -> (Parsed, Vec<Fault>) {
    let mut reader = Reader {
        text,
        faults: Vec::new(),
    };
    let mut parsed = Parsed::default();
    let (table, errors) = DeTable::parse_recoverable(text);
    for error in errors {
        let line = error.span().map_or(1, |span| line_of(text, span.start));
        reader.faults.push((line, error.message().to_owned()));
    }
    if reader.faults.is_empty() {
        reader.root(table.get_ref(), &mut parsed);
    }
    (parsed, reader.faults)
}

/// A whole number of KiB, MiB or GiB.
fn parse_bytes(text: &str) -> Option<u64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits)?;
    let shift = match unit.trim_start() {
        "KiB" => 10,
        "MiB" => 20,
        "GiB" => 30,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(1 << shift)
}

fn line_of(text: &str, offset: usize) -> usize {
    text.bytes()
        .take(offset)
        .filter(|&byte| byte == b'\n')
        .count()
        + 1
}

impl Reader<'_> {
    fn fault(&mut self, at: usize, what: String) {
        self.faults.push((line_of(self.text, at), what));
    }

    fn root(&mut self, table: &DeTable<'_>, parsed: &mut Parsed) {
        for (key, value) in table {
            match key.get_ref().as_ref() {
                "data_dir" => parsed.data_dir = self.string("data_dir", value).map(Into::into),
                "catalog" => parsed.catalog = self.string("catalog", value).map(Into::into),
                section @ ("collect" | "admin" | "delivery" | "attempts" | "removals" | "clock"
                | "log") => {
                    let DeValue::Table(table) = value.get_ref() else {
                        self.fault(value.span().start, format!("[{section}] must be a table"));
                        continue;
                    };
                    for (key, value) in table {
                        self.entry(section, key, value, parsed);
                    }
                }
                other => {
                    let known = "data_dir, catalog, collect, admin, delivery, attempts, removals, \
                                 clock, log";
                    let what = format!("unknown key {other}; known are {known}");
                    self.fault(key.span().start, what);
                }
            }
        }
    }

    fn entry(
        &mut self,
        section: &str,
        key: &Spanned<std::borrow::Cow<'_, str>>,
        value: &Spanned<DeValue<'_>>,
        parsed: &mut Parsed,
    ) {
        let name = format!("{section}.{}", key.get_ref());
        match name.as_str() {
            "collect.listen" => parsed.collect = self.address(&name, value),
            "admin.listen" => {
                parsed.admin = self.address(&name, value);
                if parsed
                    .admin
                    .is_some_and(|address| !address.ip().is_loopback())
                {
                    let what =
                        "the admin side has no authentication yet and listens on loopback only";
                    self.fault(value.span().start, format!("{name}: {what}; use 127.0.0.1"));
                }
            }
            "delivery.ca_file" => {
                let line = line_of(self.text, value.span().start);
                parsed.delivery_ca_file = self.string(&name, value).map(|path| (path.into(), line));
            }
            "delivery.dangerous_allow_private_addresses" => match value.get_ref() {
                DeValue::Boolean(yes) => parsed.dangerous_allow_private_addresses = *yes,
                _ => self.fault(value.span().start, format!("{name} must be true or false")),
            },
            "attempts.keep" => {
                if let Some(keep) = self.duration(&name, value) {
                    parsed.records.attempts_keep = keep;
                }
            }
            "attempts.max_bytes" => {
                if let Some(bytes) = self.bytes(&name, value) {
                    parsed.records.attempts_bytes_max = bytes;
                }
            }
            "removals.keep" => {
                if let Some(keep) = self.duration(&name, value) {
                    parsed.records.removals_keep = keep;
                }
            }
            "clock.dangerous_virtual" => {
                let Some(text) = self.string(&name, value) else {
                    return;
                };
                match Timestamp::parse(&text) {
                    Ok(time) => parsed.dangerous_virtual = Some(time),
                    Err(error) => self.fault(value.span().start, format!("{name}: {error}")),
                }
            }
            "log.level" => {
                let Some(text) = self.string(&name, value) else {
                    return;
                };
                if EnvFilter::try_new(&text).is_err() {
                    let what = format!(
                        "{name}: {text:?} is not a level; use error, warn, info, debug or trace"
                    );
                    self.fault(value.span().start, what);
                }
                parsed.log_level = Some(text);
            }
            _ => self.fault(key.span().start, format!("unknown key {name}")),
        }
    }

    fn string(&mut self, name: &str, value: &Spanned<DeValue<'_>>) -> Option<String> {
        match value.get_ref() {
            DeValue::String(text) => Some(text.to_string()),
            _ => {
                self.fault(value.span().start, format!("{name} must be a string"));
                None
            }
        }
    }

    fn duration(&mut self, name: &str, value: &Spanned<DeValue<'_>>) -> Option<Duration> {
        let text = self.string(name, value)?;
        match tidings_catalog::parse_duration(&text) {
            Ok(duration) => Some(duration),
            Err(error) => {
                self.fault(value.span().start, format!("{name}: {error}"));
                None
            }
        }
    }

    fn bytes(&mut self, name: &str, value: &Spanned<DeValue<'_>>) -> Option<u64> {
        let text = self.string(name, value)?;
        let bytes = parse_bytes(&text);
        if bytes.is_none() {
            let what = format!("{name}: {text:?} is not a size like 64MiB, 512KiB or 1GiB");
            self.fault(value.span().start, what);
        }
        bytes
    }

    fn address(&mut self, name: &str, value: &Spanned<DeValue<'_>>) -> Option<SocketAddr> {
        let text = self.string(name, value)?;
        match text.parse() {
            Ok(address) => Some(address),
            Err(_) => {
                let what = format!("{name}: {text:?} is not an address like 127.0.0.1:8080");
                self.fault(value.span().start, what);
                None
            }
        }
    }
}
