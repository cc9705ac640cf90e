//! Counts the allocations of this thread while rules are evaluated.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
};
use tidings_model::{Signals, TraitId, UtcDay};
use tidings_rules::{
    Realizations, Scratch, SegmentProgram, SegmentRule, TraitRule, TraitRuleIndex,
};

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

#[expect(unsafe_code, reason = "an allocator cannot be written without")]
// SAFETY: every call goes to the system's allocator unchanged; the counter is a plain thread-local
// cell without a destructor, whose use allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the pointer came from `alloc` above with this layout.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the pointer came from `alloc` above with this layout.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

fn allocations(work: impl FnOnce()) -> u64 {
    let before = ALLOCATIONS.get();
    work();
    ALLOCATIONS.get() - before
}

fn event() -> Signals {
    let mut signals = Signals::default();
    for (key, value) in [
        ("country", "US"),
        ("page", "page-7"),
        ("price", "12.50"),
        ("price", "not a number"),
        ("title", "red running shoes"),
    ] {
        assert!(signals.push(key, value));
    }
    signals
}

const RULES: &[&str] = &[
    r#"country == "US" AND page == "page-7""#,
    r#"country != "US" OR price >= 10 AND NOT price > 12.5"#,
    r#"title matcheswords "shoes red" AND title contains "run" AND page startswith "page""#,
    r#"title endswith "shoes" OR title matchesregex "^r\w+ .*\bshoes$""#,
    r#"NOT absent == 1"#,
    r#"price == "12.5""#,
];

#[test]
fn the_counter_counts() {
    assert_eq!(allocations(|| drop(std::hint::black_box(Box::new(1)))), 1);
}

#[test]
fn trait_rules() {
    let event = event();
    let rules: Vec<_> = RULES
        .iter()
        .map(|rule| TraitRule::parse(rule).unwrap())
        .collect();
    // The first search of a regular expression makes its cache.
    let expected: Vec<_> = rules.iter().map(|rule| rule.matches(&event)).collect();
    assert_eq!(expected, [true, true, true, true, true, true]);
    let mut matching = 0;
    let count = allocations(|| {
        for rule in &rules {
            matching += usize::from(rule.matches(&event));
        }
    });
    assert_eq!((matching, count), (RULES.len(), 0));
}

#[test]
fn the_index_in_steady_state() {
    let event = event();
    let rules = (0..100)
        .flat_map(|n| {
            RULES
                .iter()
                .map(move |rule| rule.replace("page-7", &format!("page-{n}")))
        })
        .map(|rule| TraitRule::parse(&rule).unwrap())
        .collect();
    let index = TraitRuleIndex::new(rules);
    let mut scratch = Scratch::default();
    let mut found = 0;
    index.for_each_match(&event, &mut scratch, |_| found += 1);
    let first = std::mem::take(&mut found);
    let count = allocations(|| index.for_each_match(&event, &mut scratch, |_| found += 1));
    assert_eq!((found, count), (first, 0));
    assert_eq!(first, 501);
}

struct Profile;

impl Realizations for Profile {
    fn total(&self, trait_id: TraitId) -> u64 {
        u64::from(trait_id.0)
    }

    fn on_or_after(&self, trait_id: TraitId, day: UtcDay) -> u64 {
        u64::from(trait_id.0) * u64::from(day.0 % 2 == 0)
    }

    fn on_or_before(&self, trait_id: TraitId, day: UtcDay) -> u64 {
        self.on_or_after(trait_id, day)
    }
}

#[test]
fn segment_programs() {
    let rule = "0T OR NOT (frequency([1T,2T] <= 3D) == 4 AND 5T) AND frequency([9T] >= 2D) <= 9";
    let program = SegmentProgram::new(&SegmentRule::parse(rule).unwrap());
    let mut value = false;
    let count = allocations(|| value = program.evaluate(UtcDay(17_000), &Profile));
    assert_eq!((value, count), (true, 0));
    let mut windows = 0;
    let count = allocations(|| windows = program.windows().count() + program.traits().len());
    assert_eq!((windows, count), (8, 0));
}
