//! `tidings simulate`: what a catalog and a file of events would lead to, under virtual time.

use crate::{catalog_file, failure::Failure, progress::Progress};
use anyhow::anyhow;
use clap::Args as ClapArgs;
use std::{
    fs::File,
    io::{self, BufRead as _, BufReader, BufWriter, Write},
    path::{Path, PathBuf},
    sync::Arc,
};
use tidings_collect::{Line, Subject, Submitted, parse_line};
use tidings_dispatch::Kind;
use tidings_egress::AddressPolicy;
use tidings_engine::MappingChanges;
use tidings_model::{Catalog, DeviceUuid, Method, SegmentId, Timestamp, limits};
use tidings_runtime::{
    core::{ActiveCatalog, PrivacyRequest},
    simulate::{SentMessage, Simulation},
    why,
};

#[derive(Debug, ClapArgs)]
pub(crate) struct Args {
    /// The catalog file
    #[arg(long)]
    catalog: PathBuf,
    /// Events, one JSON object per line, each with `time`, in order of time; `-` is standard input
    #[arg(long)]
    events: PathBuf,
    /// How far to run, as 2016-07-27T16:17:22Z; by default the last event plus the longest linger.
    /// What comes later is not read
    #[arg(long, value_parser = parse_time)]
    until: Option<Timestamp>,
    /// Print, instead of the messages, why a device is in a segment or not at the end, and what
    /// partners were told of it; may be given more than once
    #[arg(long, value_name = "UUID:SEGMENT", value_parser = parse_pair)]
    why: Vec<(DeviceUuid, SegmentId)>,
    /// With --why: one JSON object per line
    #[arg(long, requires = "why")]
    json: bool,
}

fn parse_pair(text: &str) -> Result<(DeviceUuid, SegmentId), String> {
    let (uuid, segment) = text
        .split_once(':')
        .ok_or("write a device's UUID, a colon and a segment's id, as in 4250948725049857:12176")?;
    let uuid = uuid.parse().map_err(|error| format!("UUID: {error}"))?;
    let segment = segment.parse();
    Ok((uuid, segment.map_err(|error| format!("SEGMENT: {error}"))?))
}

fn parse_time(text: &str) -> Result<Timestamp, String> {
    Timestamp::parse(text).map_err(|error| error.to_string())
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    // A dry run dials nothing, so no address is refused.
    let loaded = catalog_file::require(
        &args.catalog,
        AddressPolicy {
            allow_private: true,
        },
    )?;
    let linger = longest_linger(&loaded.catalog);
    let active = ActiveCatalog::new(loaded.catalog, 1, MappingChanges::default())
        .map_err(|error| Failure::usage(format_args!("{}: {error}", args.catalog.display())))?;
    let input: Box<dyn io::BufRead> = if args.events.as_os_str() == "-" {
        Box::new(BufReader::new(io::stdin()))
    } else {
        let file = File::open(&args.events).map_err(|error| {
            Failure::usage(format_args!(
                "could not read {}: {error}",
                args.events.display()
            ))
        })?;
        Box::new(BufReader::new(file))
    };
    let mut out = BufWriter::new(io::stdout().lock());
    let active = Arc::new(active);
    let run = |messages: &mut dyn Write| {
        simulate(&active, input, &args.events, args.until, linger, messages)
    };
    let simulated = if args.why.is_empty() {
        run(&mut out).map(drop)
    } else {
        run(&mut io::sink()).and_then(|simulation| {
            let simulation = simulation.unwrap_or_else(|| {
                Simulation::new(Arc::clone(&active), args.until.unwrap_or_default())
            });
            explain(simulation, args, &mut out)
        })
    };
    match out.flush().map_err(Failure::from).and(simulated) {
        Err(Failure::Work(error)) if is_closed_pipe(&error) => Ok(()),
        result => result,
    }
}

/// Whole seconds, rounded up.
fn longest_linger(catalog: &Catalog) -> i64 {
    let longest = catalog
        .destinations
        .iter()
        .map(|destination| destination.max_linger)
        .max();
    i64::try_from(longest.unwrap_or_default().as_millis().div_ceil(1000)).unwrap_or(0)
}

