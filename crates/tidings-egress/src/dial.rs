//! Dialling: a TCP connection to one of several judged addresses, as quickly as any allows.
//!
//! A simple form of "happy eyeballs" (RFC 8305): IPv6 and IPv4 alternate, IPv6 first; when an
//! address has not answered within 250 ms the next is tried beside it, when it fails the next is
//! tried at once; the first connection wins and the others are closed. If all fail, the first
//! failure is told, but "no route" only if there is no other: many machines have no IPv6.
//!
//! **Invariant:** only addresses handed in are dialled, as socket addresses, so nothing resolves a
//! name again between the judgement and the connection; the peer's address is compared afterwards.

use crate::failure::{Failure, FailureClass};
use std::{
    future::Future,
    io,
    net::{IpAddr, SocketAddr},
    time::Duration,
};
use tokio::{net::TcpStream, task::JoinSet, time::sleep};

/// Head start of an address before the next is tried beside it.
const HEAD_START: Duration = Duration::from_millis(250);
/// Addresses of one answer that are tried. All of them are judged.
const ADDRESSES_TRIED_MAX: usize = 8;

/// The addresses of an answer that are dialled, in that order.
pub(crate) fn candidates(addresses: &[IpAddr]) -> Vec<IpAddr> {
    interleave(addresses).take(ADDRESSES_TRIED_MAX).collect()
}

/// A connection, and the address it goes to.
pub(crate) type Dialled = (TcpStream, IpAddr);

/// Connects to the first of these [`candidates`] that answers.
///
/// Cancel safe: every connection under way is closed.
pub(crate) async fn dial(candidates: &[IpAddr], port: u16) -> Result<Dialled, Failure> {
    if let [only] = candidates {
        return connect(SocketAddr::new(*only, port)).await;
    }
    let order: Vec<_> = candidates.iter().map(|&ip| (ip, port).into()).collect();
    race(order.into_iter(), connect).await
}

#[expect(
    clippy::disallowed_methods,
    reason = "the one place that opens a connection to another machine"
)]
async fn connect(address: SocketAddr) -> Result<Dialled, Failure> {
    let stream = TcpStream::connect(address)
        .await
        .map_err(|error| connect_failure(address, &error))?;
    let peer = stream
        .peer_addr()
        .map_err(|error| connect_failure(address, &error))?;
    if peer != address {
        return Err(Failure::new(
            FailureClass::PeerMismatch,
            format_args!("dialled {address}, connected to {peer}"),
        ));
    }
    // Requests are small and wait for their answer: delaying the last segment only adds latency.
    stream
        .set_nodelay(true)
        .map_err(|error| connect_failure(address, &error))?;
    Ok((stream, address.ip()))
}

/// IPv6 and IPv4 in turn, each in the order given.
fn interleave(addresses: &[IpAddr]) -> impl Iterator<Item = IpAddr> {
    let mut v6 = addresses.iter().copied().filter(IpAddr::is_ipv6);
    let mut v4 = addresses.iter().copied().filter(IpAddr::is_ipv4);
    let mut turn = false;
    std::iter::from_fn(move || {
        turn = !turn;
        if turn {
            v6.next().or_else(|| v4.next())
        } else {
            v4.next().or_else(|| v6.next())
        }
    })
}

/// Runs `attempt` for each address, one more every [`HEAD_START`] or as soon as one fails; the
/// first success ends it, else the most telling failure is the answer.
async fn race<T, F>(
    addresses: impl Iterator<Item = SocketAddr>,
    attempt: impl Fn(SocketAddr) -> F,
) -> Result<T, Failure>
where
    T: Send + 'static,
    F: Future<Output = Result<T, Failure>> + Send + 'static,
{
    let mut addresses = addresses.peekable();
    // Dropping the set aborts what is still running.
    let mut running = JoinSet::new();
    let mut told = None;
    loop {
        if let Some(address) = addresses.next() {
            running.spawn(attempt(address));
        }
        let more = addresses.peek().is_some();
        tokio::select! {
            ended = running.join_next() => match ended {
                Some(Ok(Ok(connection))) => return Ok(connection),
                Some(Ok(Err(failure))) => keep_telling(&mut told, failure),
                Some(Err(error)) => {
                    keep_telling(&mut told, Failure::of(FailureClass::ConnectFailed, &error));
                }
                None => return Err(told.unwrap_or_else(|| {
                    Failure::new(FailureClass::DnsNoAddress, "there is no address to dial")
                })),
            },
            () = sleep(HEAD_START), if more => {}
        }
    }
}

fn keep_telling(told: &mut Option<Failure>, failure: Failure) {
    if told
        .as_ref()
        .is_none_or(|told| told.class == FailureClass::ConnectUnreachable)
    {
        *told = Some(failure);
    }
}

