//! Keys come and go; what they have taken does not get lost.

use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use super::*;

const T0: Duration = Duration::from_secs(1_000_000);
const MINUTE: Duration = Duration::from_secs(60);

fn spend(table: &Table, key: Key, now: Duration, limit: u64) -> Result<u64, Refused> {
    let taken = table.take(key, now, |counter| counter.spend(now, 1, limit));
    taken.map(|(_, taken)| taken.left)
}

#[test]
fn each_key_has_a_counter_of_its_own() {
    let table = Table::new(Some(MINUTE));
    let (one, two) = (Key::numbered(1), Key::numbered(2));
    assert_eq!(spend(&table, one, T0, 2).unwrap(), 1);
    assert_eq!(spend(&table, one, T0, 2).unwrap(), 0);
    assert!(matches!(spend(&table, one, T0, 2), Err(Refused::Limit(_))));
    assert_eq!(spend(&table, two, T0, 2).unwrap(), 1);
    let held = Held {
        keys: 2,
        reserved: 0,
        spent: 3,
    };
    assert_eq!(table.held(), held);
}

#[test]
fn a_full_table_refuses_new_keys_and_only_those() {
    let table = Table::new(Some(MINUTE));
    let keys: Vec<_> = (0..KEYS_MAX as u64 + 20_000).map(Key::numbered).collect();
    let mut refused = Vec::new();
    for key in &keys {
        match spend(&table, *key, T0, 2) {
            Ok(_) => {}
            Err(Refused::Keys) => refused.push(*key),
            Err(Refused::Limit(_)) => panic!("two keys share a counter"),
        }
    }
    assert!(refused.len() >= 20_000, "there is a bound");
    assert!(table.held().keys as usize <= KEYS_MAX);
    assert!(
        table.held().keys as usize > KEYS_MAX * 9 / 10,
        "that is used"
    );
    assert_eq!(
        spend(&table, keys[0], T0, 2).unwrap(),
        0,
        "a known key is served"
    );
    let late = T0 + MINUTE * 2;
    let last = *refused.last().unwrap();
    assert!(matches!(
        spend(&table, last, T0 + MINUTE / 2, 2),
        Err(Refused::Keys)
    ));
    assert_eq!(
        spend(&table, last, late, 2).unwrap(),
        1,
        "idle keys have made room"
    );
}

#[test]
fn idle_keys_go_as_new_ones_come() {
    let table = Table::new(Some(MINUTE));
    let mut now = T0;
    for key in 0..200_000 {
        now += Duration::from_millis(20);
        spend(&table, Key::numbered(key), now, 2).unwrap();
    }
    // 3,000 keys a minute; a shard's counters at most double before they are looked at.
    let keys = table.held().keys;
    assert!(keys < 25_000, "{keys} keys are kept");
}

#[test]
fn a_key_with_a_reservation_is_never_idle() {
    let table = Table::new(None);
    let key = Key::numbered(0);
    let reserve = |key| table.take(key, T0, |counter| counter.reserve(T0, 1, 1));
    let (held, _) = reserve(key).unwrap();
    for other in 1..50_000 {
        let (counter, _) = reserve(Key::numbered(other)).unwrap();
        counter.release(1);
    }
    assert!(table.held().keys < 20_000, "the others went");
    assert!(
        matches!(reserve(key), Err(Refused::Limit(_))),
        "its counter is the same one"
    );
    held.release(1);
    assert!(reserve(key).is_ok());
}

/// Idle counters are removed while requests come for the same keys: a request that
/// still holds a removed counter must not be admitted by it.
#[test]
fn removal_never_admits_twice() {
    let table = Table::new(None);
    let contended = Key::numbered(u64::MAX);
    let (start, stop) = (Barrier::new(5), AtomicBool::new(false));
    let inside = AtomicU64::new(0);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                start.wait();
                while !stop.load(Ordering::Relaxed) {
                    let taken = table.take(contended, T0, |counter| counter.reserve(T0, 1, 1));
                    let Ok((counter, _)) = taken else { continue };
                    assert_eq!(
                        inside.fetch_add(1, Ordering::AcqRel),
                        0,
                        "two hold a limit of one"
                    );
                    inside.fetch_sub(1, Ordering::AcqRel);
                    counter.release(1);
                }
            });
        }
        start.wait();
        // Every insertion into a full shard sweeps it, if time has passed.
        for turn in 0..200 {
            for shard in &table.shards {
                let mut shard = shard.write();
                shard.swept_to = 0;
                shard.counters.retain(|_, counter| !counter.retire(T0));
            }
            if turn % 10 == 0 {
                thread::yield_now();
            }
        }
        stop.store(true, Ordering::Relaxed);
    });
    assert_eq!(table.held().reserved, 0);
}
