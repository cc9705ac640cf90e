//! A name server that answers every question with what a text says, well or badly.
//!
//! Words of an answer, in any order: addresses (`1.1.1.1`, `::1`, `1.1.1.1*500`), `cname:NAME` for
//! an alias (`question` is the name asked for; addresses that follow belong to the alias),
//! `other:NAME ADDRESS` for a record of another name, `ttl:N` (0 if none is given), `rcode:N`, `authentic`, `silent`,
//! `truncated`, `query`, and mistakes: `id:wrong`, `question:wrong`, `length:wrong`, `short`,
//! `count:N`, `pointer:loop`, `garbage:N`. Addresses of the type not asked for are left out.

use std::{
    net::{IpAddr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, UdpSocket},
    task::JoinHandle,
};

const A: u16 = 1;
const CNAME: u16 = 5;
const AAAA: u16 = 28;
/// Longest answer by UDP.
const DATAGRAM_BYTES_MAX: usize = 1_232;

pub(super) struct NameServer {
    pub(super) address: SocketAddr,
    answers: Arc<Answers>,
    task: JoinHandle<()>,
}

impl Drop for NameServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl NameServer {
    /// Answers with the first turn until told otherwise, by UDP and, what is too long for that, by
    /// TCP.
    pub(super) async fn start(answers: &str) -> Self {
        let answers = Arc::new(Answers::new(answers));
        let (datagrams, streams) = both().await;
        let address = datagrams.local_addr().unwrap();
        let task = tokio::spawn({
            let answers = Arc::clone(&answers);
            async move {
                let mut query = vec![0; 4_096];
                loop {
                    tokio::select! {
                        got = datagrams.recv_from(&mut query) => {
                            let (length, from) = got.unwrap();
                            if let Some(mut reply) = answers.reply(&query[..length]) {
                                if reply.len() > DATAGRAM_BYTES_MAX {
                                    let question = 12 + Question::read(&query).name.len() + 4;
                                    reply.truncate(question);
                                    // Truncated, and no records.
                                    reply[2] |= 2;
                                    reply[6..12].fill(0);
                                }
                                datagrams.send_to(&reply, from).await.unwrap();
                            }
                        }
                        got = streams.accept() => {
                            let (stream, _) = got.unwrap();
                            let answers = Arc::clone(&answers);
                            // Breaks off when the client goes away.
                            tokio::spawn(async move { drop(by_stream(stream, &answers).await) });
                        }
                    }
                }
            }
        });
        Self {
            address,
            answers,
            task,
        }
    }

    /// From now on every question gets the answer of this turn, from 0; one that is asked again, since
    /// the machine was busy, is no further turn.
    pub(super) fn answer_with(&self, turn: usize) {
        self.answers.turn.store(turn, Ordering::Relaxed);
    }
}

/// A port for datagrams and streams alike.
async fn both() -> (UdpSocket, TcpListener) {
    loop {
        let datagrams = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        // Somebody may have the same port for streams.
        if let Ok(streams) = TcpListener::bind(datagrams.local_addr().unwrap()).await {
            return (datagrams, streams);
        }
    }
}

/// Messages with their length before them (RFC 1035 4.2.2). What is `truncated` stays unanswered.
async fn by_stream(mut stream: TcpStream, answers: &Answers) -> std::io::Result<()> {
    loop {
        let mut query = vec![0; usize::from(stream.read_u16().await?)];
        stream.read_exact(&mut query).await?;
        let Some(reply) = answers.reply(&query).filter(|reply| reply[2] & 2 == 0) else {
            return Ok(());
        };
        stream
            .write_u16(u16::try_from(reply.len()).unwrap())
            .await?;
        stream.write_all(&reply).await?;
    }
}

struct Answers {
    turns: Vec<String>,
    turn: AtomicUsize,
}

impl Answers {
    fn new(text: &str) -> Self {
        Self {
            turns: text.split('|').map(str::to_owned).collect(),
            turn: AtomicUsize::new(0),
        }
    }

    fn reply(&self, query: &[u8]) -> Option<Vec<u8>> {
        let turn = self.turn.load(Ordering::Relaxed);
        reply(&Question::read(query), &self.turns[turn])
    }
}

