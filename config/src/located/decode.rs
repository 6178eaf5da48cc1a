//! Driving the types' own `Deserialize` with a tree.

mod access;

use serde::de::{DeserializeOwned, Deserializer, Expected, Visitor};
use serde::forward_to_deserialize_any;

use access::{Choice, Entries, Items};

use super::error::{Error, list};
use super::found::{Found, looks_like_a_key};
use super::tree::{Content, Key, Node};
use crate::keys::{Listed, Sourced};
use crate::unit::{Secret, shown};

/// Decodes a node, notes every mistake in it and drops the nodes at fault. Gives what
/// is left, if that is a whole value.
///
/// Each round drops a node, so there are no more rounds than nodes.
pub(super) fn decode<T: DeserializeOwned>(node: &Node<'_>, found: &mut Found) -> Option<T> {
    while !node.is_dropped() && !found.is_full() {
        match T::deserialize(node) {
            Ok(value) => return Some(value),
            Err(error) => error.settle(node, found),
        }
    }
    None
}

/// The value of a node without a mistake in it.
pub(super) fn whole<T: DeserializeOwned>(node: &Node<'_>) -> Option<T> {
    T::deserialize(node).ok()
}

/// A refusal of a node that is not what the type wants: of another shape, or absent.
fn unexpected<'t>(node: &'t Node<'t>, expected: &dyn Expected) -> Error<'t> {
    if node.is_null() {
        let hint = format!("write {expected}, or remove the key");
        return Error::new(node, "the value is missing", Some(hint));
    }
    let what = match &node.content {
        Content::Scalar { text, .. } if looks_like_a_key(text) => {
            let message = format!("expected {expected}, not what may be an API key");
            return Error::new(node, message, None).in_secret(node);
        }
        Content::Scalar { text, .. } => shown(text),
        Content::Sequence(_) => "a list".to_owned(),
        Content::Mapping(_) => "a mapping".to_owned(),
    };
    Error::new(node, format!("expected {expected}, not {what}"), None)
}

impl Node<'_> {
    /// The text of a scalar that has a value.
    fn scalar(&self, expected: &dyn Expected) -> Result<&str, Error<'_>> {
        match &self.content {
            Content::Scalar { text, .. } if !self.is_null() => Ok(text),
            _ => Err(unexpected(self, expected)),
        }
    }

    /// The text of a scalar that stands without quotes, as numbers and booleans do.
    fn plain(&self, expected: &dyn Expected) -> Result<&str, Error<'_>> {
        match &self.content {
            Content::Scalar { plain: false, text } => {
                let message = format!("expected {expected}, not the text {}", shown(text));
                Err(Error::new(
                    self,
                    message,
                    Some("remove the quotes".to_owned()),
                ))
            }
            _ => self.scalar(expected),
        }
    }
}

