//! What sending costs without what is around it: one destination's dispatcher, signing, connections
//! and TLS on one thread, against `wrk`, which sends the same messages over as many connections to the
//! same receiver. The receiver is nginx, which answers 200 over TLS.
//!
//! The state of users, which the server has on disk, is a list in memory here: a user who was told is
//! told again. All else is what the server runs.
//!
//! Needs `nginx` and `wrk` (Debian: packages `nginx-light` and `wrk`).
//! `cargo run --release -p tidings-benches --example dispatcher [seconds] [rounds]`
#![expect(clippy::print_stdout, reason = "what it measures is its output")]
#![expect(
    clippy::cast_precision_loss,
    reason = "a few digits of each figure are enough"
)]

use anyhow::{Context as _, Result, ensure};
use std::{
    collections::HashMap,
    env,
    fmt::Write as _,
    fs,
    net::TcpListener,
    path::Path,
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};
use tidings_benches::device::uuid;
use tidings_catalog::Source;
use tidings_dispatch::{Hint, MessageId, Taken};
use tidings_egress::{
    AddressPolicy, Attempt, Egress, EgressSettings, Endpoint, EndpointSettings, Request,
};
use tidings_engine::{MappingChanges, SegmentEntry, UserObject};
use tidings_model::{DataSourceId, DeviceUuid, Millis, SegmentId, Timestamp, limits};
use tidings_receiver::ReceiverSettings;
use tidings_runtime::{
    core::ActiveCatalog,
    courier::{Courier, Errand, Now},
    errand::{Answer, Ask},
    inbox::{Mail, Scanned},
    message::MessageFormat,
    schedule::Lateness,
    signing::Signatures,
};
use tidings_wire::{Hash, Key};
use tokio::{runtime, task::JoinSet, time::sleep};

/// As the server.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// 2016-07-27 16:00
const START: Timestamp = Timestamp(1_469_635_200);
const KEY: &str = "0123456789abcdef0123456789abcdef";
/// Users who take turns, in the messages of either side.
const USERS: u64 = 640;
const USERS_PER_MESSAGE: usize = 10;
const SEGMENTS_PER_USER: u32 = 4;
const WARM_UP: Duration = Duration::from_secs(1);

const CATALOG: &str = r#"
data_sources: [{ id: 7, name: Shop ids }]
traits: [{ id: 1, name: Seen, ttl_days: 0 }]
segments: [{ id: 10, name: Seen, rule: 1T }]
destinations:
  - id: 5
    name: partner
    url: "https://localhost:PORT/"
    id_data_sources: [7]
    client_id: "74323"
    max_users: 10
    signing: [{ header: X-Signature, secret: "plain:KEY", hash: sha256 }]
    mappings: [{ segment: 10 }]
"#;

fn main() -> Result<()> {
    let mut numbers = env::args().skip(1).map(|text| text.parse::<u64>());
    let seconds = numbers.next().transpose()?.unwrap_or(10);
    let rounds = numbers.next().transpose()?.unwrap_or(3);
    let directory = tempfile::tempdir()?;
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(certificate(directory.path()))?;
    let nginx = Nginx::start(directory.path())?;
    let mut sender = Sender::new(directory.path(), nginx.port)?;
    let script = directory.path().join("messages.lua");
    fs::write(&script, sender.script()?)?;

    println!(
        "{} connections, messages of {USERS_PER_MESSAGE} users, {seconds} s each",
        limits::IN_FLIGHT_PER_DESTINATION_MAX,
    );
    println!(
        "{:>5} | {:>14} | {:>12} | {:>12} | {:>5}",
        "round", "tidings POST/s", "CPU µs/POST", "wrk POST/s", "ratio"
    );
    for round in 1..=rounds {
        let ours = runtime.block_on(sender.run(Duration::from_secs(seconds)))?;
        let theirs = wrk(&script, nginx.port, seconds)?;
        let rate = ours.posts as f64 / ours.wall.as_secs_f64();
        let cpu = ours.cpu.as_secs_f64() * 1e6 / ours.posts as f64;
        println!(
            "{round:>5} | {rate:>14.0} | {cpu:>12.1} | {theirs:>12.0} | {:>5.2}",
            rate / theirs
        );
    }
    Ok(())
}

/// Has the receiver make a certificate for this machine.
async fn certificate(directory: &Path) -> Result<()> {
    let settings = ReceiverSettings {
        tls_dir: Some(directory.to_owned()),
        ..ReceiverSettings::default()
    };
    tidings_receiver::start(settings).await?.shutdown().await;
    Ok(())
}

/// The receiver of both. Dropping it ends it.
struct Nginx {
    process: Child,
    port: u16,
}

