//! Where changes to a body come to stand, and what is stripped of a head.

use super::*;

fn edit(range: Range<usize>, new: &'static str) -> BodyEdit {
    BodyEdit {
        range,
        new: Bytes::from_static(new.as_bytes()),
    }
}

fn edits(list: &[(Range<usize>, &'static str)]) -> BodyEdits {
    let mut edits = BodyEdits::default();
    for (range, new) in list {
        edits.add(edit(range.clone(), new));
    }
    edits
}

fn applied(edits: &BodyEdits, pieces: &[&str]) -> String {
    let pieces: Vec<_> = pieces
        .iter()
        .map(|piece| Bytes::copy_from_slice(piece.as_bytes()))
        .collect();
    let edited = edits.apply(&pieces);
    assert!(edited.iter().all(|piece| !piece.is_empty()));
    String::from_utf8(edited.concat()).unwrap()
}

#[test]
fn changes_are_made_wherever_the_pieces_are_cut() {
    let body = "0123456789";
    let edits = edits(&[(7..9, "seven"), (0..0, "<"), (3..5, ""), (10..10, ">")]);
    for first in 0..=body.len() {
        for second in first..=body.len() {
            let pieces = [&body[..first], &body[first..second], &body[second..]];
            let edited = applied(&edits, &pieces);
            assert_eq!(edited, "<01256seven9>", "cut at {first} and {second}");
        }
    }
    assert_eq!(applied(&BodyEdits::default(), &["01", "2"]), "012");
}

#[test]
fn what_two_plugins_ask_for_is_done_once() {
    let twice = edits(&[(1..1, "a"), (1..1, "a"), (1..1, "b"), (1..2, "X")]);
    assert_eq!(applied(&twice, &["012"]), "0abX2", "insertions come first");
    let other_order = edits(&[(1..2, "X"), (1..1, "a")]);
    assert_eq!(applied(&other_order, &["012"]), "0aX2");
}

#[test]
fn a_change_past_the_end_stands_at_the_end() {
    assert_eq!(
        applied(&edits(&[(1..9, "X"), (9..9, "Y")]), &["012"]),
        "0XY"
    );
}

#[test]
#[cfg(debug_assertions)]
fn changes_that_overlap_are_a_mistake() {
    for second in [2..4, 0..2, 1..3, 0..9, 2..2] {
        let made = std::panic::catch_unwind(|| edits(&[(1..3, "a"), (second.clone(), "b")]));
        assert!(made.is_err(), "{second:?} overlaps 1..3");
    }
}

#[test]
fn what_is_stripped_is_gone_before_anything_is_set() {
    static NAMES: [HeaderName; 2] = [http::header::AUTHORIZATION, http::header::COOKIE];
    static MORE: [HeaderName; 1] = [http::header::FORWARDED];
    let mut edits = HeaderEdits::default();
    assert!(edits.is_empty());
    edits.set(http::header::COOKIE, HeaderValue::from_static("ours"));
    edits.strip(&NAMES);
    edits.strip(&NAMES);
    assert_eq!(edits.stripped(), NAMES);
    assert_eq!(edits.iter().count(), 1, "what we set stays");
    edits.strip(&MORE);
    let last = edits.iter().last();
    assert_eq!(
        last,
        Some(&Edit::Remove(http::header::FORWARDED)),
        "another list is not lost"
    );
    let mut stripped = HeaderEdits::default();
    stripped.strip(&NAMES);
    assert!(!stripped.is_empty());
}
