//! The numbers of the rules. They never change their meaning; new ones are added.

use std::fmt;
use std::str::FromStr;

use super::Rules;
use crate::unit::{Invalid, shown, text_value};

/// A rule by its number, as in `PEN-100301`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RuleId(u32);

text_value!(RuleId, "a rule such as `PEN-100301`", {
    "type": "string",
    "title": "rule",
    "description": "A rule by its number.",
    "pattern": r"^PEN-[0-9]{6}$",
    "examples": ["PEN-100301"]
});

/// Every rule, in the order of the numbers, and what it is about.
const RULES: &[(u32, &str)] = &[
    (100_101, "path traversal in the path"),
    (100_102, "path traversal in a parameter or a header"),
    (100_103, "path traversal in a field of the body"),
    (100_104, "path traversal in the name of an uploaded file"),
    (100_105, "a file of the system"),
    (100_106, "a stream wrapper of PHP"),
    (100_201, "a scanner by its user-agent"),
    (100_202, "a hidden file"),
    (100_203, "a program that is often attacked"),
    (100_204, "a server-side script"),
    (100_205, "a backup, a dump or a file of secrets"),
    (100_301, "SQL injection: a condition after a quote"),
    (100_302, "SQL injection: a condition that always holds"),
    (100_303, "SQL injection: UNION SELECT"),
    (100_304, "SQL injection: a second statement"),
    (100_305, "SQL injection: a function that waits"),
    (
        100_306,
        "SQL injection: a database's own tables or functions",
    ),
    (100_307, "SQL injection: a comment after a quote"),
    (100_308, "SQL injection: a query within another"),
    (100_309, "SQL injection: an expression after a quote"),
    (100_310, "SQL injection: ORDER BY or HAVING"),
    (100_311, "SQL injection: a conversion or a procedure"),
    (100_312, "SQL injection: ORDER BY and a comment"),
    (100_390, "SQL in an ordinary field (noted, never refused)"),
    (100_401, "command injection: a command after a separator"),
    (
        100_402,
        "command injection: a short command after a separator",
    ),
    (100_403, "command injection: a shell of one's own"),
    (100_404, "command injection: Shellshock"),
    (100_405, "command injection: a download that is run"),
    (100_406, "code injection"),
    (100_407, "server-side or edge-side include"),
    (100_501, "cross-site scripting: a script element"),
    (
        100_502,
        "cross-site scripting: an event handler in an element",
    ),
    (
        100_503,
        "cross-site scripting: an event handler after a quote",
    ),
    (100_504, "cross-site scripting: an address that is a script"),
    (100_505, "cross-site scripting: an address that is a page"),
    (
        100_506,
        "cross-site scripting: an element that loads something",
    ),
    (100_507, "cross-site scripting: a browser's functions"),
    (100_601, "a lookup of Log4j"),
    (100_602, "template injection: a calculation"),
    (100_603, "template injection: inside Python, Jinja or Node"),
    (100_604, "expression injection: OGNL, Spring, Java"),
    (100_701, "server-side request: a cloud's metadata"),
    (100_702, "server-side request: a scheme that is not HTTP"),
    (100_703, "server-side request: the server itself"),
    (100_704, "server-side request: a name inside a cluster"),
    (100_801, "a line break and a header"),
    (100_802, "a control character in the path"),
    (100_803, "a null byte in a parameter"),
    (100_804, "a method for debugging or tunnels"),
    (100_805, "a host that is none"),
    (100_806, "an unusual character set"),
    (100_807, "a header of scanners or of httpoxy"),
    (100_808, "a header that names another path or method"),
    (100_809, "a body that is not the JSON that it should be"),
    (100_810, "a compressed body"),
    (100_901, "prototype pollution"),
    (100_902, "an operator of a document database as a name"),
    (100_903, "an operator of a document database in a value"),
    (100_904, "LDAP injection"),
    (100_905, "an entity or an inclusion of XML"),
    (100_906, "a serialised object"),
    (100_907, "XPath injection"),
    (109_001, "`max_tokens` above its bound"),
    (109_002, "`n` above its bound"),
    (109_003, "more messages than allowed"),
    (109_004, "more tools than allowed"),
    (109_005, "a body nested deeper than allowed"),
    (109_006, "a body larger than allowed for its type"),
    (109_011, "an address that is denied"),
    (109_012, "an address that is not allowed"),
    (109_013, "a user-agent that is denied"),
];

impl RuleId {
    /// What each number begins with in the file, in logs and in metrics.
    pub const PREFIX: &'static str = "PEN-";

    /// The rule of this number; none if there is none.
    pub fn find(number: u32) -> Option<Self> {
        let place = RULES.binary_search_by_key(&number, |(rule, _)| *rule);
        place.is_ok().then_some(Self(number))
    }

    /// Every rule, in the order of the numbers.
    pub fn all() -> impl Iterator<Item = Self> {
        RULES.iter().map(|(number, _)| Self(*number))
    }

    /// Its number.
    pub const fn number(self) -> u32 {
        self.0
    }

    /// What it is about, for a log line.
    pub fn title(self) -> &'static str {
        let rule = RULES.iter().find(|(number, _)| *number == self.0);
        rule.map_or("", |(_, title)| title)
    }
}

impl Rules {
    /// Whether a rule is not to be looked at.
    pub fn is_off(&self, number: u32) -> bool {
        self.off.iter().any(|rule| rule.0 == number)
    }
}

impl FromStr for RuleId {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let refuse = |why: &str| Invalid::new(format!("{} is not a rule: {why}", shown(text)));
        let digits = text.strip_prefix(Self::PREFIX);
        let digits = digits.filter(|digits| digits.len() == 6);
        let number: Option<u32> = digits.and_then(|digits| digits.parse().ok());
        let number = number.ok_or_else(|| refuse("write its number as in `PEN-100301`"))?;
        Self::find(number).ok_or_else(|| refuse("there is none of this number"))
    }
}

impl fmt::Display for RuleId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{:06}", Self::PREFIX, self.0)
    }
}
