//! Settings that are a word or a value.
//!
//! The words `on` and `off` are booleans to tools that write YAML 1.1, which pass them
//! on as `true` and `false`: both spellings are read.

use std::fmt;
use std::num::NonZeroU16;
use std::str::FromStr;

use serde::{Serialize, Serializer};

use super::{Access, Admin, Workers};
use crate::field;
use crate::unit::{Invalid, shown, text_input, text_value};

text_value!(Admin, "an IP address and port, or `off`", {
    "title": "admin address",
    "description": "The admin listener's address, or `off`.",
    "anyOf": [
        { "type": "string", "pattern": r"^(off|([0-9.]+|\[[0-9A-Fa-f:.]+\]):[0-9]{1,5})$" },
        { "const": false }
    ],
    "examples": ["127.0.0.1:9901", "off"]
});

impl FromStr for Admin {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        if matches!(text, "off" | "false") {
            return Ok(Self::Off);
        }
        let address = field::parse_socket_address(text);
        address
            .map(Self::On)
            .map_err(|why| Invalid::new(format!("{why}, or `off`")))
    }
}

impl fmt::Display for Admin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off => f.write_str("off"),
            Self::On(address) => address.fmt(f),
        }
    }
}

impl Workers {
    const MAX: u16 = 1024;
}

/// A count is written as a number, as the schema has it.
impl Serialize for Workers {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Auto => serializer.serialize_str("auto"),
            Self::Count(count) => serializer.serialize_u16(count.get()),
        }
    }
}

text_input!(Workers, "`auto` or a number of workers", {
    "title": "workers",
    "description": "Number of worker threads, or `auto`: one per processor that the process may use.",
    "anyOf": [
        { "const": "auto" },
        { "type": "integer", "minimum": 1, "maximum": 1024 }
    ],
    "examples": ["auto", 4]
});

impl FromStr for Workers {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        if text == "auto" {
            return Ok(Self::Auto);
        }
        match text.parse::<NonZeroU16>() {
            Ok(count) if count.get() <= Self::MAX => Ok(Self::Count(count)),
            _ => Err(Invalid::new(format!(
                "{} is not a number of workers: write `auto`, or 1 to 1024",
                shown(text)
            ))),
        }
    }
}

impl fmt::Display for Workers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Count(count) => count.fmt(f),
        }
    }
}

text_value!(Access, "`on` or `off`", {
    "title": "access log",
    "description": "Whether finished requests are logged: one line for each, or none.",
    "enum": ["on", "off", true, false]
});

impl FromStr for Access {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        match text {
            "on" | "true" => Ok(Self::On),
            "off" | "false" => Ok(Self::Off),
            _ => Err(Invalid::new(format!(
                "{} is neither `on` nor `off`",
                shown(text)
            ))),
        }
    }
}

impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::On => "on",
            Self::Off => "off",
        })
    }
}