fn connect_failure(address: SocketAddr, error: &io::Error) -> Failure {
    use io::ErrorKind;
    let class = match error.kind() {
        ErrorKind::ConnectionRefused => FailureClass::ConnectRefused,
        ErrorKind::TimedOut => FailureClass::ConnectTimeout,
        ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable | ErrorKind::NetworkDown => {
            FailureClass::ConnectUnreachable
        }
        ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted | ErrorKind::NotConnected => {
            FailureClass::ConnectReset
        }
        _ if is_local_limit(error) => FailureClass::ConnectLocalLimit,
        _ => FailureClass::ConnectFailed,
    };
    Failure::new(class, format_args!("{address}: {error}"))
}

/// This machine is out of ports, memory, file descriptors or buffers.
pub(crate) fn is_local_limit(error: &io::Error) -> bool {
    // ENFILE, EMFILE and ENOBUFS of Linux have no kind of their own.
    matches!(
        error.kind(),
        io::ErrorKind::AddrNotAvailable | io::ErrorKind::OutOfMemory
    ) || matches!(error.raw_os_error(), Some(23 | 24 | 105))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::Instant;

    /// `plan` gives for each address, in order of the answer, the milliseconds until it answers:
    /// positive connects, negative fails, 0 never answers. `expected` is winner and milliseconds.
    #[track_caller]
    fn check(plan: &[(&str, i64)], expected: Result<(&str, u64), FailureClass>) {
        let addresses: Vec<IpAddr> = plan.iter().map(|(ip, _)| ip.parse().unwrap()).collect();
        let plan: Vec<(IpAddr, i64)> = addresses
            .iter()
            .copied()
            .zip(plan.iter().map(|p| p.1))
            .collect();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        let got = runtime.block_on(async {
            let start = Instant::now();
            let order = interleave(&addresses).map(|ip| SocketAddr::new(ip, 443));
            let won = race(order, |address| {
                let after = plan.iter().find(|(ip, _)| *ip == address.ip()).unwrap().1;
                async move {
                    if after == 0 {
                        std::future::pending::<()>().await;
                    }
                    sleep(Duration::from_millis(after.unsigned_abs())).await;
                    if after > 0 {
                        Ok(address.ip())
                    } else {
                        Err(Failure::new(FailureClass::ConnectRefused, address))
                    }
                }
            });
            let won = tokio::time::timeout(Duration::from_secs(60), won).await;
            won.map(|result| {
                result
                    .map(|ip| (ip.to_string(), start.elapsed().as_millis()))
                    .map_err(|failure| failure.class)
            })
        });
        let expected = expected.map(|(ip, ms)| (ip.to_owned(), u128::from(ms)));
        assert_eq!(got.unwrap_or(Err(FailureClass::ConnectTimeout)), expected);
    }

    #[test]
    fn a_dead_family_costs_a_head_start() {
        check(&[("1.1.1.1", 5), ("2600::1", 0)], Ok(("1.1.1.1", 255)));
        check(&[("1.1.1.1", 0), ("2600::1", 5)], Ok(("2600::1", 5)));
        check(
            &[("2600::1", 0), ("2600::2", 0), ("1.1.1.1", 5)],
            Ok(("1.1.1.1", 255)),
        );
    }

    #[test]
    fn a_failing_address_costs_only_its_own_time() {
        check(&[("1.1.1.1", 5), ("2600::1", -10)], Ok(("1.1.1.1", 15)));
        check(&[("1.1.1.1", -5), ("1.1.1.2", 7)], Ok(("1.1.1.2", 12)));
    }

    #[test]
    fn a_slow_first_address_may_still_win() {
        check(&[("2600::1", 260), ("1.1.1.1", 100)], Ok(("2600::1", 260)));
    }

    #[test]
    fn all_dead_is_the_first_failure() {
        check(
            &[("1.1.1.1", -5), ("2600::1", -5)],
            Err(FailureClass::ConnectRefused),
        );
        check(
            &[("1.1.1.1", 0), ("2600::1", 0)],
            Err(FailureClass::ConnectTimeout),
        );
        check(&[], Err(FailureClass::DnsNoAddress));
    }

    #[tokio::test]
    async fn a_connection_that_ends_elsewhere_is_closed_unused() {
        // Linux takes the unspecified address for this machine. The policy never lets it through;
        // here it shows what happens when a connection does not go where it was meant to.
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let elsewhere = [IpAddr::from([0, 0, 0, 0])];
        let failure = dial(&elsewhere, port).await.unwrap_err();
        assert_eq!(
            failure.to_string(),
            format!("peer_mismatch: dialled 0.0.0.0:{port}, connected to 127.0.0.1:{port}")
        );
        let (mut other_end, _) = listener.accept().await.unwrap();
        let mut received = Vec::new();
        let read = tokio::io::AsyncReadExt::read_to_end(&mut other_end, &mut received);
        assert_eq!(read.await.unwrap(), 0, "nothing was sent");
    }

    #[test]
    fn families_alternate() {
        let addresses = ["1.1.1.1", "1.1.1.2", "2600::1", "1.1.1.3"].map(|ip| ip.parse().unwrap());
        let order: Vec<_> = interleave(&addresses)
            .map(|ip: IpAddr| ip.to_string())
            .collect();
        assert_eq!(order, ["2600::1", "1.1.1.1", "1.1.1.2", "1.1.1.3"]);
    }
}
