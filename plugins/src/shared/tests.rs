//! What is found again, and what is gone.

use std::sync::atomic::{AtomicU64, Ordering};

use super::*;

#[test]
fn a_name_is_found_again_while_something_holds_it() {
    let shared = Shared::default();
    let first = shared.keep("limits", "per-key", || AtomicU64::new(0));
    first.fetch_add(5, Ordering::Relaxed);
    let again = shared.keep("limits", "per-key", || AtomicU64::new(0));
    assert_eq!(again.load(Ordering::Relaxed), 5, "the same counter");
    drop((first, again));
    let anew = shared.keep("limits", "per-key", || AtomicU64::new(0));
    assert_eq!(anew.load(Ordering::Relaxed), 0, "nobody held it");
}

#[test]
fn another_kind_name_or_type_is_another_thing() {
    let shared = Shared::default();
    let number = shared.keep("limits", "a", || 1_u32);
    assert_eq!(*shared.keep("cache", "a", || 2_u32), 2);
    assert_eq!(*shared.keep("limits", "b", || 3_u32), 3);
    assert_eq!(*shared.keep("limits", "a", || "text"), "text");
    assert_eq!(*shared.keep("limits", "a", || 4_u32), *number);
}

#[test]
fn what_is_alive_can_be_listed() {
    let shared = Shared::default();
    let held = ["b", "c", "a"].map(|name| shared.keep("cache", name, || name.to_owned()));
    let _other = shared.keep("cache", "d", || 1_u8);
    drop(shared.keep("cache", "gone", || "gone".to_owned()));
    let alive = shared.alive::<String>();
    assert_eq!(
        alive.iter().map(|name| &***name).collect::<Vec<_>>(),
        ["a", "b", "c"]
    );
    drop((held, alive));
    assert!(shared.alive::<String>().is_empty());
}

#[test]
fn names_that_are_gone_take_no_room() {
    let shared = Shared::default();
    let _held = shared.keep("limits", "held", || 0_u8);
    for name in 0..1_000 {
        shared.keep("limits", &name.to_string(), || 0_u8);
    }
    let entries = shared.lock().by_name.len();
    assert!(entries <= 4, "{entries} entries for one thing");
    assert_eq!(shared.alive::<u8>().len(), 1);
}

#[test]
fn making_a_thing_may_keep_another() {
    let shared = Shared::default();
    let outer = shared.keep("a", "outer", || shared.keep("a", "inner", || 7_u8));
    assert_eq!(**outer, 7);
    assert_eq!(format!("{shared:?}"), r#"{("a", "inner"), ("a", "outer")}"#);
}
