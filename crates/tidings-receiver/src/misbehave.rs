//! Carries out the faults that no library would commit: they take a connection over, byte by byte.
//!
//! A fault takes hold before TLS ([`accept`]), after the handshake ([`secured`]) or after a request
//! ([`answer`]). Each is a list of [`Step`]s, in `bytes` for HTTP and in `handshake` for TLS.
//!
//! Invariant: all of them end when the receiver stops, and none sends for ever to a peer that has
//! left: whatever has no end breaks off at the first write that fails.

mod bytes;
mod handshake;
mod step;

use crate::{
    fault::{Behaviour, Scripted},
    shared::Shared,
};
use step::Step;
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, server::TlsStream};

/// Carries out a fault of a connection on which nothing was said yet.
pub(crate) async fn accept(
    behaviour: Behaviour,
    socket: TcpStream,
    acceptor: TlsAcceptor,
    shared: &Shared,
) {
    let work = async {
        match behaviour {
            Behaviour::AcceptReset => step::run(socket, vec![Step::Reset]).await,
            Behaviour::Scripted(scripted) => {
                handshake::run(scripted, socket, acceptor, &shared.faulty).await
            }
            // Silence is what is left: `accept-hang`.
            _ => step::run(socket, vec![Step::Hang]).await,
        }
    };
    until_stopped(work, shared).await;
}

/// Carries out a fault of a connection whose handshake is done and whose request was not read.
pub(crate) async fn secured(behaviour: Behaviour, stream: TlsStream<TcpStream>, shared: &Shared) {
    if let Behaviour::Scripted(scripted) = behaviour {
        answer(scripted, stream, shared).await;
    }
}

/// Carries out a fault instead of an answer.
pub(crate) async fn answer(scripted: Scripted, stream: TlsStream<TcpStream>, shared: &Shared) {
    until_stopped(step::run(stream, bytes::script(scripted)), shared).await;
}

async fn until_stopped(work: impl Future<Output = std::io::Result<()>>, shared: &Shared) {
    tokio::select! {
        ended = work => {
            // The sender left in the midst of it, which is its good right.
            tracing::trace!(?ended, "a fault was carried out");
        }
        () = shared.stopped() => {}
    }
}
