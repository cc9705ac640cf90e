//! This machine's own addresses are not dialled, and a policy that changes holds for connections that
//! are open already.

use crate::partner::{AMPLE, Authority, Partner, ok_times, outcome, request, settings};
use std::{net::SocketAddr, process::Command, sync::Arc};
use tidings_egress::{
    AddressKind, AddressPolicy, Egress, EgressSettings, Endpoint, EndpointSettings, HostsFile,
    UrlError,
};
use tokio::net::{TcpListener, TcpStream};

const OPEN: AddressPolicy = AddressPolicy {
    allow_private: true,
};
const CLOSED: AddressPolicy = AddressPolicy {
    allow_private: false,
};
/// Set in the process that the test of a public address runs once more, with this address.
const INSIDE: &str = "TIDINGS_TEST_OWN_ADDRESS";

fn egress(policy: AddressPolicy, own_listeners: Vec<SocketAddr>, hosts: &str) -> Arc<Egress> {
    Egress::new(EgressSettings {
        policy,
        own_listeners,
        hosts: HostsFile::Text(hosts.to_owned()),
        ..settings(&Authority::new())
    })
    .unwrap()
}

/// What an attempt at this host comes to.
async fn attempt(egress: &Arc<Egress>, host: &str, port: u16) -> String {
    let url = format!("https://{host}:{port}/");
    let endpoint = Endpoint::new(Arc::clone(egress), &url, EndpointSettings::default()).unwrap();
    let attempt = endpoint.post(&request(), AMPLE).await;
    assert!(attempt.timings.connect.is_none(), "{host}: {attempt:?}");
    outcome(&attempt)
}

/// A connection that was made waits in the listener's queue: ours comes out first only if there is no
/// other before it.
async fn assert_untouched(canary: &TcpListener) {
    let own = TcpStream::connect(canary.local_addr().unwrap())
        .await
        .unwrap();
    let (_, from) = canary.accept().await.unwrap();
    assert_eq!(from, own.local_addr().unwrap(), "the canary was dialled");
}

#[tokio::test]
async fn where_the_server_listens_is_not_dialled() {
    // The canary stands for the server's own side: with it named, nothing opens it.
    let canary = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = canary.local_addr().unwrap();
    let port = address.port();
    let egress = egress(OPEN, vec![address], "127.0.0.1 partner.test\n");
    for host in ["127.0.0.1", "[::ffff:7f00:1]", "0x7f.1", "partner.test"] {
        assert_eq!(attempt(&egress, host, port).await, "address_own", "{host}");
    }
    assert_untouched(&canary).await;
    // Known before anything is sent, where no name is to be resolved.
    let refused = egress.check_url(&format!("https://127.0.0.1:{port}/"));
    assert!(
        matches!(&refused, Err(UrlError::Address(refusal)) if refusal.kind == AddressKind::OwnListener),
        "{refused:?}"
    );
    assert!(refused.unwrap_err().is_refusal());
    let by_name = egress.check_url(&format!("https://localhost:{port}/"));
    assert!(by_name.unwrap_err().is_refusal());
    // The neighbours of the port are partners like any other.
    assert_eq!(egress.check_url("https://127.0.0.1:9/"), Ok(()));
}

#[tokio::test]
async fn a_side_that_listens_everywhere_is_not_dialled_anywhere() {
    let canary = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = canary.local_addr().unwrap().port();
    let egress = egress(OPEN, vec![SocketAddr::from(([0, 0, 0, 0], port))], "");
    for host in ["127.0.0.1", "127.1.2.3", "[::1]", "localhost"] {
        assert_eq!(attempt(&egress, host, port).await, "address_own", "{host}");
    }
    assert_untouched(&canary).await;
}

