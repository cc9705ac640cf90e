//! A partner on a loopback port: TLS by rcgen's certificates, HTTP by hand, so that every byte can
//! be wrong. Each connection runs a script of steps; requests are recorded as they came.

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::{ServerConfig, crypto::aws_lc_rs};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};
use tidings_egress::{
    AddressPolicy, Attempt, Egress, EgressSettings, Endpoint, EndpointSettings, HostsFile,
    NameServers, Request,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::{Notify, Semaphore},
    task::JoinHandle,
};
use tokio_rustls::TlsAcceptor;

/// Name of the partner in certificates and in the hosts file of [`egress`].
pub(crate) const HOST: &str = "api.partner.test";
/// Long enough for loopback on a busy machine.
pub(crate) const AMPLE: Duration = Duration::from_secs(20);

/// A certificate authority that [`egress`] trusts.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub(crate) fn new() -> Self {
        Self::named("The one we trust")
    }

    pub(crate) fn named(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    pub(crate) fn pem(&self) -> Vec<u8> {
        self.0.pem().into_bytes()
    }

    /// A certificate for the partner, changed by `edit`.
    pub(crate) fn identity(&self, edit: impl FnOnce(&mut CertificateParams)) -> Identity {
        let mut params =
            CertificateParams::new(vec![HOST.to_owned(), "127.0.0.1".to_owned()]).unwrap();
        edit(&mut params);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        Identity {
            chain: vec![certificate.der().clone()],
            key: PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
        }
    }
}

pub(crate) struct Identity {
    pub(crate) chain: Vec<CertificateDer<'static>>,
    pub(crate) key: PrivateKeyDer<'static>,
}

impl Identity {
    pub(crate) fn server(self) -> ServerConfig {
        ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(self.chain, self.key)
            .unwrap()
    }
}

/// What a connection does, in order; afterwards it is closed.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// Reads one request and records it.
    Read,
    /// Reads the beginning of a request.
    ReadSome,
    /// Sends these bytes.
    Send(Vec<u8>),
    /// Sends these bytes again and again until the connection breaks.
    Flood(Vec<u8>),
    /// Resets the connection.
    Reset,
    /// Stays silent until the client closes.
    Hang,
    /// Lets other tasks run for a while, so that the client most likely reads what was sent.
    Breathe,
    /// Waits for a permit of [`Partner::gate`].
    Gate,
}

pub(crate) fn send(text: &str) -> Step {
    Step::Send(text.as_bytes().to_vec())
}

/// A complete response with a two-byte body.
pub(crate) fn answer(status: &str) -> Step {
    send(&format!("HTTP/1.1 {status}\r\nContent-Length: 2\r\n\r\nok"))
}

/// Reads and answers 200, `n` times.
pub(crate) fn ok_times(n: usize) -> Vec<Step> {
    (0..n)
        .flat_map(|_| [Step::Read, answer("200 OK")])
        .collect()
}

pub(crate) struct Partner {
    pub(crate) address: SocketAddr,
    pub(crate) authority: Arc<Authority>,
    pub(crate) gate: Arc<Semaphore>,
    seen: Arc<Seen>,
    task: JoinHandle<()>,
}

#[derive(Default)]
struct Seen {
    requests: Mutex<Vec<String>>,
    connections: Mutex<usize>,
    begun: Mutex<usize>,
    ended: Mutex<usize>,
    changed: Notify,
}

impl Drop for Partner {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Partner {
    /// A partner with a good certificate; connection `i` runs the `i`-th script, later ones the
    /// last.
    pub(crate) async fn start(scripts: Vec<Vec<Step>>) -> Self {
        let authority = Arc::new(Authority::new());
        let server = authority.identity(|_| {}).server();
        Self::start_with(authority, Some(server), scripts).await
    }

    /// A partner with this TLS configuration, or none.
    pub(crate) async fn start_with(
        authority: Arc<Authority>,
        server: Option<ServerConfig>,
        scripts: Vec<Vec<Step>>,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let acceptor = server.map(|server| TlsAcceptor::from(Arc::new(server)));
        let seen = Arc::new(Seen::default());
        let gate = Arc::new(Semaphore::new(0));
        let task = tokio::spawn(accept(
            listener,
            acceptor,
            scripts,
            Arc::clone(&seen),
            Arc::clone(&gate),
        ));
        Self {
            address,
            authority,
            gate,
            seen,
            task,
        }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("https://{HOST}:{}{path}", self.address.port())
    }

    /// An egress that trusts and may reach this partner, by name.
    pub(crate) fn egress(&self) -> Arc<Egress> {
        Egress::new(settings(&self.authority)).unwrap()
    }

    pub(crate) fn endpoint(&self, settings: EndpointSettings) -> Endpoint {
        Endpoint::new(self.egress(), &self.url("/segments/aam"), settings).unwrap()
    }

    pub(crate) fn requests(&self) -> Vec<String> {
        self.seen.requests.lock().unwrap().clone()
    }

    pub(crate) fn connections(&self) -> usize {
        *self.seen.connections.lock().unwrap()
    }

    /// Waits until this many connections have ended on the partner's side.
    pub(crate) async fn ended(&self, count: usize) {
        self.until(|seen| *seen.ended.lock().unwrap() >= count)
            .await;
    }

    /// Waits until the beginnings of this many requests have been read by [`Step::ReadSome`].
    pub(crate) async fn begun(&self, count: usize) {
        self.until(|seen| *seen.begun.lock().unwrap() >= count)
            .await;
    }