impl<'de, 't> Deserializer<'de> for &'t Node<'t> {
    type Error = Error<'t>;

    /// Scalars are given as their text: which of YAML's types a bare word has is for
    /// the type that reads it to say, so that `off` and `1.10` stay what they are.
    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        match &self.content {
            Content::Scalar { .. } => self.deserialize_str(visitor),
            Content::Sequence(_) => self.deserialize_seq(visitor),
            Content::Mapping(_) => self.deserialize_map(visitor),
        }
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        let text = self.scalar(&visitor)?;
        visitor
            .visit_str(text)
            .map_err(|error: Error<'t>| error.at(self))
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        match self.plain(&"`true` or `false`")? {
            "true" => visitor.visit_bool(true),
            "false" => visitor.visit_bool(false),
            _ => Err(unexpected(self, &"`true` or `false`")),
        }
    }

    fn deserialize_u64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        let text = self.plain(&visitor)?;
        // A sign is read only where it says something.
        let result = match (text.parse::<u64>(), text.parse::<i64>()) {
            (Ok(number), _) if !text.starts_with('+') => visitor.visit_u64(number),
            (_, Ok(number)) if text.starts_with('-') => visitor.visit_i64(number),
            _ => return Err(unexpected(self, &visitor)),
        };
        result.map_err(|error: Error<'t>| error.at(self))
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        match self.plain(&visitor)?.parse::<f64>() {
            Ok(number) if number.is_finite() => visitor
                .visit_f64(number)
                .map_err(|error: Error<'t>| error.at(self)),
            _ => Err(unexpected(self, &visitor)),
        }
    }

    /// An absent key is how to say nothing; a key without a value is a mistake, which
    /// the reader of the value reports.
    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        let expected = match name {
            Listed::MARK => Some("expected a key as a mapping of `hash`, `consumer` and so on"),
            Sourced::MARK => Some("expected a mapping of `file` or `inline`"),
            _ => None,
        };
        if let Some(message) = expected.filter(|_| !matches!(self.content, Content::Mapping(_))) {
            return Err(Error::new(self, message, None).in_secret(self));
        }
        let result = visitor.visit_newtype_struct(self);
        match name {
            Secret::MARK => result.map_err(|error| error.at(self).in_secret(self)),
            Listed::MARK => result.map_err(|error| error.at(self).in_key(self)),
            Sourced::MARK => result.map_err(|error| error.at(self).in_key_source(self)),
            _ => result,
        }
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        match &self.content {
            Content::Sequence(items) => visitor
                .visit_seq(Items(items.iter()))
                .map_err(|error: Error<'t>| error.at(self)),
            _ => Err(unexpected(self, &"a list, each element after a `- `")),
        }
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        match &self.content {
            Content::Mapping(entries) => visitor
                .visit_map(Entries {
                    rest: entries.iter(),
                    value: None,
                })
                .map_err(|error: Error<'t>| error.at(self)),
            _ => Err(unexpected(self, &"a mapping, as in `key: value`")),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        self.deserialize_map(visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Self::Error> {
        let choice = match &self.content {
            Content::Mapping(entries) => match entries.as_slice() {
                [(key, value)] if !value.is_dropped() => Choice {
                    node: self,
                    name: &key.text,
                    value: Some(value),
                },
                entries => return Err(not_one(self, entries, variants)),
            },
            _ => {
                let name = self.scalar(&list(variants, "or").as_str())?;
                if !variants.contains(&name) && describes_itself(&visitor) {
                    return Err(unexpected(self, &visitor));
                }
                Choice {
                    node: self,
                    name,
                    value: None,
                }
            }
        };
        visitor
            .visit_enum(choice)
            .map_err(|error: Error<'t>| error.at(self))
    }

    forward_to_deserialize_any! { char string bytes byte_buf unit unit_struct tuple tuple_struct identifier ignored_any }

    fn deserialize_u8<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        self.deserialize_u64(visitor)
    }

    fn deserialize_u16<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        self.deserialize_u64(visitor)
    }

    fn deserialize_u32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        self.deserialize_u64(visitor)
    }

    fn deserialize_i8<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        self.deserialize_u64(visitor)
    }

    fn deserialize_i16<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        self.deserialize_u64(visitor)
    }

    fn deserialize_i32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        self.deserialize_u64(visitor)
    }

    fn deserialize_i64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        self.deserialize_u64(visitor)
    }

    fn deserialize_f32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Self::Error> {
        self.deserialize_f64(visitor)
    }
}

/// Whether a type says in its own words what it expects, as one does whose choices are
/// no mere words. Serde's are `enum` and the type's name.
fn describes_itself(expected: &dyn Expected) -> bool {
    !expected.to_string().starts_with("enum ")
}

/// A mapping that should have named one choice.
fn not_one<'t>(
    node: &'t Node<'t>,
    entries: &[(Key<'t>, Node<'t>)],
    variants: &[&str],
) -> Error<'t> {
    let hint = match entries {
        [(key, value), _, ..] if value.is_null() => Some(format!(
            "what belongs to {} must be indented further than it",
            shown(&key.text)
        )),
        _ => None,
    };
    let wanted = match variants {
        [only] => format!("exactly one key, `{only}`,"),
        variants => format!("exactly one of the keys {}", list(variants, "and")),
    };
    Error::new(
        node,
        format!("{wanted} must stand here, not {}", entries.len()),
        hint,
    )
}
