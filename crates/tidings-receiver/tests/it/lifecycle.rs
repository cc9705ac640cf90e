//! Start, observers, stop.

use crate::client::{Client, SAMPLE, message, receiver, send};
use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};
use tidings_receiver::{ReceiverSettings, limits};
use tokio::net::TcpListener;

#[tokio::test]
async fn shows_every_request_to_its_observer() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&seen);
    let running = receiver(ReceiverSettings {
        on_request: Some(Arc::new(move |received| {
            let users = received.message.as_ref().map(|message| message.users.len());
            sink.lock().unwrap().push((received.target.clone(), users));
        })),
        ..ReceiverSettings::default()
    })
    .await;
    send(&running, message(SAMPLE, &[])).await.unwrap();
    send(&running, message("", &[])).await.unwrap();
    assert_eq!(
        *seen.lock().unwrap(),
        [
            ("/segments".to_owned(), Some(2)),
            ("/segments".to_owned(), None)
        ]
    );
}

#[tokio::test]
async fn debug_output_shows_no_token() {
    let running = receiver(ReceiverSettings::default()).await;
    let mut requests = running.subscribe();
    let request = message(SAMPLE, &[("authorization", "Bearer hush")]);
    send(&running, request).await.unwrap();
    let received = requests.recv().await.unwrap();
    let shown = format!("{received:?} {:?} {running:?}", received.headers);
    assert!(!shown.contains("hush"), "{shown}");
}

#[tokio::test]
async fn a_subscriber_that_lags_loses_the_oldest_and_slows_nothing() {
    let running = receiver(ReceiverSettings::default()).await;
    let mut requests = running.subscribe();
    let mut client = Client::connect(&running).await.unwrap();
    for _ in 0..limits::SUBSCRIBER_QUEUE_MAX + 3 {
        client.send(message("", &[])).await.unwrap();
    }
    let error = requests.recv().await.unwrap_err();
    assert_eq!(error.to_string(), "channel lagged by 3");
}

#[tokio::test]
async fn finishes_requests_in_progress_and_frees_its_port() {
    let running = receiver(ReceiverSettings::default()).await;
    let address = running.local_addr();
    let mut idle = Client::connect(&running).await.unwrap();
    idle.send(message(SAMPLE, &[])).await.unwrap();
    running.shutdown().await;
    assert!(idle.send(message(SAMPLE, &[])).await.is_err());
    TcpListener::bind(address).await.unwrap();
}

#[tokio::test]
async fn stops_when_it_is_dropped() {
    let running = receiver(ReceiverSettings::default()).await;
    let mut client = Client::connect(&running).await.unwrap();
    client.send(message(SAMPLE, &[])).await.unwrap();
    drop(running);
    while client.send(message(SAMPLE, &[])).await.is_ok() {}
}

#[tokio::test]
async fn gives_a_url_that_can_be_called() {
    let running = receiver(ReceiverSettings::default()).await;
    assert_eq!(running.url(), format!("https://{}", running.local_addr()));
    let anywhere = receiver(ReceiverSettings {
        listen: SocketAddr::from(([0, 0, 0, 0], 0)),
        ..ReceiverSettings::default()
    })
    .await;
    let port = anywhere.local_addr().port();
    assert_eq!(anywhere.url(), format!("https://127.0.0.1:{port}"));
}
