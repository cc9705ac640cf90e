//! A partner: the reference receiver in this process, with everything it was sent.

use super::{now_micros, within};
use bytes::Bytes;
use std::{
    fmt::Write as _,
    sync::{Arc, Mutex, MutexGuard},
    time::{Duration, Instant},
};
use tidings_receiver::{
    OAuthSettings, Received, ReceiverSettings, Running, SignatureCheck, Stats, VerifySpec, start,
};
use tidings_wire::{Message, MessageUser, Status};
use tokio::sync::watch;

/// A partner endpoint at work.
pub(crate) struct Partner {
    running: Running,
    log: Arc<Log>,
}

/// Everything that was received, in order of arrival.
#[derive(Debug)]
struct Log {
    seen: Mutex<Vec<Seen>>,
    /// Told the number of requests seen, after each.
    count: watch::Sender<usize>,
}

/// One request as it was received.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    /// When, in microseconds since 1970.
    pub(crate) at_micros: i64,
    /// The same moment on the clock that measures intervals.
    pub(crate) instant: Instant,
    /// The exact bytes.
    pub(crate) body: Bytes,
    /// The value of `X-Signature`, if there was one.
    pub(crate) signature_header: Option<String>,
    /// Every value of `X-Signature`, in order.
    pub(crate) signatures: Vec<String>,
    /// What the check of the signature found.
    pub(crate) signature: SignatureCheck,
    /// Everything wrong with it.
    pub(crate) errors: Vec<String>,
    /// The message; every one must be valid.
    pub(crate) message: Message,
    /// The status it was answered with; 0 when it was not answered.
    pub(crate) status: u16,
}

impl Seen {
    fn new(received: &Received) -> Self {
        let header = received.headers.get("X-Signature");
        Self {
            at_micros: now_micros(),
            instant: received.instant,
            body: received.body.clone(),
            signature_header: header.map(|value| value.to_str().unwrap().to_owned()),
            signatures: received
                .headers
                .get_all("X-Signature")
                .iter()
                .map(|value| value.to_str().unwrap().to_owned())
                .collect(),
            signature: received.signature,
            errors: received.errors.clone(),
            message: received.message.clone().expect("only messages are sent"),
            status: received.status,
        }
    }

    /// A message about one user, as if it had been received.
    pub(crate) fn of_message(at_micros: i64, process_time: i64, user: MessageUser) -> Self {
        Self {
            at_micros,
            instant: Instant::now(),
            body: Bytes::new(),
            signature_header: None,
            signatures: Vec::new(),
            signature: SignatureCheck::None,
            errors: Vec::new(),
            message: Message {
                process_time,
                user_dpid: None,
                client_id: String::new(),
                destination_id: String::new(),
                users: vec![user],
            },
            status: 200,
        }
    }

    /// What was told, one text per user object: `id 101=1 102=0`.
    pub(crate) fn told(&self) -> Vec<String> {
        self.message.users.iter().map(told).collect()
    }
}

fn told(user: &MessageUser) -> String {
    let mut text = user.data_partner_uuid.clone();
    for segment in &user.segments {
        let status = u8::from(segment.status == Status::Active);
        write!(text, " {}={status}", segment.segment_id).unwrap();
    }
    text
}

impl Partner {
    /// A partner that accepts every message.
    pub(crate) async fn start() -> Self {
        Self::with(ReceiverSettings::default()).await
    }

    /// A partner with these faults, whose rates are decided by a seed.
    pub(crate) async fn faulty_with_seed(faults: &[&str], seed: u64) -> Self {
        let faults = faults.iter().map(|fault| fault.parse().unwrap()).collect();
        Self::with(ReceiverSettings {
            faults,
            seed,
            ..ReceiverSettings::default()
        })
        .await
    }

