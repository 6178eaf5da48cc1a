//! What came, went and moved between two orders of the same kind of things.

use std::collections::HashMap;
use std::hash::Hash;

/// What became of one element. Places are counted from zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// It stood at this place of the old order.
    Gone(usize),
    /// It stands at this place of the new order.
    Come(usize),
    /// It stands elsewhere among those that stayed.
    Moved { from: usize, to: usize },
    /// It stands as it did among those that stayed, whatever came and went around it.
    Stayed { from: usize, to: usize },
}

/// What became of each element: what went in the old order, then the rest in the new
/// one. As few as possible are said to have moved. Each element stands once in either
/// order.
pub(super) fn steps<T: Eq + Hash>(old: &[T], new: &[T]) -> Vec<Step> {
    let places: HashMap<&T, usize> = old.iter().zip(0..).collect();
    let now: HashMap<&T, usize> = new.iter().zip(0..).collect();
    let gone = old
        .iter()
        .zip(0..)
        .filter(|(element, _)| !now.contains_key(element))
        .map(|(_, at)| Step::Gone(at));
    let was: Vec<Option<usize>> = new.iter().map(|e| places.get(e).copied()).collect();
    let common: Vec<usize> = was.iter().flatten().copied().collect();
    let mut still = longest_rising(&common).into_iter().peekable();
    let rest = was.iter().zip(0..).map(|(from, to)| match *from {
        None => Step::Come(to),
        Some(from) if still.next_if_eq(&from).is_some() => Step::Stayed { from, to },
        Some(from) => Step::Moved { from, to },
    });
    gone.chain(rest).collect()
}

/// The longest rising subsequence, by patience sorting (Fredman, *On computing the
/// length of longest increasing subsequences*, 1975): `n log n` steps.
fn longest_rising(numbers: &[usize]) -> Vec<usize> {
    /// No number before this one.
    const NONE: usize = usize::MAX;
    let at = |index: usize| numbers.get(index).copied().unwrap_or(NONE);
    // The index of the least number that ends a rising subsequence of each length.
    let mut ends: Vec<usize> = Vec::new();
    let mut before: Vec<usize> = Vec::with_capacity(numbers.len());
    for (index, &number) in numbers.iter().enumerate() {
        let length = ends.partition_point(|end| at(*end) < number);
        let previous = length.checked_sub(1).and_then(|last| ends.get(last));
        before.push(previous.copied().unwrap_or(NONE));
        match ends.get_mut(length) {
            Some(end) => *end = index,
            None => ends.push(index),
        }
    }
    let mut rising = Vec::with_capacity(ends.len());
    let mut index = ends.last().copied().unwrap_or(NONE);
    while index != NONE {
        rising.push(at(index));
        index = before.get(index).copied().unwrap_or(NONE);
    }
    rising.reverse();
    rising
}