struct Question {
    id: [u8; 2],
    /// Labels with their lengths, the root's included.
    name: Vec<u8>,
    kind: u16,
}

impl Question {
    fn read(query: &[u8]) -> Self {
        let mut end = 12;
        while query[end] != 0 {
            end += usize::from(query[end]) + 1;
        }
        Self {
            id: [query[0], query[1]],
            name: query[12..=end].to_vec(),
            kind: u16::from_be_bytes([query[end + 1], query[end + 2]]),
        }
    }
}

/// RFC 1035 4.1: header of 12 bytes, the question, the records.
fn reply(question: &Question, spec: &str) -> Option<Vec<u8>> {
    let mut id = question.id;
    let mut asked = question.name.clone();
    let (mut flags, mut ttl, mut owner) = (0x8180_u16, 0_u32, question.name.clone());
    let (mut records, mut count): (Vec<Vec<u8>>, Option<u16>) = (Vec::new(), None);
    let mut next_owner = None;
    let mut spoil: fn(&mut Vec<u8>) = |_| {};
    for word in spec.split_whitespace() {
        // An IPv6 address has colons too.
        let (key, value) = match word.split_once(':') {
            Some((key, value)) if address_of(word).is_none() => (key, value),
            _ => (word, ""),
        };
        match key {
            "silent" => return None,
            "garbage" => return Some(vec![0xa5; value.parse().unwrap()]),
            "rcode" => flags |= value.parse::<u16>().unwrap(),
            "truncated" => flags |= 0x0200,
            "authentic" => flags |= 0x0020,
            "query" => flags &= 0x7fff,
            "ttl" => ttl = value.parse().unwrap(),
            "id" => id[0] ^= 1,
            "question" if value == "wrong" => asked = name("another.test"),
            "count" => count = Some(value.parse().unwrap()),
            "length" => spoil = |record| *record.iter_mut().rev().nth(4).unwrap() = 200,
            "short" => {
                spoil = |record| {
                    let at = record.len() - 5;
                    record[at] -= 1;
                    record.pop();
                }
            }
            "pointer" => records.push(vec![
                0xc0,
                u8::try_from(12 + question.name.len() + 4).unwrap(),
            ]),
            "other" => next_owner = Some(name(value)),
            "cname" => {
                let alias = if value == "question" {
                    question.name.clone()
                } else {
                    name(value)
                };
                records.push(record(&owner, CNAME, ttl, &alias));
                owner = alias;
            }
            address => {
                let (ip, times) = address_of(address).expect(address);
                let (kind, data) = match ip {
                    IpAddr::V4(ip) => (A, ip.octets().to_vec()),
                    IpAddr::V6(ip) => (AAAA, ip.octets().to_vec()),
                };
                let of = next_owner.take().unwrap_or_else(|| owner.clone());
                if kind == question.kind {
                    records.extend(vec![record(&of, kind, ttl, &data); times]);
                }
            }
        }
    }
    if let Some(last) = records.last_mut() {
        spoil(last);
    }
    let count = count.unwrap_or_else(|| u16::try_from(records.len()).unwrap());
    let mut out = id.to_vec();
    for number in [flags, 1, count, 0, 0] {
        out.extend(number.to_be_bytes());
    }
    out.extend(asked);
    out.extend(question.kind.to_be_bytes());
    out.extend(1_u16.to_be_bytes());
    out.extend(records.concat());
    Some(out)
}

/// An address and how often it comes.
fn address_of(word: &str) -> Option<(IpAddr, usize)> {
    let (ip, times) = word.split_once('*').unwrap_or((word, "1"));
    Some((ip.parse().ok()?, times.parse().ok()?))
}

fn record(owner: &[u8], kind: u16, ttl: u32, data: &[u8]) -> Vec<u8> {
    let mut out = owner.to_vec();
    out.extend(kind.to_be_bytes());
    out.extend(1_u16.to_be_bytes());
    out.extend(ttl.to_be_bytes());
    out.extend(u16::try_from(data.len()).unwrap().to_be_bytes());
    out.extend(data);
    out
}

fn name(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    for label in text.split('.') {
        out.push(u8::try_from(label.len()).unwrap());
        out.extend(label.as_bytes());
    }
    out.push(0);
    out
}
