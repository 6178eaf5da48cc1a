//! What a plugin remembers about one exchange between its roles.

use std::any::Any;
use std::fmt;
use std::marker::PhantomData;

/// A place in every exchange of one chain for a value of type `T`.
///
/// A plugin that needs one claims it when the chain is built
/// ([`ChainBuilder::slot`](crate::chain::ChainBuilder::slot)) and keeps it. Two
/// instances of the same plugin in one chain hold two slots, so they cannot read
/// each other's state.
pub struct Slot<T> {
    index: usize,
    holds: PhantomData<fn() -> T>,
}

impl<T> Slot<T> {
    pub(crate) fn new(index: usize) -> Self {
        Self {
            index,
            holds: PhantomData,
        }
    }
}

impl<T> Clone for Slot<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Slot<T> {}

impl<T> fmt::Debug for Slot<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Slot({})", self.index)
    }
}

/// The values in the slots of one exchange. Owns no memory until a value is put in.
#[derive(Default)]
pub(crate) struct Slots(Vec<Option<Box<dyn Any + Send + Sync>>>);

impl Slots {
    pub(crate) fn put<T: Send + Sync + 'static>(&mut self, slot: Slot<T>, value: T) {
        if self.0.len() <= slot.index {
            self.0.resize_with(slot.index + 1, || None);
        }
        if let Some(place) = self.0.get_mut(slot.index) {
            *place = Some(Box::new(value));
        }
    }

    pub(crate) fn peek<T: 'static>(&self, slot: Slot<T>) -> Option<&T> {
        self.0.get(slot.index)?.as_ref()?.downcast_ref()
    }

    pub(crate) fn peek_mut<T: 'static>(&mut self, slot: Slot<T>) -> Option<&mut T> {
        self.0.get_mut(slot.index)?.as_mut()?.downcast_mut()
    }

    pub(crate) fn take<T: 'static>(&mut self, slot: Slot<T>) -> Option<T> {
        let place = self.0.get_mut(slot.index)?;
        place.as_ref()?.downcast_ref::<T>()?;
        let value = place.take()?.downcast().ok()?;
        Some(*value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_gives_back_what_was_put_in_it() {
        let (count, text) = (Slot::<u32>::new(0), Slot::<String>::new(5));
        let mut slots = Slots::default();
        assert_eq!(slots.take(text), None, "nothing was put in yet");
        slots.put(text, "reserved".to_owned());
        slots.put(count, 1);
        if let Some(count) = slots.peek_mut(count) {
            *count += 1;
        }
        assert_eq!(slots.peek(count), Some(&2));
        assert_eq!(slots.take(text).as_deref(), Some("reserved"));
        assert_eq!(slots.take(text), None, "taking empties the slot");
    }

    #[test]
    fn a_slot_of_another_chain_reads_as_empty() {
        let mut slots = Slots::default();
        slots.put(Slot::<u32>::new(0), 7);
        let foreign = Slot::<String>::new(0);
        assert_eq!(slots.take(foreign), None);
        assert_eq!(
            slots.peek(Slot::<u32>::new(0)),
            Some(&7),
            "a wrong type must not destroy the value"
        );
    }
}
