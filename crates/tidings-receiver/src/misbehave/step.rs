//! The steps that faults consist of.

use std::{io, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
    time::{sleep, timeout},
};
use tokio_rustls::server::TlsStream;

/// How long a closed connection is read on, so that the system does not make the end a reset
/// because of bytes that nobody read.
const LINGER: Duration = Duration::from_secs(1);
/// Time for the peer to read what was sent before a reset overtakes it.
const PAUSE: Duration = Duration::from_millis(50);
/// Longer than any sender should wait.
const FREEZE: Duration = Duration::from_secs(60);
/// Longest head of a request that is waited for.
const HEAD_BYTES_MAX: usize = 64 * 1024;

/// One step; after the last one the connection is closed in the proper way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Sends these bytes.
    Send(Vec<u8>),
    /// Sends these bytes one by one, one each interval.
    Trickle(Vec<u8>, Duration),
    /// Sends these bytes again and again until the peer leaves.
    Flood(Vec<u8>),
    /// Reads one byte.
    ReadByte,
    /// Reads up to the empty line that ends a head.
    ReadHead,
    /// Waits a moment.
    Pause,
    /// Reads on in silence until the peer leaves.
    Hang,
    /// Neither reads nor sends any more, for a minute.
    Freeze,
    /// Ends our side, reads on until the peer leaves.
    HalfClose,
    /// Ends the TCP stream; TLS is not told.
    Cut,
    /// Resets the connection.
    Reset,
}

/// What steps are taken on.
pub(super) trait Wire: AsyncRead + AsyncWrite + Unpin {
    /// The connection underneath.
    fn tcp(&self) -> &TcpStream;
    /// The connection underneath, without what is on top.
    fn into_tcp(self) -> TcpStream;
}

impl Wire for TcpStream {
    fn tcp(&self) -> &TcpStream {
        self
    }

    fn into_tcp(self) -> TcpStream {
        self
    }
}

impl Wire for TlsStream<TcpStream> {
    fn tcp(&self) -> &TcpStream {
        self.get_ref().0
    }

    fn into_tcp(self) -> TcpStream {
        self.into_inner().0
    }
}

/// Takes the steps.
pub(super) async fn run<W: Wire>(mut wire: W, steps: Vec<Step>) -> io::Result<()> {
    for step in steps {
        match step {
            Step::Send(bytes) => send(&mut wire, &bytes).await?,
            Step::Trickle(bytes, interval) => {
                for byte in bytes {
                    send(&mut wire, &[byte]).await?;
                    sleep(interval).await;
                }
            }
            Step::Flood(bytes) => loop {
                send(&mut wire, &bytes).await?;
            },
            Step::ReadByte => {
                wire.read_u8().await?;
            }
            Step::ReadHead => read_head(&mut wire).await?,
            Step::Pause => sleep(PAUSE).await,
            Step::Hang => return drain(&mut wire).await,
            Step::Freeze => {
                // Nothing is read, so the peer's end goes unnoticed.
                sleep(FREEZE).await;
                return Ok(());
            }
            Step::HalfClose => {
                wire.shutdown().await?;
                return drain(&mut wire).await;
            }
            Step::Cut => {
                let mut tcp = wire.into_tcp();
                tcp.shutdown().await?;
                return linger(&mut tcp).await;
            }
            Step::Reset => return wire.tcp().set_zero_linger(),
        }
    }
    wire.shutdown().await?;
    linger(&mut wire).await
}

async fn send(wire: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) -> io::Result<()> {
    wire.write_all(bytes).await?;
    wire.flush().await
}

async fn drain(wire: &mut (impl AsyncRead + Unpin)) -> io::Result<()> {
    let mut sink = tokio::io::sink();
    tokio::io::copy(wire, &mut sink).await.map(|_bytes| ())
}

/// Reads on for a moment, or until the peer has closed as well.
pub(super) async fn linger(wire: &mut (impl AsyncRead + Unpin)) -> io::Result<()> {
    timeout(LINGER, drain(wire)).await.unwrap_or(Ok(()))
}

async fn read_head(wire: &mut (impl AsyncRead + Unpin)) -> io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if head.len() > HEAD_BYTES_MAX {
            return Err(io::ErrorKind::InvalidData.into());
        }
        head.push(wire.read_u8().await?);
    }
    Ok(())
}
