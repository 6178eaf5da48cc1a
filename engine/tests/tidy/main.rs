//! The rules that the whole tree keeps and no compiler checks: which crate may know
//! which, where `unsafe` may stand, how large a file and a function may grow, that every
//! plugin has an example, and that every example is in the README.
//!
//! A failure lists every place at once, each with what to do about it.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::Value;

mod code;
mod tree;

use code::{after_word, functions, is_justified, without_comments_and_strings};
use tree::{examples, files, packages, read, relative, root, rust_files};

/// What a crate may know of the others, and what it must never know.
struct Member {
    name: &'static str,
    /// Crates of this workspace that it may depend on.
    uses: &'static [&'static str],
    /// Crates from outside, each with all whose names begin with it and a hyphen.
    knows_no: &'static [&'static str],
}

/// Parts of forbidden crates that depend on nothing of them: `pingora-limits` counts, and
/// knows no Pingora itself.
const ALONE: &[&str] = &["pingora-limits"];

/// The map of the README: `config <- plugins <- engine <- benches`, and two leaves.
const MEMBERS: &[Member] = &[
    Member {
        name: "penstock-config",
        uses: &[],
        knows_no: &["pingora", "tokio", "hyper", "socket2"],
    },
    Member {
        name: "penstock-plugins",
        uses: &["penstock-config"],
        knows_no: &["pingora", "tokio", "hyper", "socket2"],
    },
    Member {
        name: "penstock-uring",
        uses: &[],
        knows_no: &["pingora", "http", "hyper", "h2"],
    },
    Member {
        name: "penstock-simulator",
        uses: &[],
        knows_no: &["pingora", "io-uring"],
    },
    Member {
        name: "penstock",
        uses: &[
            "penstock-config",
            "penstock-plugins",
            "penstock-simulator",
            "penstock-uring",
        ],
        knows_no: &["io-uring"],
    },
    Member {
        name: "penstock-benches",
        uses: &[
            "penstock",
            "penstock-config",
            "penstock-plugins",
            "penstock-simulator",
            "penstock-uring",
        ],
        knows_no: &[],
    },
];

/// The only folder in which the language's checks may be switched off.
const FENCE: &str = "engine/uring/";

/// What the top level holds, apart from files that begin with a dot and the build's own
/// folder.
const TOP_LEVEL: &[&str] = &[
    "Cargo.toml",
    "Cargo.lock",
    "LICENSE",
    "README.md",
    "benches",
    "config",
    "engine",
    "loadtest",
    "plugins",
    "target",
];

const FILE_LINES_MAX: usize = 600;
const FUNCTION_LINES_MAX: usize = 70;

/// Marks of work left undone. Spelt in halves, so that this file has none.
const UNDONE: &[&str] = &[
    concat!("TO", "DO"),
    concat!("FIX", "ME"),
    concat!("XX", "X"),
    concat!("to", "do!"),
    concat!("unimple", "mented!"),
];

#[test]
fn arrows_point_one_way() {
    let mut wrong = Vec::new();
    for package in packages() {
        let name = package["name"].as_str().unwrap();
        let Some(member) = MEMBERS.iter().find(|member| member.name == name) else {
            wrong.push(format!(
                "{name}: a new crate; say in MEMBERS and in the README's map what it must not know"
            ));
            continue;
        };
        for dependency in package["dependencies"].as_array().unwrap() {
            let used = dependency["name"].as_str().unwrap();
            if !dependency["path"].is_null() && !member.uses.contains(&used) {
                wrong.push(format!(
                    "{name} depends on {used}, against the arrows: move what it needs to where both may see it"
                ));
            }
            let forbidden = member.knows_no.iter().any(|root| belongs_to(used, root));
            if forbidden && !ALONE.contains(&used) {
                wrong.push(format!(
                    "{name} depends on {used}, which it must not know: do that work in a crate that may"
                ));
            }
        }
    }
    none(&wrong);
}

#[test]
fn every_crate_but_one_forbids_unsafe() {
    let mut wrong = Vec::new();
    for package in packages() {
        for target in package["targets"].as_array().unwrap() {
            let kinds = target["kind"].as_array().unwrap();
            let root = Path::new(target["src_path"].as_str().unwrap());
            let name = relative(root);
            let shipped = kinds.iter().any(|kind| kind == "lib" || kind == "bin");
            if shipped
                && !name.starts_with(FENCE)
                && !read(root).contains("#![forbid(unsafe_code)]")
            {
                wrong.push(format!("{name}: add #![forbid(unsafe_code)] to the crate"));
            }
        }
    }
    none(&wrong);
}