impl Nginx {
    #[expect(
        clippy::disallowed_methods,
        reason = "a benchmark, which looks whether its own receiver listens"
    )]
    fn start(directory: &Path) -> Result<Self> {
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let root = directory.display();
        let config = format!(
            "daemon off; master_process off; pid {root}/pid; error_log stderr crit;
             events {{ worker_connections 1024; }}
             http {{
               access_log off; keepalive_requests 1000000000; keepalive_timeout 1h;
               client_body_temp_path {root}/body; proxy_temp_path {root}/proxy;
               fastcgi_temp_path {root}/fastcgi; uwsgi_temp_path {root}/uwsgi;
               scgi_temp_path {root}/scgi;
               server {{
                 listen 127.0.0.1:{port} ssl; ssl_protocols TLSv1.3;
                 ssl_certificate {root}/cert.pem; ssl_certificate_key {root}/key.pem;
                 location / {{ return 200; }}
               }}
             }}"
        );
        let path = directory.join("nginx.conf");
        fs::write(&path, config)?;
        let mut process = Command::new("nginx")
            .arg("-c")
            .arg(&path)
            .stdin(Stdio::null())
            .spawn()
            .context("nginx cannot be started: is it installed?")?;
        let begun = Instant::now();
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            ensure!(process.try_wait()?.is_none(), "nginx has ended");
            ensure!(begun.elapsed().as_secs() < 10, "nginx does not answer");
            std::thread::yield_now();
        }
        Ok(Self { process, port })
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

struct Figures {
    posts: u64,
    wall: Duration,
    cpu: Duration,
}

/// One destination, as the server has it, and its users.
struct Sender {
    courier: Courier,
    key: Key,
    format: MessageFormat,
    endpoint: Arc<Endpoint>,
    timeout: Duration,
    /// Encoded user objects.
    users: HashMap<DeviceUuid, Vec<u8>, foldhash::fast::RandomState>,
    mail: Mail,
    begun: Instant,
    posts: u64,
}

impl Sender {
    fn new(directory: &Path, port: u16) -> Result<Self> {
        let text = CATALOG
            .replace("PORT", &port.to_string())
            .replace("KEY", KEY);
        let source = Source {
            name: "catalog.yaml",
            text: &text,
            directory,
        };
        let loaded = tidings_catalog::read(source, |_| None);
        let loaded = loaded.map_err(|faults| anyhow::anyhow!("{faults:#?}"))?;
        let catalog = loaded.catalog;
        let destination = Arc::new(catalog.destinations[0].clone());
        let active = ActiveCatalog::new(catalog, 1, MappingChanges::default())?;
        let begun = Instant::now();
        let now = Now {
            time: START,
            millis: Millis(0),
        };
        let courier = Courier::new(
            Arc::clone(&destination),
            Arc::new(active),
            Arc::new(Signatures::new(&destination.signing)?),
            Arc::default(),
            Lateness::Counts,
            now,
        );
        let egress = Egress::new(EgressSettings {
            ca_pem: Some(fs::read(directory.join("ca.pem"))?),
            policy: AddressPolicy {
                allow_private: true,
            },
            ..EgressSettings::default()
        })?;
        let endpoint = Endpoint::new(egress, &destination.url, EndpointSettings::default())?;
        let format = MessageFormat::new(&destination);
        let mut sender = Self {
            courier,
            key: Key::new(Hash::Sha256, KEY.as_bytes()),
            timeout: destination.timeout,
            endpoint: Arc::new(endpoint),
            users: HashMap::default(),
            mail: Mail::default(),
            begun,
            posts: 0,
            format,
        };
        for number in 0..USERS {
            let uuid = uuid(number);
            let segments: Vec<_> = (0..SEGMENTS_PER_USER)
                .map(|n| SegmentEntry {
                    segment: SegmentId(1000 + n),
                    value: None,
                    active: n % 2 == 0,
                })
                .collect();
            let id = format!("partner-id-{number:08}");
            let object = UserObject {
                id: &id,
                segments: &segments,
            };
            let bytes = sender
                .format
                .user(&uuid, DataSourceId(7), &[], START, &object)
                .context("a user without segments")?;
            sender.mail.hints.push(hint(uuid.clone(), 1));
            sender.users.insert(uuid, bytes);
        }
        Ok(sender)
    }

    /// Requests for `wrk`, from the same users with the same signatures.
    fn script(&self) -> Result<String> {
        let objects: Vec<_> = self.users.values().map(Vec::as_slice).collect();
        let mut script = String::from("local requests = {}\nlocal n = 0\nfunction init()\n");
        for users in objects.chunks(USERS_PER_MESSAGE) {
            let body = self
                .format
                .message(START, DataSourceId(7), users.iter().copied());
            let signature = self.key.sign(&body);
            writeln!(
                script,
                "requests[#requests + 1] = wrk.format('POST', '/', {{['User-Agent']='wrk/0.0.0', \
                 ['Accept']='*/*', ['Accept-Encoding']='gzip', ['Content-Type']='application/json', \
                 ['X-Signature']='{}'}}, [==[{}]==])",
                signature.as_str(),
                std::str::from_utf8(&body)?
            )?;
        }
        script.push_str(
            "end\nfunction request()\n n = n % #requests + 1\n return requests[n]\nend\n",
        );
        Ok(script)
    }

