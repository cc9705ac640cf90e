//! `tidings serve`: the server, until SIGTERM or Ctrl-C.

use crate::{config, failure::Failure};
use clap::Args as ClapArgs;
use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};
use tidings_runtime::Server;
use tokio::signal::unix::{SignalKind, signal};

/// A signal this long after the first one means impatience.
const SECOND_SIGNAL_AFTER: Duration = Duration::from_secs(1);

#[derive(Debug, ClapArgs)]
pub(crate) struct Args {
    /// The configuration file
    #[arg(long, default_value = "tidings.toml")]
    config: PathBuf,
}

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let config = config::read(&args.config)?;
    config.log.start();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| anyhow::Error::from(error).context("starting the runtime"))?;
    runtime.block_on(serve(config, &args.config))
}

async fn serve(config: config::Config, path: &Path) -> Result<(), Failure> {
    // Before anything starts, so that a signal during the start is not lost.
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hangup = signal(SignalKind::hangup())?;
    let mut server = Server::start(config.server, config.catalog).await?;
    loop {
        tokio::select! {
            _ = terminate.recv() => tracing::info!("stopping on SIGTERM"),
            _ = interrupt.recv() => tracing::info!("stopping on SIGINT"),
            _ = hangup.recv() => {
                follow_policy(&mut server, path);
                server.reload().await;
                continue;
            }
            () = server.run() => tracing::error!("stopping: the store has failed"),
        }
        break;
    }
    let asked = Instant::now();
    let stopped = server.stop();
    tokio::pin!(stopped);
    loop {
        tokio::select! {
            result = &mut stopped => {
                result?;
                break;
            }
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        // Some tools signal a process and its group, which is one request that arrives twice.
        if asked.elapsed() >= SECOND_SIGNAL_AFTER {
            return Err(aborted());
        }
    }
    tracing::info!("stopped");
    Ok(())
}

/// Goes on with what the configuration says now of the addresses that may be dialled; of one with
/// faults nothing is taken.
fn follow_policy(server: &mut Server, path: &Path) {
    match config::read_policy(path) {
        Ok(policy) => server.set_policy(policy),
        Err(Failure::Usage(error) | Failure::Work(error)) => {
            let reason = format!("{error:#}");
            tracing::error!(reason, "configuration not read again, the one in use stays");
        }
        Err(Failure::Faults) => {}
    }
}

fn aborted() -> Failure {
    Failure::Work(anyhow::anyhow!(
        "stopped at once on a second signal; everything accepted is on disk"
    ))
}