fn is_closed_pipe(error: &anyhow::Error) -> bool {
    let io = error.downcast_ref::<io::Error>();
    io.is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

/// Answers every `--why`, in the order given.
fn explain(mut simulation: Simulation, args: &Args, out: &mut impl Write) -> Result<(), Failure> {
    for (position, (uuid, segment)) in args.why.iter().enumerate() {
        let why = simulation
            .why(uuid, *segment)
            .map_err(|error| Failure::usage(format_args!("--why {uuid}:{segment}: {error}")))?;
        if args.json {
            writeln!(out, "{}", why::to_json(uuid, &why))?;
            continue;
        }
        let between = if position > 0 { "\n" } else { "" };
        writeln!(out, "{between}device {uuid}, {why}")?;
    }
    Ok(())
}

/// Runs to the end; `None` when there was no line.
fn simulate(
    catalog: &Arc<ActiveCatalog>,
    input: impl io::BufRead,
    events: &Path,
    until: Option<Timestamp>,
    linger: i64,
    out: &mut dyn Write,
) -> Result<Option<Simulation>, Failure> {
    let name = events.display();
    // Files named in a line lie beside the file of lines; standard input has no place.
    let directory = events.parent().unwrap_or_else(|| Path::new("."));
    let mut simulation: Option<Simulation> = None;
    let mut failed = Ok(());
    let mut input = input.take(u64::MAX);
    let mut line = String::new();
    let mut progress = Progress::on_terminal();
    for number in 1.. {
        line.clear();
        // A line of events is never longer than a whole request of them.
        input.set_limit(limits::EVENTS_BODY_BYTES_MAX as u64);
        let wrong = |what: String| Failure::Usage(anyhow!("{name}:{number}: {what}"));
        let read = input
            .read_line(&mut line)
            .map_err(|error| wrong(error.to_string()))?;
        if read == 0 {
            break;
        }
        if line.trim().is_empty() {
            continue;
        }
        let parsed = parse_line(line.trim_end()).map_err(|error| wrong(error.message))?;
        let time = parsed.time();
        if until.is_some_and(|until| time > until) {
            break;
        }
        let simulation =
            simulation.get_or_insert_with(|| Simulation::new(Arc::clone(catalog), time));
        if time < simulation.now() {
            let now = simulation.now();
            return Err(wrong(format!(
                "{time} lies before {now}; lines must be in order of time"
            )));
        }
        let mut print = |sent: SentMessage<'_>| {
            if failed.is_ok() {
                failed = print(out, sent);
            }
        };
        progress.tell(|| format!("line {number}, {time}"));
        simulation.run_until(time, &mut print);
        match parsed {
            Line::Event(event) => {
                if let Submitted::Rejected { code, message } = simulation.event(&event, &mut print)
                {
                    return Err(wrong(format!("{message} ({code})")));
                }
            }
            Line::OptOut { who, .. } => {
                known_data_source(simulation, &who).map_err(wrong)?;
                simulation.privacy(PrivacyRequest::OptOut, &who, &mut print);
            }
            Line::Delete { who, .. } => {
                known_data_source(simulation, &who).map_err(wrong)?;
                simulation.privacy(PrivacyRequest::Delete, &who, &mut print);
            }
            Line::Catalog { file, .. } => {
                let path = directory.join(file);
                let policy = AddressPolicy {
                    allow_private: true,
                };
                let loaded = catalog_file::require(&path, policy)?;
                simulation
                    .replace_catalog(loaded.catalog, &mut print)
                    .map_err(|error| wrong(format!("{}: {error}", path.display())))?;
            }
        }
        std::mem::replace(&mut failed, Ok(()))?;
    }
    if let Some(simulation) = &mut simulation {
        let end = until.unwrap_or_else(|| simulation.now().plus_seconds(linger));
        simulation.run_until(end, &mut |sent| {
            if failed.is_ok() {
                failed = print(out, sent);
            }
        });
    }
    failed?;
    Ok(simulation)
}

/// Refuses an id of a data source that the catalog in use does not have: it would be flagged in vain.
fn known_data_source(simulation: &Simulation, who: &Subject) -> Result<(), String> {
    match who {
        Subject::Id { data_source, .. } if !simulation.has_data_source(*data_source) => Err(
            format!("id.data_source: there is no data source {data_source} (unknown_data_source)"),
        ),
        _ => Ok(()),
    }
}

/// One line per message. The body is already JSON and goes in as it is.
fn print(out: &mut dyn Write, sent: SentMessage<'_>) -> io::Result<()> {
    let SentMessage {
        time,
        destination,
        kind,
        method,
        body,
    } = sent;
    let kind = match kind {
        Kind::Realtime => "realtime",
        Kind::Batch => "batch",
    };
    write!(
        out,
        r#"{{"time":"{time}","destination":{destination},"kind":"{kind}","#
    )?;
    match method {
        Method::Post => {
            out.write_all(br#""body":"#)?;
            out.write_all(body)?;
        }
        // Nothing in it needs an escape.
        Method::Get => {
            out.write_all(br#""get":""#)?;
            out.write_all(body)?;
            out.write_all(b"\"")?;
        }
    }
    out.write_all(b"}\n")
}
