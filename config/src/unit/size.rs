//! Amounts of memory.

use std::fmt;
use std::str::FromStr;

use super::{Invalid, shown, text_value};

/// Units, greatest first: the order in which a size looks for the unit that shows it
/// as a whole number.
const UNITS: [(&str, u64); 7] = [
    ("GiB", 1 << 30),
    ("GB", 1_000_000_000),
    ("MiB", 1 << 20),
    ("MB", 1_000_000),
    ("KiB", 1 << 10),
    ("KB", 1_000),
    ("B", 1),
];
/// Greatest size. Above it lies no buffer that a proxy should hold.
const MAX_BYTES: u64 = 1 << 40;

/// An amount of memory with its unit, as in `512B`, `64KiB` or `16MiB`: from `1B` to
/// `1024GiB`. `KiB`, `MiB` and `GiB` are powers of 1024, `KB`, `MB` and `GB` of 1000
/// (IEC 80000-13).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Size {
    bytes: u64,
}

text_value!(Size, "a size such as `64KiB`", {
    "type": "string",
    "title": "size",
    "description": "An amount of memory: a whole number with its unit (B, KiB, MiB, GiB, KB, MB or GB).",
    "pattern": r"^[0-9]+([KMG]i?)?B$",
    "examples": ["512B", "64KiB", "16MiB", "1GiB"]
});

impl Size {
    /// The size in bytes.
    pub const fn bytes(self) -> u64 {
        self.bytes
    }

    /// For defaults, which are constants of this crate.
    pub(crate) const fn kib(kib: u64) -> Self {
        assert!(0 < kib && kib <= MAX_BYTES >> 10);
        Self { bytes: kib << 10 }
    }
}

impl TryFrom<u64> for Size {
    type Error = Invalid;

    /// A size of so many bytes.
    fn try_from(bytes: u64) -> Result<Self, Invalid> {
        match bytes {
            0 => Err(Invalid::new("a size must be at least `1B`")),
            1..=MAX_BYTES => Ok(Self { bytes }),
            _ => Err(Invalid::new("a size must be at most `1024GiB`")),
        }
    }
}

impl FromStr for Size {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let refuse = |why: &str| Invalid::new(format!("{} {why}", shown(text)));
        let digits = text.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = text.split_at(digits);
        if number.is_empty() {
            return Err(refuse(
                "is not a size: write a whole number and its unit, as in `64KiB`",
            ));
        }
        if unit.is_empty() {
            return Err(refuse(&format!(
                "has no unit: write the unit, as in {}",
                shown(&format!("{number}KiB"))
            )));
        }
        if unit.starts_with('.') {
            return Err(refuse(
                "is not a whole number: write it in a smaller unit, as in `1536KiB`",
            ));
        }
        let Some((_, unit_bytes)) = UNITS.iter().find(|(name, _)| *name == unit) else {
            return Err(refuse(
                "is not a size: its unit must be `B`, `KiB`, `MiB`, `GiB`, `KB`, `MB` or `GB`",
            ));
        };
        // What is all digits fails to parse only when it is too long for the type.
        let bytes = number
            .parse::<u64>()
            .ok()
            .and_then(|n| n.checked_mul(*unit_bytes));
        Self::try_from(bytes.unwrap_or(u64::MAX))
            .map_err(|why| refuse(&format!("is out of range: {why}")))
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole = UNITS
            .iter()
            .find(|(_, unit_bytes)| self.bytes.is_multiple_of(*unit_bytes));
        let (unit, unit_bytes) = whole.unwrap_or(&("B", 1));
        write!(f, "{}{unit}", self.bytes / unit_bytes)
    }
}