    /// A partner with these faults that demands `X-Signature` to be made with this key and SHA-1.
    pub(crate) async fn faulty_and_signed(faults: &[&str], key: &str) -> Self {
        let faults = faults.iter().map(|fault| fault.parse().unwrap()).collect();
        let rule: VerifySpec = format!("X-Signature:sha1:plain:{key}").parse().unwrap();
        Self::with(ReceiverSettings {
            faults,
            verify: vec![rule.with_key(key.as_bytes())],
            ..ReceiverSettings::default()
        })
        .await
    }

    /// A partner that demands bearer tokens, and issues them to `id:secret` for this long.
    pub(crate) async fn demanding_tokens(credentials: &str, token_ttl: Duration) -> Self {
        let oauth = OAuthSettings::parse(credentials, token_ttl);
        Self::with(ReceiverSettings {
            oauth: Some(oauth.unwrap()),
            ..ReceiverSettings::default()
        })
        .await
    }

    async fn with(settings: ReceiverSettings) -> Self {
        let log = Arc::new(Log {
            seen: Mutex::default(),
            count: watch::Sender::new(0),
        });
        let observer = Arc::clone(&log);
        let running = start(ReceiverSettings {
            keep_states: true,
            on_request: Some(Arc::new(move |received| observer.add(received))),
            ..settings
        })
        .await
        .unwrap();
        Self { running, log }
    }

    /// Where messages go.
    pub(crate) fn url(&self) -> String {
        format!("{}/segments", self.running.url())
    }

    /// The certificate that servers have to trust.
    pub(crate) fn ca_pem(&self) -> &str {
        self.running.ca_pem()
    }

    /// The counts now.
    pub(crate) fn stats(&self) -> Stats {
        self.running.stats()
    }

    /// Makes every token that was issued so far invalid.
    pub(crate) fn revoke_tokens(&self) {
        self.running.revoke_tokens();
    }

    /// Whether the partner was last told that this id is in the segment; `None`: never told.
    pub(crate) fn state(&self, id: &str, segment: u32) -> Option<bool> {
        let state = self.running.state(id, &segment.to_string())?;
        Some(state.is_active)
    }

    /// Replaces the faults from now on.
    pub(crate) fn set_faults(&self, faults: &[&str]) {
        let faults = faults.iter().map(|fault| fault.parse().unwrap()).collect();
        self.running.set_faults(faults);
    }

    /// Everything received so far, in order of arrival.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.log.lock().clone()
    }

    /// What was told so far: a text per user object, a list per message.
    pub(crate) fn told(&self) -> Vec<Vec<String>> {
        self.log.lock().iter().map(Seen::told).collect()
    }

    /// Likewise, of the messages that were answered with success.
    pub(crate) fn answered(&self) -> Vec<Vec<String>> {
        let log = self.log.lock();
        let answered = log.iter().filter(|seen| seen.status == 200);
        answered.map(Seen::told).collect()
    }

    /// Waits until this many requests have arrived, and gives all.
    pub(crate) async fn wait_for_count(&self, count: usize) -> Vec<Seen> {
        let what = format!("{count} requests");
        self.wait_for(&what, |seen| (seen.len() >= count).then(|| seen.to_vec()))
            .await
    }

    /// Waits until `look` finds something in what has arrived.
    pub(crate) async fn wait_for<T>(&self, what: &str, look: impl Fn(&[Seen]) -> Option<T>) -> T {
        let mut count = self.log.count.subscribe();
        within(what, async {
            loop {
                count.mark_unchanged();
                if let Some(found) = look(&self.log.lock()) {
                    return found;
                }
                count.changed().await.unwrap();
            }
        })
        .await
    }

    /// Follows the number of requests.
    pub(crate) fn counts(&self) -> watch::Receiver<usize> {
        self.log.count.subscribe()
    }
}

impl Log {
    fn lock(&self) -> MutexGuard<'_, Vec<Seen>> {
        self.seen.lock().unwrap()
    }

    fn add(&self, received: &Received) {
        if received.is_token_request {
            return;
        }
        let seen = Seen::new(received);
        let count = {
            let mut all = self.lock();
            all.push(seen);
            all.len()
        };
        self.count.send_replace(count);
    }
}