    /// Waits until this many requests have been read.
    pub(crate) async fn requested(&self, count: usize) {
        self.until(|seen| seen.requests.lock().unwrap().len() >= count)
            .await;
    }

    async fn until(&self, reached: impl Fn(&Seen) -> bool) {
        let wait = async {
            loop {
                let mut changed = std::pin::pin!(self.seen.changed.notified());
                changed.as_mut().enable();
                if reached(&self.seen) {
                    return;
                }
                changed.await;
            }
        };
        tokio::time::timeout(AMPLE, wait).await.expect("it happens");
    }
}

pub(crate) fn settings(authority: &Authority) -> EgressSettings {
    EgressSettings {
        ca_pem: Some(authority.pem()),
        policy: AddressPolicy {
            allow_private: true,
        },
        own_listeners: Vec::new(),
        user_agent: "Adobe Audience Manager Iris".to_owned(),
        name_servers: NameServers::Listed(Vec::new()),
        hosts: HostsFile::Text(format!("127.0.0.1 {HOST}\n127.0.0.1 other.test\n")),
    }
}

pub(crate) fn request() -> Request {
    Request::json(r#"{"ProcessTime":"Wed Jul 27 16:17:42 UTC 2016"}"#.into())
}

/// The attempt's outcome as the operator sees it.
pub(crate) fn outcome(attempt: &Attempt) -> String {
    match &attempt.result {
        Ok(response) => format!("{} {}", attempt.outcome(), response.body_end.as_str()),
        Err(_) => attempt.outcome(),
    }
}

/// Makes attempts at partners that reset the connection after they have sent something. A reset
/// overtakes what the client has not read yet, so the outcome may be `overtaken`; `expected` must
/// come soon.
pub(crate) fn check_reset(mut script: Vec<Step>, overtaken: &str, expected: &str) {
    script.extend([Step::Breathe, Step::Reset]);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let partner = Partner::start(vec![script]).await;
        let endpoint = partner.endpoint(EndpointSettings::default());
        for _ in 0..100 {
            let attempt = endpoint.post(&request(), AMPLE).await;
            if outcome(&attempt) == expected {
                return;
            }
            assert_eq!(outcome(&attempt), overtaken, "{attempt:?}");
        }
        panic!("never {expected}");
    });
}

async fn accept(
    listener: TcpListener,
    acceptor: Option<TlsAcceptor>,
    scripts: Vec<Vec<Step>>,
    seen: Arc<Seen>,
    gate: Arc<Semaphore>,
) {
    let mut connections = tokio::task::JoinSet::new();
    for number in 0.. {
        let (stream, _) = listener.accept().await.unwrap();
        // Else a second small write waits for the first one's delayed acknowledgement, 40 ms.
        stream.set_nodelay(true).unwrap();
        *seen.connections.lock().unwrap() += 1;
        let script = scripts
            .get(number)
            .or_else(|| scripts.last())
            .cloned()
            .unwrap_or_default();
        let (acceptor, seen, gate) = (acceptor.clone(), Arc::clone(&seen), Arc::clone(&gate));
        connections.spawn(async move {
            // Scripts break off when the client goes away: that is their business.
            let _ended = serve(stream, acceptor, script, &seen, &gate).await;
            *seen.ended.lock().unwrap() += 1;
            seen.changed.notify_waiters();
        });
    }
}

async fn serve(
    stream: TcpStream,
    acceptor: Option<TlsAcceptor>,
    script: Vec<Step>,
    seen: &Seen,
    gate: &Semaphore,
) -> std::io::Result<()> {
    let Some(acceptor) = acceptor else {
        return run(stream, |stream| stream, script, seen, gate).await;
    };
    let stream = acceptor.accept(stream).await?;
    run(stream, |stream| stream.into_inner().0, script, seen, gate).await
}

async fn run<S: AsyncRead + AsyncWrite + Unpin>(
    mut stream: S,
    into_tcp: impl FnOnce(S) -> TcpStream,
    script: Vec<Step>,
    seen: &Seen,
    gate: &Semaphore,
) -> std::io::Result<()> {
    for step in script {
        match step {
            Step::Read => {
                let request = read_request(&mut stream).await?;
                seen.requests.lock().unwrap().push(request);
                seen.changed.notify_waiters();
            }
            Step::ReadSome => {
                stream.read_u8().await?;
                *seen.begun.lock().unwrap() += 1;
                seen.changed.notify_waiters();
            }
            Step::Send(bytes) => {
                stream.write_all(&bytes).await?;
                stream.flush().await?;
            }
            Step::Flood(bytes) => loop {
                stream.write_all(&bytes).await?;
                stream.flush().await?;
            },
            Step::Reset => {
                let tcp = into_tcp(stream);
                tcp.set_zero_linger()?;
                return Ok(());
            }
            Step::Hang => {
                let mut rest = Vec::new();
                stream.read_to_end(&mut rest).await?;
                return Ok(());
            }
            Step::Breathe => breathe().await,
            Step::Gate => gate.acquire().await.unwrap().forget(),
        }
    }
    stream.shutdown().await
}

/// Lets other tasks run for a while.
pub(crate) async fn breathe() {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}

async fn read_request(stream: &mut (impl AsyncRead + Unpin)) -> std::io::Result<String> {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head
                .lines()
                .filter_map(|line| line.split_once(": "))
                .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
                .map_or(0, |(_, value)| value.parse().unwrap());
            if body.len() >= length {
                return Ok(text);
            }
        }
        if stream.read_buf(&mut bytes).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
    }
}