/// A public address cannot be had on any machine, so this runs itself again in a network of its own.
#[tokio::test]
async fn a_public_address_of_this_machine_is_not_dialled() {
    if std::env::var_os(INSIDE).is_some() {
        return with_a_public_address().await;
    }
    let script = "ip link set lo up && ip address add 11.22.33.44/32 dev lo && \
                  ip address add 2600::44/128 dev lo nodad && exec \"$0\" \
                  --exact own::a_public_address_of_this_machine_is_not_dialled --nocapture";
    let test = std::env::current_exe().unwrap();
    let run = Command::new("unshare")
        .args(["-rn", "sh", "-c", script])
        .arg(test)
        .env(INSIDE, "1")
        .output();
    let output = match run {
        Ok(output) if String::from_utf8_lossy(&output.stdout).contains("running 1 test") => output,
        other => {
            println!("NOT TESTED: there is no network of one's own here: {other:?}");
            return;
        }
    };
    let said = String::from_utf8_lossy(&output.stdout).into_owned()
        + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
}

async fn with_a_public_address() {
    for (host, literal) in [
        ("11.22.33.44", "11.22.33.44:0"),
        ("[2600::44]", "[2600::44]:0"),
    ] {
        let canary = TcpListener::bind(literal).await.unwrap();
        let port = canary.local_addr().unwrap().port();
        let hosts = "11.22.33.44 partner.test\n2600::44 partner.test\n";
        let egress = egress(CLOSED, Vec::new(), hosts);
        for host in [host, "partner.test"] {
            assert_eq!(attempt(&egress, host, port).await, "address_own", "{host}");
        }
        assert_untouched(&canary).await;
        assert!(
            egress
                .check_url(&format!("https://{host}:{port}/"))
                .is_err()
        );
        // Nothing but the address was against it: with the switch it is dialled.
        egress.set_policy(OPEN);
        let url = format!("https://{host}:{port}/");
        let endpoint = Endpoint::new(egress, &url, EndpointSettings::default()).unwrap();
        let request = request();
        let (_, accepted) = tokio::join!(
            endpoint.post(&request, std::time::Duration::from_millis(200)),
            canary.accept()
        );
        accepted.unwrap();
    }
}

#[tokio::test]
async fn an_open_connection_is_judged_again_when_the_policy_changes() {
    let partner = Partner::start(vec![ok_times(10)]).await;
    let egress = partner.egress();
    let endpoint = Endpoint::new(
        Arc::clone(&egress),
        &partner.url("/"),
        EndpointSettings::default(),
    )
    .unwrap();
    let post = async || outcome(&endpoint.post(&request(), AMPLE).await);
    assert_eq!(post().await, "status_200 complete");
    assert_eq!(endpoint.idle_connections(), 1);
    egress.set_policy(CLOSED);
    assert_eq!(post().await, "address_refused");
    // The connection was closed rather than kept for better times, and no other was made.
    assert_eq!(endpoint.idle_connections(), 0);
    partner.ended(1).await;
    assert_eq!((partner.connections(), partner.requests().len()), (1, 1));
    egress.set_policy(OPEN);
    assert_eq!(post().await, "status_200 complete");
    assert_eq!((partner.connections(), partner.requests().len()), (2, 2));
    // A change that permits as much as before costs no connection.
    egress.set_policy(OPEN);
    assert_eq!(post().await, "status_200 complete");
    assert_eq!(partner.connections(), 2);
}

#[tokio::test]
async fn an_attempt_under_way_ends_before_the_policy_holds() {
    let mut gated = ok_times(2);
    gated.insert(1, crate::partner::Step::Gate);
    let partner = Partner::start(vec![gated]).await;
    let egress = partner.egress();
    let endpoint = Arc::new(
        Endpoint::new(
            Arc::clone(&egress),
            &partner.url("/"),
            EndpointSettings::default(),
        )
        .unwrap(),
    );
    let under_way = tokio::spawn({
        let endpoint = Arc::clone(&endpoint);
        async move { outcome(&endpoint.post(&request(), AMPLE).await) }
    });
    partner.requested(1).await;
    egress.set_policy(CLOSED);
    partner.gate.add_permits(1);
    assert_eq!(under_way.await.unwrap(), "status_200 complete");
    let next = endpoint.post(&request(), AMPLE).await;
    assert_eq!(outcome(&next), "address_refused");
    assert_eq!(partner.requests().len(), 1);
}
