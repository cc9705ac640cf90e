//! One door for the tests of this crate: a catalog and a history as text, with what must come of it.
//!
//! [`check`] runs a script against one device. A line is a step, `=>`, and what the step shows:
//!
//! ```text
//! d0+10:00 see 1 5=x    => +10 >100.5
//! send                  => 100.5[x 10=1]
//! ```
//!
//! `d0` is 2016-07-27; a step without a time happens at the time of the one before. The steps are
//! those of [`World::step`], the catalog's lines those of [`catalog::parse`]. After every step the
//! profile is checked against everything that its documentation promises.

mod catalog;
mod event;
mod invariants;
mod partner;
mod world;

pub(crate) use self::{catalog::parse as catalog, world::World};
use tidings_model::{Timestamp, UtcDay, time::DAY_SECONDS};

/// Runs a script under one catalog.
#[track_caller]
pub(crate) fn check(catalog: &str, script: &str) {
    check_all(&[catalog], script);
}

/// Runs a script that begins with the first catalog; `catalog n` goes over to the `n`-th, from 0.
#[track_caller]
pub(crate) fn check_all(catalogs: &[&str], script: &str) {
    let mut world = World::new(catalogs);
    let (mut expected, mut actual) = (String::new(), String::new());
    for line in script.lines().map(str::trim).filter(|l| !l.is_empty()) {
        let (step, facts) = line.split_once("=>").unwrap_or((line, ""));
        let step = step.trim();
        expected += &format!("{step} => {}\n", squeeze(facts));
        actual += &format!("{step} => {}\n", squeeze(&world.step(step)));
    }
    assert!(
        expected == actual,
        "expected:\n{expected}\nactual:\n{actual}"
    );
}

/// Single spaces, so that scripts can be laid out in columns.
fn squeeze(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The day that tests call `d0`.
const DAY_0: UtcDay = UtcDay(17_009);

/// `d3`, `d3+10:30` or `d3+10:30:59`.
pub(crate) fn parse_time(text: &str) -> Option<Timestamp> {
    let text = text.strip_prefix('d')?;
    let (day, clock) = text.split_once('+').unwrap_or((text, "0"));
    let mut seconds = 0;
    for (part, unit) in clock.split(':').zip([3600, 60, 1]) {
        seconds += part.parse::<i64>().ok()? * unit;
    }
    Some(
        DAY_0
            .plus_days(day.parse().ok()?)
            .start()
            .plus_seconds(seconds),
    )
}

/// The inverse of [`parse_time`].
pub(crate) fn show_time(time: Timestamp) -> String {
    let day = time.day().days_since(DAY_0);
    let seconds = time.0.rem_euclid(DAY_SECONDS);
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    match (hours, minutes, seconds) {
        (0, 0, 0) => format!("d{day}"),
        (_, _, 0) => format!("d{day}+{hours}:{minutes:02}"),
        _ => format!("d{day}+{hours}:{minutes:02}:{seconds:02}"),
    }
}
