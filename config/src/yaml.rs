//! Writing a configuration back.

use crate::Config;

/// The configuration as YAML, with every default filled in: what an admin page shows.
///
/// It reads back as an equal [`Config`]. Nothing secret is in it, because a
/// configuration holds references to secrets only.
pub fn to_yaml(config: &Config) -> String {
    serde_saphyr::to_string(config)
        // The types serialize to strings, numbers, lists and mappings with string
        // keys, all of which YAML has, and a `String` takes what is written to it. A
        // path that is not UTF-8 can only come from a `Config` not made by `parse`.
        .unwrap_or_else(|error| format!("# cannot be shown as YAML: {error}\n"))
}
