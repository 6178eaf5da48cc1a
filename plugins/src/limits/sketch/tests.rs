//! What an estimate promises.

use super::*;

const WINDOW: Duration = Duration::from_secs(60);

fn at(seconds: f64) -> Duration {
    Duration::from_secs_f64(1_000_000.0 * 60.0 + seconds)
}

fn key(number: u64) -> Key {
    Key::numbered(number)
}

#[test]
fn one_key_gets_its_limit_within_a_window() {
    let (sketch, one, two) = (Sketch::new(WINDOW), key(1), key(2));
    for left in (0..10).rev() {
        let (_, remaining) = sketch.spend(one, at(0.0), 10).unwrap();
        assert_eq!(remaining, left);
    }
    let wait = sketch.spend(one, at(0.0), 10).unwrap_err();
    assert!(
        sketch.spend(two, at(0.0), 10).is_ok(),
        "another key has its own"
    );
    assert!(
        sketch
            .spend(one, at(0.0) + wait - Duration::from_nanos(1), 10)
            .is_err()
    );
    assert!(
        sketch.spend(one, at(0.0) + wait, 10).is_ok(),
        "there is room when it said so"
    );
}

#[test]
fn the_window_before_counts_in_proportion() {
    let (sketch, key) = (Sketch::new(WINDOW), key(1));
    for _ in 0..10 {
        sketch.spend(key, at(30.0), 10).unwrap();
    }
    assert!(sketch.spend(key, at(60.0), 10).is_err(), "all of it counts");
    for _ in 0..5 {
        assert!(sketch.spend(key, at(90.0), 10).is_ok(), "half of it counts");
    }
    assert!(sketch.spend(key, at(90.0), 10).is_err());
    assert!(
        sketch.spend(key, at(300.0), 10).is_ok(),
        "none of it counts"
    );
}

#[test]
fn what_is_taken_back_does_not_count_twice() {
    let (sketch, key) = (Sketch::new(WINDOW), key(1));
    let (mark, _) = sketch.spend(key, at(0.0), 1).unwrap();
    assert!(sketch.spend(key, at(1.0), 1).is_err());
    sketch.unspend(mark);
    let (mark, _) = sketch.spend(key, at(1.0), 1).unwrap();
    assert!(sketch.spend(key, at(500.0), 1).is_ok());
    sketch.unspend(mark);
    assert!(
        sketch.spend(key, at(500.0), 1).is_err(),
        "what is forgotten is not taken back from what came since"
    );
}

#[test]
fn a_hundred_thousand_clients_hardly_disturb_one() {
    let sketch = Sketch::new(WINDOW);
    for number in 0..100_000 {
        let _ = sketch.spend(key(number), at(1.0), 1000);
    }
    let mine = key(1_000_000);
    let admitted = (0..1000).filter(|_| sketch.spend(mine, at(2.0), 1000).is_ok());
    let admitted = admitted.count();
    assert!(admitted > 980, "{admitted} of a thousand were let through");
}
