//! Handshakes that go wrong: scripts in place of TLS, and TLS with certificates that no sender
//! should take.

use super::step::{self, Step};
use crate::{fault::Scripted, tls::FaultyTls};
use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::{Interval, MissedTickBehavior},
};
use tokio_rustls::TlsAcceptor;

/// Carries out a fault before or within the handshake.
pub(super) async fn run(
    scripted: Scripted,
    mut socket: TcpStream,
    acceptor: TlsAcceptor,
    faulty: &FaultyTls,
) -> io::Result<()> {
    match scripted {
        Scripted::AcceptClose => step::run(socket, vec![]).await,
        Scripted::TlsTrickle => {
            let slow = Trickle::new(socket, Duration::from_secs(1));
            acceptor.accept(slow).await.map(|_done| ())
        }
        _ => {
            let Some(steps) = hello(scripted) else {
                return refuse(scripted, socket, faulty).await;
            };
            read_record(&mut socket).await?;
            step::run(socket, steps).await
        }
    }
}

/// What is sent in answer to the first message of a handshake.
fn hello(scripted: Scripted) -> Option<Vec<Step>> {
    /// The header of a record of 122 bytes, and the beginning of a ServerHello in it.
    const BEGUN: &[u8] = b"\x16\x03\x03\x00\x7a\x02\x00\x00\x76\x03\x03";
    let send = |bytes: &[u8]| Step::Send(bytes.to_vec());
    // A fatal alert (RFC 8446 6).
    let alert = |description: u8| vec![send(&[0x15, 3, 3, 0, 2, 2, description]), Step::Hang];
    Some(match scripted {
        Scripted::PlainHttp => {
            vec![
                send(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"),
                Step::Hang,
            ]
        }
        Scripted::TlsGarbage => vec![send(&[0xa5; 1_024]), Step::Hang],
        Scripted::TlsHelloHang => vec![send(BEGUN), Step::Hang],
        Scripted::TlsHelloClose => vec![send(BEGUN)],
        Scripted::TlsHelloReset => vec![send(BEGUN), Step::Pause, Step::Reset],
        Scripted::TlsFlood => {
            // A certificate message of 16 MiB in records of 16 KiB.
            let mut record = vec![0x16, 3, 3, 0x40, 0, 0x0b, 0xff, 0xff, 0xff];
            record.resize(5 + 0x4000, 0);
            vec![Step::Flood(record)]
        }
        Scripted::TlsOld => vec![send(&old_hello()), Step::Hang],
        Scripted::TlsNoSharedCipher => alert(40),
        Scripted::TlsUnrecognisedName => alert(112),
        Scripted::TlsInternalError => alert(80),
        _ => return None,
    })
}

/// A ServerHello that chooses TLS 1.1 (RFC 4346 7.4.1.3).
fn old_hello() -> Vec<u8> {
    let mut hello = vec![0x16, 3, 2, 0, 42, 2, 0, 0, 38, 3, 2];
    hello.extend([7; 32]); // Random.
    hello.push(0); // No session.
    hello.extend([0, 0x2f]); // TLS_RSA_WITH_AES_128_CBC_SHA.
    hello.push(0); // No compression.
    hello
}

/// Does a handshake that the sender should break off.
async fn refuse(scripted: Scripted, socket: TcpStream, faulty: &FaultyTls) -> io::Result<()> {
    let config = match faulty.config(scripted) {
        Ok(config) => config,
        Err(error) => {
            tracing::warn!(%error, fault = scripted.as_str(), "a fault cannot be carried out");
            return step::run(socket, vec![Step::Reset]).await;
        }
    };
    match TlsAcceptor::from(Arc::new(config))
        .accept(socket)
        .into_fallible()
        .await
    {
        // It was taken: a sender that is worse than it should be. It hears no more.
        Ok(stream) => step::run(stream, vec![Step::Hang]).await,
        // The alert must arrive before the connection goes.
        Err((_error, mut socket)) => step::linger(&mut socket).await,
    }
}

async fn read_record(socket: &mut TcpStream) -> io::Result<()> {
    let mut header = [0; 5];
    socket.read_exact(&mut header).await?;
    let [.., high, low] = header;
    let mut record = vec![0; usize::from(u16::from_be_bytes([high, low]))];
    socket.read_exact(&mut record).await.map(|_bytes| ())
}

/// A stream that writes one byte per interval.
struct Trickle {
    inner: TcpStream,
    ticks: Interval,
}

impl Trickle {
    fn new(inner: TcpStream, interval: Duration) -> Self {
        let mut ticks = tokio::time::interval(interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { inner, ticks }
    }
}

impl AsyncRead for Trickle {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(cx, buf)
    }
}

impl AsyncWrite for Trickle {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.ticks.poll_tick(cx));
        let byte = data.get(..1).unwrap_or_default();
        Pin::new(&mut self.inner).poll_write(cx, byte)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}
