//! What is found again, for how long, and what gives way.

use super::*;

fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn cache() -> Cache<String> {
    Cache::new(RandomState::new())
}

fn keep(cache: &Cache<String>, token: &str, now: u64, until: u64) {
    let value = Arc::new(token.to_owned());
    cache.keep(token.as_bytes(), (0, 1), (at(now), at(until)), value);
}

fn find(cache: &Cache<String>, token: &str, now: u64) -> Option<Arc<String>> {
    cache.find(token.as_bytes(), at(now), |_| Some(1))
}

fn held(cache: &Cache<String>) -> usize {
    let places = cache.places.iter();
    places
        .map(|place| place.read().iter().flatten().count())
        .sum()
}

#[test]
fn a_token_is_found_until_its_date_or_for_five_minutes() {
    let cache = cache();
    keep(&cache, "short", 100, 130);
    keep(&cache, "long", 100, 9_999);
    assert!(find(&cache, "short", 129).is_some());
    assert!(find(&cache, "short", 130).is_none());
    assert!(find(&cache, "long", 399).is_some());
    assert!(
        find(&cache, "long", 400).is_none(),
        "then it is looked at again"
    );
    assert!(find(&cache, "lon", 100).is_none() && find(&cache, "long2", 100).is_none());
}

#[test]
fn other_keys_of_its_issuer_make_a_token_unknown() {
    let cache = cache();
    let value = Arc::new(String::new());
    cache.keep(b"t", (3, 7), (at(1), at(99)), value);
    let with = |generation: Option<u64>| {
        cache.find(b"t", at(2), |issuer| {
            assert_eq!(issuer, 3);
            generation
        })
    };
    assert!(with(Some(7)).is_some());
    assert!(with(Some(8)).is_none() && with(None).is_none());
}

#[test]
fn the_table_does_not_grow() {
    let cache = cache();
    for n in 0..3 * PLACES * NEIGHBOURS {
        keep(&cache, &format!("token {n}"), 1, 1_000);
    }
    assert!(held(&cache) <= PLACES * NEIGHBOURS);
    keep(&cache, "again", 1, 1_000);
    let before = held(&cache);
    keep(&cache, "again", 2, 1_000);
    assert_eq!(held(&cache), before, "one token has one place");
}

#[test]
fn a_long_token_is_not_kept() {
    let cache = cache();
    let long = "a".repeat(TOKEN_BYTES_MAX + 1);
    keep(&cache, &long, 1, 1_000);
    assert_eq!(held(&cache), 0);
    assert!(find(&cache, &long, 1).is_none());
}

#[test]
fn who_was_not_seen_for_longest_gives_way() {
    let cache = cache();
    // Tokens that share the first one's place.
    let place = |token: &str| cache.hasher.hash_one(token.as_bytes()) as usize % PLACES;
    let first = "token 0".to_owned();
    let others = (1..).map(|n| format!("token {n}"));
    let mut sharing = others.filter(|token| place(token) == place(&first));
    let neighbours: Vec<String> = sharing.by_ref().take(NEIGHBOURS - 1).collect();
    keep(&cache, &first, 10, 1_000);
    for token in &neighbours {
        keep(&cache, token, 11, 1_000);
    }
    // The oldest is shown again, so the next one is the one to go.
    assert!(find(&cache, &first, 20).is_some());
    for token in neighbours.iter().skip(1) {
        assert!(find(&cache, token, 20).is_some());
    }
    keep(&cache, &sharing.next().unwrap(), 21, 1_000);
    assert!(find(&cache, &first, 22).is_some());
    let gone: Vec<bool> = neighbours
        .iter()
        .map(|token| find(&cache, token, 22).is_none())
        .collect();
    assert_eq!(gone, [true, false, false]);
    // One that has expired goes before any that has not.
    keep(&cache, &neighbours[0], 23, 24);
    keep(&cache, &sharing.next().unwrap(), 30, 1_000);
    assert!(find(&cache, &neighbours[1], 31).is_some() || find(&cache, &first, 31).is_some());
}
