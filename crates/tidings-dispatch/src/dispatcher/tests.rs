//! The state machine, fed by hand.

use super::*;
use smallvec::smallvec;

const NAMESPACE: DataSourceId = DataSourceId(501);

fn dispatcher(waiting_max: usize) -> Dispatcher<u32> {
    Dispatcher::new(Settings {
        namespaces: vec![NAMESPACE],
        users_max: 10,
        linger: Duration::ZERO,
        retries: 0,
        retry_delay: Duration::ZERO,
        after_failure: FailurePolicy::Hold,
        in_flight_max: 4,
        waiting_max,
        paused: false,
    })
}

fn uuid(number: u32) -> DeviceUuid {
    DeviceUuid::from_number(number.into()).unwrap()
}

/// A hint that a device was touched.
fn hint(dispatcher: &mut Dispatcher<u32>, number: u32) {
    let hint = Hint {
        uuid: uuid(number),
        seq: 1,
        namespace: NAMESPACE,
        objects: 1,
        removal: false,
    };
    dispatcher.hint(Millis(0), &hint);
}

/// Does everything that is to be done, every message being accepted, until the pending set is to be
/// read; the devices told, or `None` when nothing is left to do.
#[track_caller]
fn tell_until_rescan(dispatcher: &mut Dispatcher<u32>) -> Option<Vec<DeviceUuid>> {
    let mut told = Vec::new();
    loop {
        match dispatcher.poll(Millis(0)) {
            Some(Action::Rescan) => return Some(told),
            Some(Action::Take {
                kind,
                namespace,
                users,
            }) => {
                let take = |uuid: DeviceUuid| Taken {
                    uuid,
                    seq: 1,
                    objects: smallvec![1],
                    removal: false,
                };
                dispatcher.taken(kind, namespace, users.into_iter().map(take).collect());
            }
            Some(Action::Send { message, .. }) => {
                dispatcher.attempted(Millis(0), message, Outcome::Acknowledged);
            }
            Some(Action::Settle { users, .. }) => {
                told.extend(users.into_iter().map(|user| user.uuid));
            }
            Some(Action::Retry { .. }) => panic!("nothing failed"),
            Some(Action::BatchPage { .. } | Action::BatchDone) => panic!("there is no batch"),
            None => {
                assert_eq!(told, [], "told without being read from the pending set");
                return None;
            }
        }
    }
}

/// Tells device 1, which the partner refuses; how many devices are held then.
fn held_after_failure(after_failure: FailurePolicy, removal: bool) -> usize {
    let mut dispatcher = dispatcher(20);
    dispatcher.settings.after_failure = after_failure;
    hint(&mut dispatcher, 1);
    while let Some(action) = dispatcher.poll(Millis(0)) {
        match action {
            Action::Rescan => dispatcher.rescanned(true),
            Action::Take {
                kind,
                namespace,
                users,
            } => {
                let take = |uuid: DeviceUuid| Taken {
                    uuid,
                    seq: 1,
                    objects: smallvec![1],
                    removal,
                };
                dispatcher.taken(kind, namespace, users.into_iter().map(take).collect());
            }
            Action::Send { message, .. } => {
                dispatcher.attempted(Millis(0), message, Outcome::Failed);
            }
            _ => {}
        }
    }
    dispatcher.held()
}

#[test]
fn a_removal_is_held_where_additions_are_dropped() {
    assert_eq!(held_after_failure(FailurePolicy::Hold, false), 1);
    assert_eq!(held_after_failure(FailurePolicy::Hold, true), 1);
    assert_eq!(held_after_failure(FailurePolicy::Drop, false), 0);
    assert_eq!(held_after_failure(FailurePolicy::Drop, true), 1);
}

#[test]
fn what_finds_no_room_while_the_pending_set_is_read_is_read_afterwards() {
    let mut dispatcher = dispatcher(2);
    assert_eq!(tell_until_rescan(&mut dispatcher), Some(vec![]));
    hint(&mut dispatcher, 5);
    dispatcher.rescanned(false);
    hint(&mut dispatcher, 6);
    // There is no room for this one, and the reading may have passed its place already.
    hint(&mut dispatcher, 3);
    assert_eq!(
        tell_until_rescan(&mut dispatcher),
        Some(vec![uuid(5), uuid(6)])
    );
    dispatcher.rescanned(true);
    assert!(!dispatcher.is_idle());
    assert_eq!(tell_until_rescan(&mut dispatcher), Some(vec![]));
    hint(&mut dispatcher, 3);
    dispatcher.rescanned(true);
    assert!(!dispatcher.is_idle());
}

#[test]
fn the_pending_set_is_read_to_its_end_and_then_no_more() {
    let mut dispatcher = dispatcher(20);
    for page in 0..3 {
        assert_eq!(tell_until_rescan(&mut dispatcher), Some(vec![]));
        assert!(!dispatcher.is_idle());
        dispatcher.rescanned(page == 2);
    }
    assert!(dispatcher.is_idle());
    assert_eq!(tell_until_rescan(&mut dispatcher), None);
}

