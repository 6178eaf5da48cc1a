//! Text that is not YAML.

use granit_parser::{ErrorKind as Kind, ScanError};

use super::{DEPTH_MAX, Fatal, mark};

/// What the parser says of text that is not YAML, in the operator's terms where its
/// own are those of the grammar.
pub(super) fn syntax(error: &ScanError) -> Fatal {
    let hint = match error.kind() {
        Kind::TabNotAllowed
        | Kind::TabInBlockIndentation
        | Kind::TabInIndentation
        | Kind::TabInPlainScalar => Some("indent with spaces: YAML does not take tabs there"),
        Kind::MappingValueNotAllowed | Kind::InvalidMappingValueWhitespace => {
            Some("quote a value that holds `: `, and check the indentation")
        }
        Kind::ExpectedBlockMappingKey | Kind::InvalidIndentation | Kind::SimpleKeyExpected => {
            Some("check the indentation, and that each key ends in `:` and a space")
        }
        Kind::UnexpectedCharacter { .. } => {
            Some("quote a value that begins with a special character")
        }
        Kind::UnclosedQuotedScalar => Some("close the quote"),
        _ => None,
    };
    let message = match error.kind() {
        Kind::RecursionLimitExceeded => {
            format!("nested too deep: at most {DEPTH_MAX} levels are read")
        }
        _ => format!("not valid YAML: {}", error.info()),
    };
    (mark(error.marker()), message, hint.map(str::to_owned))
}
