//! What a list, a mapping and a choice hand to the types, part by part.

use serde::de::value::StrDeserializer;
use serde::de::{
    DeserializeSeed, Deserializer, EnumAccess, MapAccess, SeqAccess, VariantAccess, Visitor,
};

use crate::located::error::Error;
use crate::located::tree::{Key, Node};
use crate::unit::shown;

/// The elements of a sequence.
pub(super) struct Items<'t>(pub(super) std::slice::Iter<'t, Node<'t>>);

impl<'de, 't> SeqAccess<'de> for Items<'t> {
    type Error = Error<'t>;

    fn next_element_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, Self::Error> {
        match self.0.find(|node| !node.is_dropped()) {
            Some(node) => seed
                .deserialize(node)
                .map(Some)
                .map_err(|error| error.at(node)),
            None => Ok(None),
        }
    }

    /// Those too that were dropped, which a file that is taken has none of. Without it a
    /// list of routes is moved at each doubling of its room.
    fn size_hint(&self) -> Option<usize> {
        Some(self.0.len())
    }
}

/// The entries of a mapping.
pub(super) struct Entries<'t> {
    pub(super) rest: std::slice::Iter<'t, (Key<'t>, Node<'t>)>,
    /// The value of the key that was given last.
    pub(super) value: Option<&'t Node<'t>>,
}

impl<'de, 't> MapAccess<'de> for Entries<'t> {
    type Error = Error<'t>;

    fn next_key_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, Self::Error> {
        let Some((key, node)) = self.rest.find(|(_, node)| !node.is_dropped()) else {
            return Ok(None);
        };
        self.value = Some(node);
        let text = StrDeserializer::<Error<'t>>::new(&key.text);
        seed.deserialize(text)
            .map(Some)
            .map_err(|error| error.at_key(key.mark, node))
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<S::Value, Self::Error> {
        let Some(node) = self.value.take() else {
            return Err(serde::de::Error::custom(
                "a value was asked for before its key",
            ));
        };
        seed.deserialize(node).map_err(|error| error.at(node))
    }
}

/// One of several choices: a word, or a mapping with the choice as its only key.
pub(super) struct Choice<'t> {
    pub(super) node: &'t Node<'t>,
    pub(super) name: &'t str,
    /// What stands under the choice's key, if it is one.
    pub(super) value: Option<&'t Node<'t>>,
}

impl<'de, 't> EnumAccess<'de> for Choice<'t> {
    type Error = Error<'t>;
    type Variant = Self;

    fn variant_seed<S: DeserializeSeed<'de>>(
        self,
        seed: S,
    ) -> Result<(S::Value, Self), Self::Error> {
        let name = StrDeserializer::<Error<'t>>::new(self.name);
        let mark = self.value.map_or(self.node.mark, |value| value.heading);
        let variant = seed
            .deserialize(name)
            .map_err(|error| error.at_key(mark, self.node))?;
        Ok((variant, self))
    }
}

impl<'t> Choice<'t> {
    fn settings(&self) -> Result<&'t Node<'t>, Error<'t>> {
        let hint = || {
            Some(format!(
                "write `{}: {{}}` for the defaults, if it has them for all",
                self.name
            ))
        };
        match self.value {
            Some(value) if value.is_null() => Err(Error::new(
                value,
                format!("{} has no value", shown(self.name)),
                hint(),
            )),
            Some(value) => Ok(value),
            None => Err(Error::new(
                self.node,
                format!("{} must be a key with a value", shown(self.name)),
                hint(),
            )),
        }
    }
}

impl<'de, 't> VariantAccess<'de> for Choice<'t> {
    type Error = Error<'t>;

    fn unit_variant(self) -> Result<(), Self::Error> {
        match self.value {
            None => Ok(()),
            Some(_) => Err(Error::new(
                self.node,
                format!("write {} alone, without a value", shown(self.name)),
                None,
            )),
        }
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(
        self,
        seed: S,
    ) -> Result<S::Value, Self::Error> {
        let value = self.settings()?;
        seed.deserialize(value).map_err(|error| error.at(value))
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Self::Error> {
        self.settings()?.deserialize_seq(visitor)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        self.settings()?.deserialize_map(visitor)
    }
}