#[test]
fn unsafe_stays_behind_its_fence_and_says_why() {
    let mut wrong = Vec::new();
    for (name, text) in rust_files() {
        let code = without_comments_and_strings(&text);
        let (lines, code): (Vec<_>, Vec<_>) = (text.lines().collect(), code.lines().collect());
        for (index, line) in code.iter().enumerate() {
            let Some(behind) = after_word(line, "unsafe") else {
                continue;
            };
            let at = index + 1;
            if !name.starts_with(FENCE) {
                wrong.push(format!(
                    "{name}:{at}: unsafe outside {FENCE}: write it safely, or move it there"
                ));
            }
            let opens = ["{", "impl", "fn"]
                .iter()
                .any(|word| behind.starts_with(word));
            if opens && name.contains("/src/") && !is_justified(&lines, &code, index) {
                wrong.push(format!(
                    "{name}:{at}: unsafe without a reason: write a comment with `SAFETY:` above it"
                ));
            }
        }
    }
    none(&wrong);
}

#[test]
fn files_and_functions_stay_small() {
    let mut wrong = Vec::new();
    for (name, text) in rust_files() {
        let lines = text.lines().count();
        if lines > FILE_LINES_MAX {
            wrong.push(format!(
                "{name}: {lines} lines, at most {FILE_LINES_MAX}: split it by what its parts are for"
            ));
        }
        if !name.contains("/src/") {
            continue;
        }
        for (at, length) in functions(&text) {
            if length > FUNCTION_LINES_MAX {
                wrong.push(format!(
                    "{name}:{at}: a function of {length} lines, at most {FUNCTION_LINES_MAX}: split it"
                ));
            }
        }
    }
    none(&wrong);
}

#[test]
fn every_file_says_what_it_is_for() {
    let mut wrong = Vec::new();
    for (name, text) in rust_files() {
        if name.contains("/src/") && !text.starts_with("//!") {
            wrong.push(format!("{name}: open it with `//!` and what it is for"));
        }
        if name.ends_with("/mod.rs") {
            wrong.push(format!(
                "{name}: name it after its folder, beside the folder"
            ));
        }
    }
    none(&wrong);
}

#[test]
fn every_plugin_has_an_example() {
    let schema: Value = serde_json::from_str(&read(&root().join("config/schema.json"))).unwrap();
    let variants = schema["$defs"]["Plugin"]["oneOf"].as_array().unwrap();
    let mut used = BTreeSet::new();
    for example in examples() {
        let name = relative(&example);
        let config = penstock_config::parse(&read(&example))
            .unwrap_or_else(|report| panic!("{name} does not parse: {report:?}"));
        let route_chains = config.routes.iter().flat_map(|route| &route.chain);
        for plugin in config.chain.iter().chain(route_chains) {
            let written = serde_json::to_value(plugin).unwrap();
            used.extend(written.as_object().unwrap().keys().cloned());
        }
    }
    let mut wrong = Vec::new();
    for variant in variants {
        let plugin = variant["required"][0].as_str().unwrap();
        if !used.contains(plugin) {
            wrong.push(format!(
                "plugin {plugin}: add an example to config/examples that uses it"
            ));
        }
    }
    assert!(
        !variants.is_empty(),
        "config/schema.json lists no plugins: is this test out of date?"
    );
    none(&wrong);
}

#[test]
fn every_example_is_in_the_readme_and_every_link_leads_somewhere() {
    let readme = read(&root().join("README.md"));
    let mut wrong = Vec::new();
    for example in examples() {
        let link = format!("({})", relative(&example));
        let mut rows = readme.lines().filter(|line| line.starts_with('|'));
        if !rows.any(|row| row.contains(&link)) {
            wrong.push(format!(
                "README.md: link {link} in the table of what Penstock does"
            ));
        }
    }
    for link in readme
        .split("](")
        .skip(1)
        .filter_map(|rest| rest.split_once(')'))
    {
        let local = !link.0.contains("://") && !link.0.starts_with('#');
        if local && !root().join(link.0).exists() {
            wrong.push(format!("README.md: there is no {}: mend the link", link.0));
        }
    }
    none(&wrong);
}

#[test]
fn the_top_level_holds_nothing_else() {
    let mut wrong = Vec::new();
    for entry in fs::read_dir(root()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if !name.starts_with('.') && !TOP_LEVEL.contains(&name.as_str()) {
            wrong.push(format!(
                "{name}: move it into one of {}",
                TOP_LEVEL.join(", ")
            ));
        }
    }
    none(&wrong);
}

#[test]
fn nothing_is_left_undone() {
    let mut wrong = Vec::new();
    for path in files(&["rs", "toml", "md", "yaml", "js", "py", "sh"]) {
        for (index, line) in read(&path).lines().enumerate() {
            if let Some(mark) = UNDONE.iter().find(|mark| line.contains(**mark)) {
                let (name, at) = (relative(&path), index + 1);
                wrong.push(format!("{name}:{at}: {mark}: do it now, or leave it out"));
            }
        }
    }
    none(&wrong);
}

/// Fails with every place where a rule is broken.
fn none(wrong: &[String]) {
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}

/// Whether a crate is `root` or one of its parts, as `pingora-core` is of `pingora`.
fn belongs_to(name: &str, root: &str) -> bool {
    let rest = name.strip_prefix(root);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
}
