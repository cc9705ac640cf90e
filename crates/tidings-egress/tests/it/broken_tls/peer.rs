//! The servers: a TLS library with some configuration, the same behind a hand that changes its
//! records, or records made by hand.

use rustls::ServerConfig;
use std::{sync::Arc, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, duplex},
    net::{TcpListener, TcpStream},
    time::interval,
};
use tokio_rustls::TlsAcceptor;

/// Type of a record that carries application data.
const APPLICATION_DATA: u8 = 23;

/// Length of the record that a client of TLS 1.3 says goodbye with once it has keys: an alert of two
/// bytes, its type, and a tag of 16. No request is as short.
const ENCRYPTED_ALERT_BYTES: usize = 19;

pub(super) enum Peer {
    /// The library as configured.
    Library(ServerConfig),
    /// The library, each of its records seen by the tamperer first.
    Tampered(ServerConfig, Tamper),
    /// No library.
    ByHand(Vec<Move>),
}

/// What happens to the record of this number, counted from 0, of the server.
pub(super) type Tamper = fn(usize, &mut Vec<u8>) -> Fate;

#[derive(Clone, Copy)]
pub(super) enum Fate {
    Pass,
    Twice,
    Close,
    Reset,
    Hang,
}

/// What a server without a library does, in order; afterwards it closes.
pub(super) enum Move {
    /// Reads one record of the client's.
    Read,
    /// Sends bytes.
    Send(Vec<u8>),
    /// Sends what this makes of the client's hello, the first record read.
    Reply(fn(&[u8]) -> Vec<u8>),
    /// Sends the bytes again and again until the client goes.
    Flood(Vec<u8>),
    /// Sends the bytes one by one, slowly, again and again until the client goes.
    Drip(Vec<u8>),
    /// Waits until the client goes.
    Hang,
    /// Resets the connection.
    Reset,
}

impl Peer {
    /// Serves one connection and returns the application bytes that it received.
    pub(super) async fn serve(self, listener: TcpListener) -> usize {
        let (stream, _) = listener.accept().await.unwrap();
        stream.set_nodelay(true).unwrap();
        match self {
            Self::Library(config) => answer(config, stream).await,
            Self::Tampered(config, tamper) => {
                let (near, far) = duplex(64 * 1024);
                // Ends when either side does.
                let between = tokio::spawn(pass(stream, far, tamper));
                let bytes = answer(config, near).await;
                between.abort();
                bytes
            }
            Self::ByHand(moves) => {
                let (mut stream, mut seen) = (stream, Vec::new());
                // Breaks off when the client goes away.
                if let Ok(Then::Listen) = play(&mut stream, moves, &mut seen).await {
                    let _ended = stream.read_to_end(&mut seen).await;
                }
                in_the_clear(&seen)
            }
        }
    }
}

/// Accepts, reads what comes, answers 200 to the first of it.
async fn answer<S: AsyncRead + AsyncWrite + Unpin>(config: ServerConfig, stream: S) -> usize {
    let Ok(mut stream) = TlsAcceptor::from(Arc::new(config)).accept(stream).await else {
        return 0;
    };
    let (mut bytes, mut buffer) = (0, vec![0; 16 * 1024]);
    while let Ok(read @ 1..) = stream.read(&mut buffer).await {
        if bytes == 0 {
            let _sent = stream
                .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                .await;
            let _sent = stream.flush().await;
        }
        bytes += read;
    }
    bytes
}

async fn pass(client: TcpStream, server: tokio::io::DuplexStream, tamper: Tamper) {
    let (mut from_server, mut to_server) = tokio::io::split(server);
    let (mut from_client, mut to_client) = client.into_split();
    let inward = async move {
        let _ended = tokio::io::copy(&mut from_client, &mut to_server).await;
        let _ended = to_server.shutdown().await;
        from_client
    };
    let outward = async move {
        for number in 0.. {
            let Ok(mut record) = read_record(&mut from_server).await else {
                break;
            };
            let fate = tamper(number, &mut record);
            let times = match fate {
                Fate::Pass => 1,
                Fate::Twice => 2,
                Fate::Close => break,
                Fate::Hang => std::future::pending().await,
                Fate::Reset => return Some(to_client),
            };
            for _ in 0..times {
                if to_client.write_all(&record).await.is_err() {
                    return None;
                }
            }
        }
        let _ended = to_client.shutdown().await;
        None
    };
    tokio::pin!(inward, outward);
    tokio::select! {
        _ = &mut inward => {}
        reset = &mut outward => match reset {
            Some(half) => half.as_ref().set_zero_linger().unwrap(),
            None => drop(inward.await),
        },
    }
}

/// What comes after the last move.
enum Then {
    Listen,
    Leave,
}

async fn play(
    stream: &mut TcpStream,
    moves: Vec<Move>,
    seen: &mut Vec<u8>,
) -> std::io::Result<Then> {
    for next in moves {
        match next {
            Move::Read => seen.extend(read_record(stream).await?),
            Move::Send(bytes) => stream.write_all(&bytes).await?,
            Move::Reply(make) => {
                let reply = make(seen);
                stream.write_all(&reply).await?;
            }
            Move::Flood(bytes) => loop {
                stream.write_all(&bytes).await?;
            },
            Move::Drip(bytes) => {
                let mut pace = interval(Duration::from_millis(50));
                for byte in bytes.into_iter().cycle() {
                    pace.tick().await;
                    stream.write_all(&[byte]).await?;
                }
            }
            Move::Hang => return Ok(Then::Listen),
            Move::Reset => {
                stream.set_zero_linger()?;
                return Ok(Then::Leave);
            }
        }
    }
    stream.shutdown().await?;
    Ok(Then::Listen)
}

async fn read_record(stream: &mut (impl AsyncRead + Unpin)) -> std::io::Result<Vec<u8>> {
    let mut record = vec![0; 5];
    stream.read_exact(&mut record).await?;
    let length = usize::from(u16::from_be_bytes([record[3], record[4]]));
    record.resize(5 + length, 0);
    stream.read_exact(&mut record[5..]).await?;
    Ok(record)
}

/// Bytes in application data records among `bytes`.
fn in_the_clear(mut bytes: &[u8]) -> usize {
    let mut count = 0;
    while let [kind, _, _, high, low, rest @ ..] = bytes {
        let length = usize::from(u16::from_be_bytes([*high, *low])).min(rest.len());
        if *kind == APPLICATION_DATA && length != ENCRYPTED_ALERT_BYTES {
            count += length;
        }
        bytes = &rest[length..];
    }
    count
}