    fn now(&self) -> Now {
        let millis = u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        Now {
            time: START.plus_seconds(i64::try_from(millis / 1000).unwrap_or(i64::MAX)),
            millis: Millis(millis),
        }
    }

    async fn run(&mut self, measured: Duration) -> Result<Figures> {
        let mut attempts = JoinSet::new();
        let mut from = None;
        let begun = Instant::now();
        loop {
            let now = self.now();
            self.courier.read(now, &mut self.mail);
            while let Some(errand) = self.courier.poll(now) {
                match errand {
                    Errand::Ask(ask) => self.answer(ask),
                    Errand::Attempt {
                        message, request, ..
                    } => {
                        let (endpoint, timeout) = (Arc::clone(&self.endpoint), self.timeout);
                        attempts.spawn(async move {
                            let request: Arc<Request> = request;
                            (message, endpoint.post(&request, timeout).await)
                        });
                    }
                }
            }
            self.courier.publish(now);
            if !self.mail.is_empty() {
                continue;
            }
            match &from {
                None if begun.elapsed() >= WARM_UP => {
                    from = Some((Instant::now(), cpu()?, self.posts))
                }
                Some((start, spent, posts)) if start.elapsed() >= measured => {
                    let figures = Figures {
                        posts: self.posts - posts,
                        wall: start.elapsed(),
                        cpu: cpu()?.saturating_sub(*spent),
                    };
                    while let Some(done) = attempts.join_next().await {
                        self.attempted(done?)?;
                    }
                    return Ok(figures);
                }
                _ => {}
            }
            tokio::select! {
                biased;
                Some(done) = attempts.join_next(), if !attempts.is_empty() => {
                    self.attempted(done?)?;
                    while let Some(done) = attempts.try_join_next() {
                        self.attempted(done?)?;
                    }
                }
                () = sleep(Duration::from_millis(1)) => {}
            }
        }
    }

    fn attempted(&mut self, (message, attempt): (MessageId, Attempt)) -> Result<()> {
        ensure!(
            attempt.outcome() == "status_200",
            "an attempt ended with {}",
            attempt.outcome()
        );
        self.posts += 1;
        self.courier.attempted(self.now(), message, &Ok(attempt));
        Ok(())
    }

    /// What the writer would answer.
    fn answer(&mut self, ask: Ask) {
        match ask {
            Ask::Take {
                kind,
                namespace,
                users,
            } => {
                let users = users.into_iter().map(|uuid| Taken {
                    objects: self.users.get(&uuid).cloned().into_iter().collect(),
                    uuid,
                    seq: 1,
                    removal: false,
                });
                let users = users.collect();
                self.mail.answers.push(Answer::Taken {
                    kind,
                    namespace,
                    users,
                });
            }
            Ask::Settle { users, .. } => {
                let again = users.into_iter().map(|user| hint(user.uuid, user.seq + 1));
                self.mail.hints.extend(again);
            }
            // Nothing was pending when it began, and there is no batch.
            Ask::Scan { .. } => self.mail.answers.push(Answer::Scanned(Scanned {
                hints: Vec::new(),
                next: None,
            })),
            Ask::Batch(_) => {}
        }
    }
}

fn hint(uuid: DeviceUuid, seq: u64) -> Hint {
    Hint {
        uuid,
        seq,
        namespace: DataSourceId(7),
        objects: 1,
        removal: false,
    }
}

/// Time that this thread has had a processor.
fn cpu() -> Result<Duration> {
    let text = fs::read_to_string("/proc/thread-self/schedstat")?;
    let nanos = text
        .split(' ')
        .next()
        .context("the kernel counts no time")?;
    Ok(Duration::from_nanos(nanos.parse()?))
}

/// POSTs per second of `wrk` on one thread.
fn wrk(script: &Path, port: u16, seconds: u64) -> Result<f64> {
    let output = Command::new("wrk")
        .arg("-t1")
        .arg(format!("-c{}", limits::IN_FLIGHT_PER_DESTINATION_MAX))
        .arg(format!("-d{seconds}s"))
        .arg("-s")
        .arg(script)
        .arg(format!("https://localhost:{port}/"))
        .output()
        .context("wrk cannot be started: is it installed?")?;
    let text = String::from_utf8_lossy(&output.stdout);
    ensure!(
        output.status.success() && !text.contains("Non-2xx"),
        "wrk: {text}"
    );
    let rate = text
        .lines()
        .find_map(|line| line.strip_prefix("Requests/sec:"));
    Ok(rate.context("wrk says no rate")?.trim().parse()?)
}