/// A hint may overtake the reading of the pending set that was asked for before it.
#[test]
fn an_older_row_does_not_hide_a_newer_touch() {
    let mut dispatcher = dispatcher(10);
    let touch = |dispatcher: &mut Dispatcher<u32>, seq| {
        let hint = Hint {
            uuid: uuid(1),
            seq,
            namespace: NAMESPACE,
            objects: 1,
            removal: false,
        };
        dispatcher.hint(Millis(0), &hint);
    };
    assert_eq!(dispatcher.poll(Millis(0)), Some(Action::Rescan));
    touch(&mut dispatcher, 20);
    let take = dispatcher.poll(Millis(0));
    assert!(matches!(take, Some(Action::Take { .. })), "{take:?}");
    touch(&mut dispatcher, 21);
    touch(&mut dispatcher, 20);
    dispatcher.rescanned(true);
    let taken = Taken {
        uuid: uuid(1),
        seq: 20,
        objects: smallvec![0],
        removal: false,
    };
    dispatcher.taken(Kind::Realtime, NAMESPACE, vec![taken]);
    let Some(Action::Send { message, .. }) = dispatcher.poll(Millis(0)) else {
        panic!("nothing is sent");
    };
    dispatcher.attempted(Millis(0), message, Outcome::Acknowledged);
    let actions: Vec<_> = std::iter::from_fn(|| dispatcher.poll(Millis(0))).collect();
    let again = |action: &Action<u32>| matches!(action, Action::Take { .. });
    assert!(actions.iter().any(again), "{actions:?}");
}

/// Touches devices in this order, the numbers that are negative with a zero that is owed, and tells them
/// once the partner is known: the numbers in the order in which they were told, one per message.
#[track_caller]
fn check_order(touches: &[i32], expected: &[u32]) {
    let mut dispatcher = dispatcher(100);
    dispatcher.settings.users_max = 1;
    assert_eq!(tell_until_rescan(&mut dispatcher), Some(vec![]));
    dispatcher.rescanned(true);
    for (seq, touch) in (1..).zip(touches) {
        let hint = Hint {
            uuid: uuid(touch.unsigned_abs()),
            seq,
            namespace: NAMESPACE,
            objects: 1,
            removal: *touch < 0,
        };
        dispatcher.hint(Millis(0), &hint);
    }
    let mut told = Vec::new();
    while let Some(action) = dispatcher.poll(Millis(0)) {
        match action {
            Action::Take {
                kind,
                namespace,
                users,
            } => {
                let take = |uuid: DeviceUuid| Taken {
                    uuid,
                    seq: 1_000,
                    objects: smallvec![1],
                    removal: false,
                };
                told.extend(users.iter().cloned());
                dispatcher.taken(kind, namespace, users.into_iter().map(take).collect());
            }
            Action::Send { message, .. } => {
                dispatcher.attempted(Millis(0), message, Outcome::Acknowledged);
            }
            _ => {}
        }
    }
    let expected: Vec<_> = expected.iter().copied().map(uuid).collect();
    assert_eq!(told, expected);
    assert!(dispatcher.is_idle());
}

#[test]
fn removals_go_ahead_of_additions() {
    check_order(&[1, 2, -3, 4, -5], &[3, 5, 1, 2, 4]);
    // A device that waits already goes ahead when it comes to owe a zero, and stays there.
    check_order(&[1, 2, 3, -2, 2], &[2, 1, 3]);
    check_order(&[1, -1, 2], &[1, 2]);
}

#[test]
fn additions_get_every_eighth_message() {
    let touches: Vec<i32> = [1, 2].into_iter().chain((10..30).map(|n| -n)).collect();
    let expected = (10..17).chain([1]).chain(17..24).chain([2]).chain(24..30);
    check_order(&touches, &expected.collect::<Vec<_>>());
}

#[test]
fn places_in_the_queue_that_were_left_are_passed_over() {
    let mut touches: Vec<i32> = (100..140).collect();
    touches.extend((100..140).rev().map(|n| -n));
    let expected: Vec<_> = (100..140).rev().collect();
    check_order(&touches, &expected);
}

/// A device that changes queues keeps the time since which it waits, behind one that waits for less long.
#[test]
fn a_device_that_becomes_a_removal_waits_no_longer_for_company() {
    let mut dispatcher = dispatcher(100);
    dispatcher.settings.linger = Duration::from_secs(1);
    assert_eq!(tell_until_rescan(&mut dispatcher), Some(vec![]));
    dispatcher.rescanned(true);
    for (at, number, removal) in [(0, 1, false), (500, 2, true), (600, 1, true)] {
        let hint = Hint {
            uuid: uuid(number),
            seq: at + 1,
            namespace: NAMESPACE,
            objects: 1,
            removal,
        };
        dispatcher.hint(Millis(at), &hint);
    }
    assert_eq!(dispatcher.poll(Millis(600)), None);
    assert_eq!(dispatcher.next_wakeup(Millis(600)), Some(Millis(1_000)));
}
