//! How levels follow from what is used, and how many requests they allow.

use super::*;
use crate::overload::tests::{admit, overload};

#[test]
fn a_level_is_left_below_where_it_was_entered() {
    let overload = overload(100);
    let mut level = Level::Calm;
    for (used, wanted) in [
        (89, Level::Calm),
        (90, Level::Shedding),
        (86, Level::Shedding),
        (95, Level::Paused),
        (91, Level::Paused),
        (89, Level::Shedding),
        (84, Level::Calm),
        (89, Level::Calm),
        (99, Level::Paused),
        (10, Level::Calm),
    ] {
        level = level.next(Some((used, 100)), &overload);
        assert_eq!(level, wanted, "at {used} %");
    }
    assert_eq!(
        Level::Paused.next(None, &overload),
        Level::Calm,
        "who cannot look is open"
    );
}

#[test]
fn when_memory_is_short_nothing_is_added_and_then_a_little() {
    let mut monitor = Monitor::default();
    let mut allow = |level, used, requests| {
        monitor.memory = level;
        monitor.allow(Some((used, 1000)), requests);
        monitor.requests_max
    };
    assert_eq!(allow(Level::Calm, 800, 40), u32::MAX);
    assert_eq!(allow(Level::Shedding, 900, 40), 40, "those under way go on");
    assert_eq!(allow(Level::Shedding, 910, 40), 30, "more is taken");
    assert_eq!(allow(Level::Shedding, 910, 35), 38, "no more is taken");
    assert_eq!(allow(Level::Paused, 950, 8), 6);
    assert_eq!(allow(Level::Paused, 950, 0), 1, "one in any case");
    assert_eq!(allow(Level::Paused, 960, 0), 1);
    let mut grown = 1;
    for _ in 0..20 {
        grown = allow(Level::Shedding, 900, 1);
    }
    assert!(
        grown > 100,
        "{grown} after a second in which nothing was added"
    );
    assert_eq!(allow(Level::Calm, 800, 100), u32::MAX);
}

#[test]
fn what_is_seen_is_published() {
    let overload = overload(1 << 20);
    let _connection = overload.connected();
    let _request = admit(&overload).unwrap();
    let seen = Monitor::default().look(&overload);
    assert_eq!(seen.level, Level::Calm);
    assert_eq!(
        (seen.under_way.connections, seen.under_way.requests),
        (1, 1)
    );
    let (open, limit) = seen.descriptors.unwrap();
    let others = i64::try_from(open).unwrap() - 2;
    assert_eq!(
        overload.request_room.load(Ordering::Relaxed),
        room(Some(limit), 90, others)
    );
}
