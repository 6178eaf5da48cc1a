//! What stays in the store, and for how long.

use super::*;

const TTL: Duration = Duration::from_secs(60);
const NOW: Duration = Duration::from_secs(1_000_000);

fn key(number: u64) -> CacheKey {
    CacheKey(*blake3::hash(&number.to_le_bytes()).as_bytes())
}

fn entry(bytes: usize) -> Entry {
    entry_of(bytes, None, "m", NOW)
}

fn entry_of(bytes: usize, tenant: Option<&str>, model: &str, made_at: Duration) -> Entry {
    let (tenant, model) = (tenant.map(Into::into), Some(model.into()));
    Entry::new(
        Vec::new(),
        vec![b'x'; bytes],
        false,
        tenant,
        model,
        (made_at, TTL),
    )
}

fn put(store: &Store, key: CacheKey, entry: Entry, now: Duration) -> bool {
    store.insert(key, entry, now, store.purges())
}

#[test]
fn an_entry_is_found_until_its_time_is_over() {
    let store = Store::new(1 << 20);
    assert!(put(&store, key(1), entry(10), NOW));
    assert_eq!(store.find(&key(1), NOW).unwrap().body().len(), 10);
    assert!(store.find(&key(2), NOW).is_none());
    let last = NOW + TTL - Duration::from_millis(1);
    assert!(store.find(&key(1), last).is_some());
    assert!(store.find(&key(1), NOW + TTL).is_none(), "its time is over");
    assert!(
        store.find(&key(1), Duration::ZERO).is_some(),
        "a clock that is behind harms nothing"
    );
}

#[test]
fn a_later_answer_takes_the_place_of_an_earlier_one() {
    let store = Store::new(1 << 20);
    put(&store, key(1), entry(10), NOW);
    let before = store.stats();
    put(&store, key(1), entry(1010), NOW);
    let after = store.stats();
    assert_eq!(after.entries, 1);
    assert_eq!(after.bytes, before.bytes + 1000);
    assert_eq!(store.find(&key(1), NOW).unwrap().body().len(), 1010);
    for number in 0..100_000 {
        put(&store, key(1), entry(number % 100), NOW);
    }
    assert_eq!(store.stats().entries, 1, "no queue grows by replacing");
}

#[test]
fn the_store_never_holds_more_than_its_capacity() {
    for capacity in [64 << 10, 1 << 20, 100 << 20] {
        let store = Store::new(capacity);
        let mut number = 0;
        let mut bytes = 0;
        while bytes < 3 * capacity {
            let size = 1 + (number * 7919) % (capacity / 20).min(50_000);
            put(&store, key(number % 4000), entry(size as usize), NOW);
            bytes += size;
            number += 1;
            if number % 64 == 0 {
                let stats = store.stats();
                assert!(stats.bytes <= capacity, "{stats:?}");
            }
        }
        let stats = store.stats();
        assert!(stats.bytes > capacity / 4, "it is filled: {stats:?}");
        assert!(stats.evicted > 0);
        assert_eq!(
            stats.bytes,
            recount(&store),
            "the books agree with the entries"
        );
    }
}

/// The bytes of the entries, counted again.
fn recount(store: &Store) -> u64 {
    let shards = store.shards.iter();
    shards.map(|shard| lock(shard).recount()).sum()
}

#[test]
fn what_is_used_survives_a_scan_of_ten_times_the_capacity() {
    const CAPACITY: u64 = 4 << 20;
    const SIZE: usize = 2000;
    let store = Store::new(CAPACITY);
    let size = entry(SIZE).size();
    let hot = CAPACITY / 2 / size;
    // The working set is in use before the scan begins, and not during it.
    for number in 0..hot {
        put(&store, key(number), entry(SIZE), NOW);
    }
    for _ in 0..3 {
        for number in 0..hot {
            assert!(store.find(&key(number), NOW).is_some());
        }
    }
    let scan = 10 * CAPACITY / size;
    for number in 0..scan {
        assert!(put(&store, key(hot + number), entry(SIZE), NOW));
    }
    let survivors = (0..hot).filter(|number| store.find(&key(*number), NOW).is_some());
    assert_eq!(survivors.count() as u64, hot, "of {hot}");
    assert!(store.stats().bytes <= CAPACITY);
}

#[test]
fn a_scan_of_large_entries_does_not_empty_the_store_either() {
    const CAPACITY: u64 = 1 << 20;
    let store = Store::new(CAPACITY);
    for number in 0..200 {
        put(&store, key(number), entry(1000), NOW);
        store.find(&key(number), NOW);
        store.find(&key(number), NOW);
    }
    for number in 1000..1020 {
        let stored = put(&store, key(number), entry(CAPACITY as usize / 2), NOW);
        assert_eq!(stored, number == 1000, "only the first finds room");
    }
    assert!((0..200).all(|number| store.find(&key(number), NOW).is_some()));
    assert!(
        put(&store, key(1019), entry(CAPACITY as usize / 2), NOW),
        "seen twice"
    );
    assert!(store.find(&key(1019), NOW).is_some());
}

