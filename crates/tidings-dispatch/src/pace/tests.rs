//! Rates before, and what a ramp lets through.

use super::*;
use proptest::prelude::{ProptestConfig, prop_assert, proptest};

/// So many messages per second are acknowledged for so many seconds.
fn healthy(pace: &mut Pace, now: &mut Millis, per_second: u64, seconds: u64) {
    for _ in 0..seconds {
        for message in 0..per_second {
            pace.acknowledged(now.plus(Duration::from_millis(message * 1000 / per_second)));
        }
        *now = now.plus(Duration::from_secs(1));
    }
}

/// The instants at which a ramp lets messages go that are all acknowledged at once.
fn ramp(pace: &mut Pace, now: &mut Millis, seconds: u64) -> Vec<Millis> {
    pace.begin_ramp(*now);
    let end = now.plus(Duration::from_secs(seconds));
    let mut sent = Vec::new();
    while *now < end {
        pace.advance(*now);
        while pace.permits() > 0 {
            pace.sent();
            pace.acknowledged(*now);
            sent.push(*now);
        }
        *now = pace.permits_at(1).unwrap();
    }
    sent
}

/// The most messages within any span of this length.
fn busiest(sent: &[Millis], span: Duration) -> usize {
    let ends = sent
        .iter()
        .map(|begin| sent.partition_point(|at| *at < begin.plus(span)));
    ends.enumerate()
        .map(|(begin, end)| end - begin)
        .max()
        .unwrap_or(0)
}

#[track_caller]
fn check(per_second: u64, seconds: u64, expected: std::ops::RangeInclusive<usize>) {
    let (mut pace, mut now) = (Pace::default(), Millis(77_000));
    healthy(&mut pace, &mut now, per_second, seconds);
    let sent = ramp(&mut pace, &mut now, 60);
    let busiest = busiest(&sent, Duration::from_secs(1));
    assert!(expected.contains(&busiest), "{busiest} in a second");
}

#[test]
fn ends_at_the_rate_before() {
    check(100, 300, 105..=110);
    check(1000, 300, 1050..=1100);
    // A short history counts too.
    check(400, 8, 420..=440);
}

#[test]
fn lets_a_destination_without_history_go_on() {
    check(1, 0, 50..=54);
    check(2, 10, 50..=54);
    check(2, 100, 10..=11);
}

#[test]
fn begins_slowly() {
    let (mut pace, mut now) = (Pace::default(), Millis(5));
    healthy(&mut pace, &mut now, 160, 100);
    let sent = ramp(&mut pace, &mut now, 30);
    let in_second = |second: u64| {
        let from = Millis(sent[0].0 + second * 1000);
        let to = from.plus(Duration::from_secs(1));
        sent.iter().filter(|at| **at >= from && **at < to).count()
    };
    let seconds: Vec<_> = (0..7).map(in_second).collect();
    assert_eq!(seconds, [11, 20, 41, 81, 163, 168, 168]);
}

#[test]
fn does_not_grow_while_nothing_is_acknowledged() {
    let mut pace = Pace::default();
    pace.begin_ramp(Millis(0));
    let mut sent = 0;
    for second in 0..100 {
        pace.advance(Millis(second * 1000));
        while pace.permits() > 0 {
            pace.sent();
            sent += 1;
        }
    }
    assert!(sent <= 400, "{sent}");
}

#[test]
fn a_large_backlog_does_not_take_for_ever() {
    let (mut pace, mut now) = (Pace::default(), Millis(0));
    healthy(&mut pace, &mut now, 1, 200);
    let sent = ramp(&mut pace, &mut now, 1_200).len();
    // Ten minutes at 10 per second, then half as much again every minute.
    assert!((50_000..150_000).contains(&sent), "{sent}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn no_second_is_above_the_bound(
        per_second in 15..300u64,
        seconds in 61..200u64,
        slowed in proptest::collection::vec(0..30_000u64, 0..4),
    ) {
        let (mut pace, mut now) = (Pace::default(), Millis(0));
        healthy(&mut pace, &mut now, per_second, seconds);
        pace.begin_ramp(now);
        let (began, mut sent) = (now, Vec::new());
        let mut slowed = slowed;
        slowed.sort_unstable();
        let mut slowed = slowed.into_iter().peekable();
        while now.since(began) < Duration::from_secs(60) {
            if slowed.next_if(|at| now.since(began) >= Duration::from_millis(*at)).is_some() {
                let until = now.plus(Duration::from_secs(1));
                pace.slow_down(now, until);
                now = until;
            }
            pace.advance(now);
            while pace.permits() > 0 {
                pace.sent();
                pace.acknowledged(now);
                sent.push(now);
            }
            now = pace.permits_at(1).unwrap();
        }
        let busiest = busiest(&sent, Duration::from_secs(1)) as u64;
        prop_assert!(busiest * 10 <= per_second * 11 + 10, "{busiest} of {per_second}");
    }
}
