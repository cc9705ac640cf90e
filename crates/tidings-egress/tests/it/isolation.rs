//! Endpoints of one egress do not wait for each other: what they share is the resolver and the roots.

use crate::{
    names::NameServer,
    partner::{AMPLE, HOST, Partner, ok_times, outcome, request, settings},
};
use std::{net::Ipv4Addr, sync::Arc};
use tidings_egress::{Egress, EgressSettings, Endpoint, EndpointSettings, HostsFile, NameServers};
use tidings_model::limits::IN_FLIGHT_PER_DESTINATION_MAX;
use tokio::{
    net::TcpListener,
    sync::{mpsc, watch},
    task::JoinSet,
};

/// Messages to the partner that answers.
const MESSAGES: usize = 50;

/// As many attempts at once as a destination makes, again and again until told to stop. Gives how many
/// got an answer.
async fn keep_trying(endpoint: Arc<Endpoint>, stop: watch::Receiver<bool>) -> usize {
    let mut tasks = JoinSet::new();
    for _ in 0..IN_FLIGHT_PER_DESTINATION_MAX {
        let (endpoint, mut stop) = (Arc::clone(&endpoint), stop.clone());
        tasks.spawn(async move {
            let (mut answered, request) = (0, request());
            loop {
                tokio::select! {
                    attempt = endpoint.post(&request, AMPLE) => {
                        answered += usize::from(attempt.result.is_ok());
                    }
                    _ = stop.wait_for(|&stop| stop) => return answered,
                }
            }
        });
    }
    tasks.join_all().await.into_iter().sum()
}

#[tokio::test]
async fn lookups_and_handshakes_that_hang_delay_nobody_else() {
    let partner = Partner::start(vec![ok_times(MESSAGES)]).await;
    let (asked, mut lookups) = mpsc::unbounded_channel();
    let name_server = NameServer::start(move |name, _| {
        if name == format!("{HOST}.") {
            return Some((0, vec![Ipv4Addr::LOCALHOST.into()]));
        }
        asked.send(()).unwrap();
        None
    })
    .await;
    // It takes connections and never says a word.
    let mute = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mute_port = mute.local_addr().unwrap().port();
    let (opened, mut handshakes) = mpsc::unbounded_channel();
    let muted = tokio::spawn(async move {
        let mut held = Vec::new();
        loop {
            held.push(mute.accept().await.unwrap());
            opened.send(()).unwrap();
        }
    });

    let egress = Egress::new(EgressSettings {
        name_servers: NameServers::Listed(vec![name_server.address]),
        hosts: HostsFile::Text(String::new()),
        ..settings(&partner.authority)
    })
    .unwrap();
    let endpoint = |url: &str| {
        let endpoint = Endpoint::new(Arc::clone(&egress), url, EndpointSettings::default());
        Arc::new(endpoint.unwrap())
    };
    let (stop, stopping) = watch::channel(false);
    let unresolved = endpoint("https://silent.partner.test/");
    let unresolved = tokio::spawn(keep_trying(unresolved, stopping.clone()));
    let unspoken = endpoint(&format!("https://{HOST}:{mute_port}/"));
    let unspoken = tokio::spawn(keep_trying(unspoken, stopping));
    lookups.recv().await.unwrap();
    for _ in 0..IN_FLIGHT_PER_DESTINATION_MAX {
        handshakes.recv().await.unwrap();
    }

    let healthy = endpoint(&partner.url("/"));
    for _ in 0..MESSAGES {
        let attempt = healthy.post(&request(), AMPLE).await;
        assert_eq!(outcome(&attempt), "status_200 complete", "{attempt:?}");
    }
    assert_eq!(partner.requests().len(), MESSAGES);

    stop.send_replace(true);
    assert_eq!(unresolved.await.unwrap(), 0);
    assert_eq!(unspoken.await.unwrap(), 0);
    muted.abort();
}
