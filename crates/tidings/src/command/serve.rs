//! `tidings serve`: the server, until SIGTERM or Ctrl-C.

use crate::{config, failure::Failure};
use clap::Args as ClapArgs;
use std::path::PathBuf;
use tidings_runtime::Server;
use tokio::signal::unix::{SignalKind, signal};

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
    runtime.block_on(serve(config))
}

async fn serve(config: config::Config) -> Result<(), Failure> {
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
                server.reload().await;
                continue;
            }
            () = server.run() => tracing::error!("stopping: the store has failed"),
        }
        break;
    }
    let stopped = server.stop();
    tokio::select! {
        result = stopped => result?,
        _ = terminate.recv() => return Err(aborted()),
        _ = interrupt.recv() => return Err(aborted()),
    }
    tracing::info!("stopped");
    Ok(())
}

fn aborted() -> Failure {
    Failure::Work(anyhow::anyhow!(
        "stopped at once on a second signal; everything accepted is on disk"
    ))
}
