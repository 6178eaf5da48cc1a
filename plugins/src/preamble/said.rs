//! Whether parts of an event say anything, found without keeping any of them: what stands
//! between a token and its client is to cost as little as it can.

use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::Choice;

/// Whether any of the choices says something.
pub(super) struct Choices(pub(super) bool);

/// Whether there is more than a role.
pub(super) struct Delta(pub(super) bool);

/// Whether a text is not empty.
pub(super) struct Text(pub(super) bool);

/// Whether a value of any kind is one, and is not empty.
struct Something(bool);

/// A member's name, which is that of a role or not.
struct IsRole(bool);

impl<'de> Deserialize<'de> for Choices {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct List;
        impl<'de> Visitor<'de> for List {
            type Value = Choices;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of choices")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Choices, A::Error> {
                let mut says = false;
                while let Some(choice) = list.next_element::<Choice>()? {
                    says |= choice.says_something();
                }
                Ok(Choices(says))
            }
        }
        from.deserialize_seq(List)
    }
}

impl<'de> Deserialize<'de> for Delta {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = Delta;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Delta, A::Error> {
                let mut says = false;
                while let Some((IsRole(is_role), Something(is))) = members.next_entry()? {
                    says |= is && !is_role;
                }
                Ok(Delta(says))
            }
        }
        from.deserialize_map(Members)
    }
}

impl<'de> Deserialize<'de> for IsRole {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Name;
        impl Visitor<'_> for Name {
            type Value = IsRole;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a name")
            }

            fn visit_str<E>(self, name: &str) -> Result<IsRole, E> {
                Ok(IsRole(name == "role"))
            }
        }
        from.deserialize_str(Name)
    }
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Str;
        impl Visitor<'_> for Str {
            type Value = Text;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text")
            }

            fn visit_str<E>(self, text: &str) -> Result<Text, E> {
                Ok(Text(!text.is_empty()))
            }
        }
        from.deserialize_str(Str)
    }
}

impl<'de> Deserialize<'de> for Something {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(Any)
    }
}

struct Any;

impl<'de> Visitor<'de> for Any {
    type Value = Something;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Something, E> {
        Ok(Something(false))
    }

    fn visit_bool<E>(self, _: bool) -> Result<Something, E> {
        Ok(Something(true))
    }

    fn visit_i64<E>(self, _: i64) -> Result<Something, E> {
        Ok(Something(true))
    }

    fn visit_u64<E>(self, _: u64) -> Result<Something, E> {
        Ok(Something(true))
    }

    fn visit_f64<E>(self, _: f64) -> Result<Something, E> {
        Ok(Something(true))
    }

    fn visit_str<E>(self, text: &str) -> Result<Something, E> {
        Ok(Something(!text.is_empty()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Something, A::Error> {
        let is = list.next_element::<IgnoredAny>()?.is_some();
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Something(is))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Something, A::Error> {
        let is = members.next_entry::<IgnoredAny, IgnoredAny>()?.is_some();
        while members.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Something(is))
    }
}
