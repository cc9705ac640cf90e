//! What the tests share: the program, servers and partners, and ways to wait for what they do.

pub(crate) mod http;
pub(crate) mod partner;
pub(crate) mod program;
pub(crate) mod server;

use std::{
    future::Future,
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use tokio::time::{Instant, sleep, timeout};

/// The longest that anything is waited for. Far more than anything takes, since the machine may be
/// busy with something else.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

/// Pause between two looks at something that cannot be subscribed to.
const POLL_PAUSE: Duration = Duration::from_millis(5);

/// Waits for `future`, up to the deadline.
pub(crate) async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    match timeout(DEADLINE, future).await {
        Ok(value) => value,
        Err(_) => panic!("waited {DEADLINE:?} for {what}"),
    }
}

/// Looks again and again until there is something, up to the deadline.
pub(crate) async fn poll<T>(what: &str, look: impl AsyncFnMut() -> Option<T>) -> T {
    match try_poll(look).await {
        Some(found) => found,
        None => panic!("waited {DEADLINE:?} for {what}"),
    }
}

/// Likewise, for a caller that has more to say when the deadline has passed.
pub(crate) async fn try_poll<T>(mut look: impl AsyncFnMut() -> Option<T>) -> Option<T> {
    let start = Instant::now();
    loop {
        let found = look().await;
        if found.is_some() || start.elapsed() > DEADLINE {
            return found;
        }
        sleep(POLL_PAUSE).await;
    }
}

/// Microseconds since 1970 by the system's clock, which the server reads as well.
pub(crate) fn now_micros() -> i64 {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    i64::try_from(elapsed.as_micros()).unwrap()
}
