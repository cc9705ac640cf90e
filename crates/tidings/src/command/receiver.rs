//! `tidings receiver`: a reference partner endpoint over HTTPS.

use crate::{config::LogSettings, failure::Failure};
use clap::Args as ClapArgs;
use std::{
    io::{self, Write as _},
    net::SocketAddr,
    path::PathBuf,
    time::Duration,
};
use tidings_receiver::{Fault, OAuthSettings, ReceiverSettings, Strictness, VerifySpec};
use tokio::signal::unix::{SignalKind, signal};

#[derive(Debug, ClapArgs)]
pub(crate) struct Args {
    /// Where to listen; port 0 takes any free one
    #[arg(long, default_value = "127.0.0.1:9443")]
    listen: SocketAddr,
    /// Directory of ca.pem, cert.pem and key.pem, which are made if none is there
    #[arg(long, value_name = "DIR")]
    tls_dir: Option<PathBuf>,
    /// Another name or address for the certificate, if it is made; repeatable
    #[arg(long, value_name = "NAME")]
    tls_name: Vec<String>,
    /// Demand a signature, HEADER:HASH:KEY with KEY as text, env:NAME, file:PATH or plain:TEXT;
    /// repeatable
    #[arg(long, value_name = "RULE")]
    verify: Vec<VerifySpec>,
    /// Issue tokens at /oauth2/token to this client, ID:SECRET, and demand them
    #[arg(long, value_name = "ID:SECRET")]
    oauth: Option<String>,
    /// How long a token lives
    #[arg(long, value_parser = tidings_catalog::parse_duration, requires = "oauth")]
    token_ttl: Option<Duration>,
    /// Append one JSON line per request to this file
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
    /// Refuse what is otherwise only reported, as a wrong User_count
    #[arg(long)]
    strict: bool,
    /// Another name of the member with the destination's id to accept
    #[arg(long, value_name = "NAME")]
    destination_key: Option<String>,
    /// Do wrong on purpose, as status=500,rate=0.1; repeatable; see --list-faults
    #[arg(long, value_name = "FAULT")]
    fault: Vec<Fault>,
    /// List the faults, then stop
    #[arg(long)]
    list_faults: bool,
    /// List them as JSON
    #[arg(long, requires = "list_faults")]
    json: bool,
    /// Seed of the faults' rates
    #[arg(long, default_value_t = 0)]
    seed: u64,
}

pub(crate) fn run(args: Args) -> Result<(), Failure> {
    if args.list_faults {
        return list_faults(&args);
    }
    LogSettings::default().start();
    let settings = settings(args)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(receive(settings))
}

fn list_faults(args: &Args) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    let all = tidings_receiver::list();
    if args.json {
        let text = serde_json::to_string_pretty(&all).map_err(anyhow::Error::new)?;
        writeln!(out, "{text}")?;
        return Ok(());
    }
    let mut group = None;
    for fault in all {
        if group.replace(fault.group) != Some(fault.group) {
            writeln!(out, "{}", fault.group)?;
        }
        writeln!(out, "  {:34} {}", fault.example, fault.does)?;
    }
    Ok(())
}

fn settings(args: Args) -> Result<ReceiverSettings, Failure> {
    let verify = args
        .verify
        .into_iter()
        .map(|rule| {
            let secret = tidings_runtime::secret::read_secret(&rule.secret).map_err(|error| {
                Failure::usage(format_args!("--verify {}: {error}", rule.header))
            })?;
            Ok(rule.with_key(secret.as_bytes()))
        })
        .collect::<Result<_, Failure>>()?;
    let oauth = args
        .oauth
        .map(|client| {
            let ttl = args.token_ttl.unwrap_or(OAuthSettings::TOKEN_TTL);
            OAuthSettings::parse(&client, ttl)
                .ok_or_else(|| Failure::usage("--oauth must be ID:SECRET"))
        })
        .transpose()?;
    Ok(ReceiverSettings {
        listen: args.listen,
        tls_dir: args.tls_dir,
        tls_names: args.tls_name,
        verify,
        oauth,
        faults: args.fault,
        seed: args.seed,
        record: args.record,
        strictness: if args.strict {
            Strictness::Strict
        } else {
            Strictness::Tolerant
        },
        destination_key: args.destination_key,
        ..ReceiverSettings::default()
    })
}

async fn receive(settings: ReceiverSettings) -> Result<(), Failure> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let receiver = tidings_receiver::start(settings)
        .await
        .map_err(|error| Failure::Usage(anyhow::Error::new(error)))?;
    let stats_url = format!("{}/_stats", receiver.url());
    tracing::info!(address = %receiver.local_addr(), "listening; counts at {stats_url}");
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    let stats = receiver.stats();
    receiver.shutdown().await;
    let text = serde_json::to_string(&stats).map_err(anyhow::Error::new)?;
    writeln!(io::stdout(), "{text}")?;
    Ok(())
}
