//! Partners that hang cost the others nothing: whatever is asked of them stays with them.

use crate::support::{partner::Partner, poll, server::Home};
use std::fmt::Write as _;

const PARTNERS: usize = 10;
const HANGING: usize = 2;
const USERS: usize = 40;

#[tokio::test(flavor = "multi_thread")]
async fn the_others_are_told_while_some_hang() {
    let mut partners = Vec::new();
    for number in 0..PARTNERS {
        let partner = Partner::start().await;
        if number < HANGING {
            partner.set_faults(&["hang"]);
        }
        partners.push(partner);
    }
    let mut catalog = String::from(
        "data_sources: [{ id: 501, name: Cookies, kind: cookie }]
traits: [{ id: 1, name: A }, { id: 2, name: B }]
segments: [{ id: 101, name: S1, rule: '1T' }, { id: 102, name: S2, rule: '2T' }]
destinations:\n",
    );
    for (number, partner) in partners.iter().enumerate() {
        // An attempt at one that hangs takes longer than all of this test.
        writeln!(
            catalog,
            "  - {{ id: {}, name: Partner, client_id: \"74323\", url: \"{}\", id_data_sources: [501], \
             mappings: [{{ segment: 101 }}, {{ segment: 102 }}], max_users: 1, max_linger: 0s, timeout: 60s }}",
            number + 1,
            partner.url()
        )
        .unwrap();
    }
    let all: Vec<_> = partners.iter().collect();
    let home = Home::new(&catalog, &all);
    let server = home.start().await;
    for trait_id in 1..=2 {
        let mut events = String::new();
        for user in 0..USERS {
            writeln!(
                events,
                r#"{{"uuid":"{user:038}","traits":[{trait_id}],"ids":[{{"data_source":501,"id":"p{user}"}}]}}"#
            )
            .unwrap();
        }
        server.events(&events).await;
        let segment = 100 + trait_id;
        poll("the others to be told", async || {
            let told = |partner: &Partner| {
                (0..USERS).all(|user| partner.state(&format!("p{user}"), segment) == Some(true))
            };
            partners.iter().skip(HANGING).all(told).then_some(())
        })
        .await;
    }
    for id in 1..=HANGING {
        let status = server.destination(u32::try_from(id).unwrap()).await;
        // No attempt has ended, so nobody waited for one.
        assert_eq!(status["in_flight"], 32, "{status}");
        assert_eq!(status["attempts"], 32, "{status}");
        assert_eq!(status["attempts_by_outcome"]["failed"], 0, "{status}");
    }
}
