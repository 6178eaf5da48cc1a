//! How a mode is written.

use std::fmt;
use std::str::FromStr;

use super::Mode;
use crate::unit::{Invalid, shown, text_value};

// `off` is a boolean to tools that write YAML 1.1.
text_value!(Mode, "`block`, `detect` or `off`", {
    "title": "mode",
    "description": "What happens to a request that a rule matches.",
    "anyOf": [
        { "enum": ["block", "detect", "off"] },
        { "const": false }
    ],
    "examples": ["block", "detect", "off"]
});

impl Mode {
    /// Its name in the file, in logs and in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Block => "block",
            Self::Detect => "detect",
            Self::Off => "off",
        }
    }
}

impl FromStr for Mode {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        match text {
            "block" => Ok(Self::Block),
            "detect" => Ok(Self::Detect),
            "off" | "false" => Ok(Self::Off),
            _ => Err(Invalid::new(format!(
                "{} is not a mode: write `block`, `detect` or `off`",
                shown(text)
            ))),
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
