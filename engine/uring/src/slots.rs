//! A table of slots with generations: a removed slot's key never finds the next
//! occupant of its place.

use crate::key::Key;

/// The table is at its limit.
#[derive(Debug)]
pub(crate) struct Full;

pub(crate) struct Slots<T> {
    places: Vec<Place<T>>,
    free: Vec<u32>,
    max: usize,
}

struct Place<T> {
    generation: u32,
    value: Option<T>,
}

impl<T> Slots<T> {
    /// A table that holds at most `max` values.
    pub(crate) fn new(max: usize) -> Self {
        Slots {
            places: Vec::new(),
            free: Vec::new(),
            max: max.min(u32::MAX as usize),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.places.len() - self.free.len()
    }

    pub(crate) fn insert(&mut self, value: T) -> Result<Key, Full> {
        if let Some(index) = self.free.pop() {
            let place = self.places.get_mut(index as usize).ok_or(Full)?;
            place.value = Some(value);
            return Ok(Key {
                index,
                generation: place.generation,
            });
        }
        if self.places.len() >= self.max {
            return Err(Full);
        }
        let index = self.places.len() as u32;
        self.places.push(Place {
            generation: 0,
            value: Some(value),
        });
        Ok(Key {
            index,
            generation: 0,
        })
    }

    pub(crate) fn get_mut(&mut self, key: Key) -> Option<&mut T> {
        let place = self.places.get_mut(key.index as usize)?;
        if place.generation == key.generation {
            place.value.as_mut()
        } else {
            None
        }
    }

    pub(crate) fn remove(&mut self, key: Key) -> Option<T> {
        let place = self.places.get_mut(key.index as usize)?;
        if place.generation != key.generation {
            return None;
        }
        let value = place.value.take()?;
        place.generation = Key::next_generation(place.generation);
        self.free.push(key.index);
        Some(value)
    }

    pub(crate) fn keys(&self) -> Vec<Key> {
        let occupied = |(index, place): (usize, &Place<T>)| {
            place.value.as_ref().map(|_| Key {
                index: index as u32,
                generation: place.generation,
            })
        };
        self.places
            .iter()
            .enumerate()
            .filter_map(occupied)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_removed_slots_key_never_finds_the_next_occupant() {
        let mut slots = Slots::new(1);
        let first = slots.insert("first").unwrap();
        assert_eq!(slots.remove(first), Some("first"));
        let second = slots.insert("second").unwrap();
        assert_eq!(first.index, second.index, "the place is used again");
        assert_eq!(slots.get_mut(first), None);
        assert_eq!(slots.remove(first), None);
        assert_eq!(slots.get_mut(second), Some(&mut "second"));
    }

    #[test]
    fn the_limit_holds() {
        let mut slots = Slots::new(2);
        let first = slots.insert(1).unwrap();
        slots.insert(2).unwrap();
        assert!(slots.insert(3).is_err());
        assert_eq!(slots.len(), 2);
        slots.remove(first);
        assert!(slots.insert(3).is_ok());
    }
}
