//! Connections: the loop that takes them, TLS, HTTP/1.1 over it, and how each ends.
//!
//! Invariant: the loop ends when the receiver is told to stop and for no other reason. No task
//! outlives it: connections are its children, finish their request, and are dropped after
//! [`DRAIN_TIMEOUT`].

use crate::{
    handle::handle,
    limits::{
        ACCEPT_PAUSE, CONNECTIONS_MAX, DRAIN_TIMEOUT, HANDSHAKE_TIMEOUT, HEADER_BYTES_MAX,
        HEADER_TIMEOUT, HEADERS_MAX,
    },
    misbehave,
    reply::Cut,
    shared::Shared,
};
use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::{error::Error, io, pin::Pin, sync::Arc};
use tokio::{
    net::{TcpListener, TcpStream},
    task::{JoinError, JoinSet},
    time::{sleep, timeout},
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

/// Takes connections until the receiver stops, then waits for them to end.
pub(crate) async fn accept_loop(listener: TcpListener, acceptor: TlsAcceptor, shared: Arc<Shared>) {
    let http = http();
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = shared.stopped() => break,
            Some(ended) = connections.join_next() => report_end(ended, &shared),
            taken = listener.accept(), if connections.len() < CONNECTIONS_MAX => match taken {
                Ok((socket, _)) => {
                    shared.counters.connections.add(1);
                    let connection = serve(socket, acceptor.clone(), http.clone(), Arc::clone(&shared));
                    connections.spawn(connection);
                }
                Err(error) => {
                    tracing::warn!(%error, "could not take a connection");
                    sleep(ACCEPT_PAUSE).await;
                }
            },
        }
    }
    drop(listener);
    let drained = timeout(DRAIN_TIMEOUT, async {
        while let Some(ended) = connections.join_next().await {
            report_end(ended, &shared);
        }
    });
    if drained.await.is_err() {
        connections.shutdown().await;
    }
}

fn report_end(ended: Result<(), JoinError>, shared: &Shared) {
    shared.counters.connections_ended.add(1);
    if let Err(error) = ended {
        tracing::error!(%error, "a connection's task failed");
    }
}

fn http() -> http1::Builder {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_headers(HEADERS_MAX)
        .max_header_size(HEADER_BYTES_MAX);
    http
}

/// Serves one connection to its end.
async fn serve(
    socket: TcpStream,
    acceptor: TlsAcceptor,
    http: http1::Builder,
    shared: Arc<Shared>,
) {
    if let Some(behaviour) = shared.faults().plan_accept() {
        misbehave::accept(behaviour, socket, acceptor, &shared).await;
        return;
    }
    let Some(tls) = handshake(socket, acceptor, &shared).await else {
        return;
    };
    if let Some(behaviour) = shared.faults().plan_secured() {
        misbehave::secured(behaviour, tls, &shared).await;
        return;
    }
    let service = service_fn(|request| handle(Arc::clone(&shared), request));
    let mut connection = http.serve_connection(TokioIo::new(tls), service);
    let ended = tokio::select! {
        ended = &mut connection => Some(ended),
        () = shared.stopped() => None,
    };
    let ended = match ended {
        Some(ended) => ended,
        None => {
            Pin::new(&mut connection).graceful_shutdown();
            (&mut connection).await
        }
    };
    let Err(error) = ended else { return };
    match error.source().and_then(|source| source.downcast_ref()) {
        Some(Cut::Reset) => reset(connection.into_parts().io.into_inner().get_ref().0),
        Some(&Cut::Scripted(scripted)) => {
            let tls = connection.into_parts().io.into_inner();
            misbehave::answer(scripted, tls, &shared).await;
        }
        Some(Cut::Close) => {}
        None => tracing::debug!(%error, "a connection failed"),
    }
}

async fn handshake(
    socket: TcpStream,
    acceptor: TlsAcceptor,
    shared: &Shared,
) -> Option<TlsStream<TcpStream>> {
    // Answers are small and awaited.
    if let Err(error) = socket.set_nodelay(true) {
        tracing::debug!(%error, "could not switch off Nagle's algorithm");
    }
    let accepted = tokio::select! {
        accepted = timeout(HANDSHAKE_TIMEOUT, acceptor.accept(socket)) => accepted,
        () = shared.stopped() => return None,
    };
    let error = match accepted {
        Ok(Ok(tls)) => return Some(tls),
        Ok(Err(error)) => error,
        Err(_) => io::ErrorKind::TimedOut.into(),
    };
    shared.counters.handshakes_failed.add(1);
    tracing::debug!(%error, "a TLS handshake failed");
    None
}

/// Makes the socket's end a reset: with a linger time of zero, closing sends RST.
fn reset(socket: &TcpStream) {
    if let Err(error) = socket.set_zero_linger() {
        tracing::debug!(%error, "could not make the connection end with a reset");
    }
}