#[test]
fn an_answer_that_comes_back_soon_goes_to_the_main_queue() {
    let store = Store::new(1 << 20);
    let size = 10_000;
    for number in 0..300 {
        put(&store, key(number), entry(size), NOW);
    }
    let gone = (0..300).find(|number| store.find(&key(*number), NOW).is_none());
    let back = (gone.unwrap()..300).filter(|number| store.find(&key(*number), NOW).is_none());
    let back = back.last().unwrap();
    put(&store, key(back), entry(size), NOW);
    for number in 1000..1300 {
        put(&store, key(number), entry(size), NOW);
    }
    assert!(
        store.find(&key(back), NOW).is_some(),
        "{back} was remembered"
    );
}

#[test]
fn what_has_expired_goes_first_and_is_not_called_evicted() {
    let store = Store::new(64 << 10);
    for number in 0..10 {
        put(&store, key(number), entry(5000), NOW);
        for _ in 0..3 {
            store.find(&key(number), NOW);
        }
    }
    let later = NOW + 2 * TTL;
    for number in 100..130 {
        put(&store, key(number), entry_of(5000, None, "m", later), later);
    }
    let stats = store.stats();
    assert_eq!(stats.expired, 10, "{stats:?}");
}

#[test]
fn nothing_is_stored_that_is_larger_than_all_there_is() {
    let store = Store::new(64 << 10);
    put(&store, key(1), entry(10), NOW);
    assert!(!put(&store, key(2), entry(64 << 10), NOW));
    assert!(
        !put(&store, key(2), entry(64 << 10), NOW),
        "nor the second time"
    );
    assert!(
        !put(&store, key(1), entry(64 << 10), NOW),
        "nor in place of another"
    );
    assert_eq!(store.stats().entries, 1);
    assert!(store.find(&key(1), NOW).is_some());
}

#[test]
fn entries_are_purged_by_tenant_model_and_key() {
    let filled = || {
        let store = Store::new(1 << 20);
        for (number, tenant, model) in [
            (1, Some("a"), "m"),
            (2, Some("a"), "n"),
            (3, Some("b"), "m"),
            (4, None, "m"),
            (5, Some(""), "m"),
        ] {
            put(&store, key(number), entry_of(10, tenant, model, NOW), NOW);
        }
        store
    };
    let left = |purge: Purge| {
        let store = filled();
        let purged = store.purge(&purge);
        let left: Vec<u64> = (1..=5)
            .filter(|number| store.find(&key(*number), NOW).is_some())
            .collect();
        assert_eq!(purged.entries as usize, 5 - left.len());
        assert_eq!(store.stats().entries as usize, left.len());
        assert_eq!(store.stats().bytes, recount(&store));
        left
    };
    let tenant = |name: &str| Purge {
        tenant: Some(name.to_owned()),
        ..Purge::default()
    };
    assert!(left(Purge::default()).is_empty(), "all");
    assert_eq!(left(tenant("a")), [3, 4, 5]);
    assert_eq!(
        left(tenant("")),
        [1, 2, 3, 4],
        "the empty name is a tenant, none is not"
    );
    assert_eq!(left(tenant("c")), [1, 2, 3, 4, 5]);
    let model = Purge {
        model: Some("m".to_owned()),
        ..tenant("a")
    };
    assert_eq!(left(model), [2, 3, 4, 5], "both must hold");
    let digits = key(3).digits(20).to_uppercase();
    let by_key = Purge {
        key: Some(digits),
        ..Purge::default()
    };
    assert_eq!(left(by_key), [1, 2, 4, 5]);
}

#[test]
fn recording_has_its_own_bound() {
    let store = Store::new(1 << 20);
    assert!(store.begin_recording(1 << 18));
    assert!(!store.begin_recording(1), "a quarter of the capacity");
    store.end_recording(1);
    assert!(store.begin_recording(1));
    assert_eq!(store.stats().recording, 1 << 18);
}

#[test]
fn many_threads_share_a_store() {
    let store = Store::new(256 << 10);
    std::thread::scope(|scope| {
        for thread in 0..4_u64 {
            let store = &store;
            scope.spawn(move || {
                for step in 0..5_000_u64 {
                    let number = (step * (thread + 1)) % 500;
                    if store.find(&key(number), NOW).is_none() {
                        put(store, key(number), entry((number * 3) as usize), NOW);
                    }
                    if step % 1000 == 999 {
                        store.purge(&Purge::default());
                    }
                }
            });
        }
    });
    let stats = store.stats();
    assert!(stats.bytes <= 256 << 10);
    assert_eq!(stats.bytes, recount(&store));
}

#[test]
fn an_answer_that_was_asked_for_before_a_purge_is_not_stored_after_it() {
    let store = Store::new(1 << 20);
    let purges = store.purges();
    store.purge(&Purge::default());
    assert!(!store.insert(key(1), entry(10), NOW, purges));
    assert!(store.insert(key(1), entry(10), NOW, store.purges()));
}
