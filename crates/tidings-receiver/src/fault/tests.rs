//! Faults: text forms, refusals, and which requests are hit.

use super::*;
use proptest::prelude::*;

#[track_caller]
fn check(text: &str, expected: &str) {
    let fault: Fault = text.parse().unwrap();
    assert_eq!(fault.to_string(), expected);
    assert_eq!(fault.to_string().parse(), Ok(fault));
}

#[track_caller]
fn refused(text: &str) -> String {
    text.parse::<Fault>().unwrap_err().to_string()
}

#[test]
fn parses_every_documented_form() {
    check("status=500,rate=0.1", "status=500,rate=0.1");
    check("delay=5s,rate=0.01", "delay=5s,rate=0.01");
    check("reset,rate=0.01", "reset,rate=0.01");
    check("hang", "hang");
    check("slow-body", "slow-body=1s");
    check("slow-body=250ms", "slow-body=250ms");
    check("big-body=1GiB", "big-body=1073741824");
    check(
        "redirect=https://a.example/x?y=z",
        "redirect=307:https://a.example/x?y=z",
    );
    check("redirect=301:file:///x", "redirect=301:file:///x");
    check("redirect=12:x", "redirect=307:12:x");
    check("retry-after=120", "retry-after=503:120");
    check("retry-after=429:-1", "retry-after=429:-1");
    check(
        "retry-after=Sun%2C 06 Nov 1994 08:49:37 GMT",
        "retry-after=503:Sun%2C 06 Nov 1994 08:49:37 GMT",
    );
    check("status=999", "status=999");
    check("gzip-bomb,rate=0.5", "gzip-bomb,rate=0.5");
    check("gzip", "gzip");
    check("echo=418", "echo=418");
    check(" rate=0.5 , status = 503 ", "status=503,rate=0.5");
    check(
        "hang,first=2,after=3,path=/oauth2/token",
        "hang,after=3,first=2,path=/oauth2/token",
    );
    check("accept-reset,first=1", "accept-reset,first=1");
    check("accept-hang", "accept-hang");
    check("delay=2m", "delay=120s");
}

#[test]
fn names_what_is_wrong() {
    insta::assert_snapshot!(refused("status=500,rate=2"), @"fault `status=500,rate=2`: rate: `2` is not a number from 0 to 1");
    insta::assert_snapshot!(refused("status=99"), @"fault `status=99`: status: `99` is not a status from 200 to 999, as in `status=500`");
    insta::assert_snapshot!(refused("delay=5"), @"fault `delay=5`: delay: `5` is not a duration like 250ms, 5s, 2m or 1h, as in `delay=5s`");
    insta::assert_snapshot!(refused("delay=2h"), @"fault `delay=2h`: delay: `2h` is more than 3600s, as in `delay=5s`");
    insta::assert_snapshot!(refused("hang=1"), @"fault `hang=1`: hang: it takes no value, not `1`, as in `hang`");
    insta::assert_snapshot!(refused("status=500,hang"), @"fault `status=500,hang`: `status=500` and `hang` are two faults: give each its own");
    insta::assert_snapshot!(refused("big-body"), @"fault `big-body`: big-body: it needs a value, as in `big-body=1GiB`");
    insta::assert_snapshot!(refused("first=1,first=2,hang"), @"fault `first=1,first=2,hang`: first is given twice");
    insta::assert_snapshot!(refused("hang,path=x"), @"fault `hang,path=x`: path: `x` does not begin with `/`");
    insta::assert_snapshot!(refused("rate=0.1"), @"fault `rate=0.1`: nothing happens; it needs status=500, delay=5s, hang, reset, slow-body=1s, big-body=1GiB, redirect=https://partner.example/, retry-after=429:120, gzip, echo=400, accept-reset, accept-hang");
    insta::assert_snapshot!(refused("explode"), @"fault `explode`: `explode` is unknown; there are status=500, delay=5s, hang, reset, slow-body=1s, big-body=1GiB, redirect=https://partner.example/, retry-after=429:120, gzip, echo=400, accept-reset, accept-hang and 94 more, see --list-faults; each with rate=, first=, after= and path=");
}

/// The names of what happens to `requests` messages in a row, `-` for a good answer.
fn run(faults: &[&str], requests: usize) -> String {
    let faults = faults.iter().map(|text| text.parse().unwrap()).collect();
    let set = FaultSet::new(faults, 7);
    let names: Vec<_> = (0..requests)
        .map(|_| {
            let plan = set.plan_answer("/segments", true);
            plan.name().unwrap_or_else(|| "-".to_owned())
        })
        .collect();
    names.join(" ")
}

#[test]
fn selects_by_number_and_in_order() {
    assert_eq!(
        run(&["status=500,first=2", "hang,first=1"], 5),
        "status=500 status=500 hang - -"
    );
    assert_eq!(run(&["reset,after=1,first=1"], 4), "- reset - -");
    assert_eq!(run(&["hang,rate=0"], 3), "- - -");
    assert_eq!(run(&["hang,path=/other"], 2), "- -");
    assert_eq!(run(&["hang,path=/seg"], 1), "hang");
    assert_eq!(run(&["accept-hang"], 1), "-");
}

#[test]
fn delays_add_up_and_combine() {
    let faults = ["delay=1s", "status=500,after=1", "delay=2s"];
    let set = FaultSet::new(faults.map(|text| text.parse().unwrap()).into(), 0);
    let first = set.plan_answer("/", true);
    assert_eq!(
        (first.delay, first.behaviour),
        (Duration::from_secs(3), None)
    );
    let second = set.plan_answer("/", true);
    assert_eq!(second.delay, Duration::from_secs(1));
    assert_eq!(
        second.behaviour,
        Some(Behaviour::Status(StatusCode::INTERNAL_SERVER_ERROR))
    );
}

#[test]
fn spares_the_token_endpoint_unless_it_is_named() {
    let set = FaultSet::new(vec!["hang".parse().unwrap()], 0);
    assert_eq!(set.plan_answer("/oauth2/token", false), Plan::default());
    let set = FaultSet::new(vec!["hang,path=/oauth2".parse().unwrap()], 0);
    assert_eq!(
        set.plan_answer("/oauth2/token", false).behaviour,
        Some(Behaviour::Hang)
    );
}

#[test]
fn a_rate_holds_on_average_and_repeats_with_its_seed() {
    let fires = |seed| {
        let set = FaultSet::new(vec!["hang,rate=0.1".parse().unwrap()], seed);
        let hits: Vec<_> = (0..10_000)
            .map(|_| set.plan_answer("/", true).behaviour.is_some())
            .collect();
        let fired = hits.iter().filter(|hit| **hit).count();
        assert!((850..1150).contains(&fired), "{fired} of 10000");
        assert_eq!(set.counts()[0].fired, u64::try_from(fired).unwrap());
        hits
    };
    assert_eq!(fires(1), fires(1));
    assert_ne!(fires(1), fires(2));
}

proptest! {
    #[test]
    fn any_text_is_parsed_or_refused_and_what_parses_prints_back(
        text in "(status|delay|hang|slow-body|big-body|redirect|retry-after|head-close|rate|first|path|,|=|/|[0-9]{1,3}|s|ms|GiB| |é){0,8}"
    ) {
        if let Ok(fault) = text.parse::<Fault>() {
            prop_assert_eq!(fault.to_string().parse(), Ok(fault));
        }
    }
}
