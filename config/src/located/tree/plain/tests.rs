//! What the short way reads, and that it reads nothing otherwise than the full one.

use super::super::build;
use super::*;
use crate::located::found::Found;

const CONFIGURATION: &str = r#"# What a request goes through.
server:
  listen:
  - address: "127.0.0.1:8080"   # plain
  - { address: '127.0.0.1:8443', tls: { certificate: /etc/c.pem, private_key: { file: "k#e y" } } }
  log: { format: json, access: off }

upstreams:
  even: { endpoints: ["127.0.0.1:1", 127.0.0.1:2 , []] }
  odd:
    endpoints:
      - address: http://[::1]:9/v1#x
        weight: 2
      # Nothing here.
      - +a b c  # d

    timeouts: {}
routes:
  - name: all
    match: { path: { prefix: /v1 }, models: ["*"] }
    split: [{ upstream: odd, model: g1 }]
"#;

const KEYS: &str = r#"- { hash: "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08", consumer: c-1 }
- hash: sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a09
  consumer: c-2
  roles: [a, b]
  expires: 2030-01-01T00:00:00Z
"#;

fn full(text: &str) -> Option<String> {
    let mut found = Found::default();
    match build::build(text, &mut found) {
        Ok(Some(root)) if found.is_empty() => Some(format!("{root:#?}")),
        _ => None,
    }
}

/// Whether the short way was taken; if so, the full reader must have made the same.
fn is_read_alike(text: &str) -> bool {
    let Some(root) = read(text) else { return false };
    let read = format!("{root:#?}");
    let full = full(text).unwrap_or_else(|| panic!("the full reader refuses\n{text}"));
    assert!(
        read == full,
        "{text}\n---- short\n{read}\n---- full\n{full}"
    );
    true
}

#[test]
fn what_is_mostly_written_takes_the_short_way() {
    for text in [
        CONFIGURATION,
        KEYS,
        "a: b",
        "- a\n- 'b'\n",
        "a:\n- b: c\n  d: e\n- f\ng: h\n",
    ] {
        assert!(is_read_alike(text), "{text}");
    }
}

#[test]
fn all_else_is_left_to_the_full_reader() {
    for text in [
        "",
        "# only a comment\n",
        "a\n",
        "{ a: b }\n",
        "---\na: b\n",
        "a: b\n---\nc: d\n",
        "a: b\r\n",
        "a:\tb\n",
        "a: \u{fc}\n",
        "a: &x b\n",
        "a: *x\n",
        "a: !x b\n",
        "a: |\n  b\n",
        "a: >\n  b\n",
        "? a\n: b\n",
        "<<: { a: b }\n",
        "a:\n",
        "a: ~\n",
        "a: null\n",
        "a: { b: }\n",
        "a: [b, , c]\n",
        "a: [b,]\n",
        "a: [b: c]\n",
        "a: [b\n",
        "a: [b,\n  c]\n",
        "a: b\n  c\n",
        "a: b: c\n",
        "a: b:\n",
        "a: \"b\\n\"\n",
        "a: \"b\n  c\"\n",
        "a: 'it''s'\n",
        "a: \"b\"c\n",
        "a: \"b\"#c\n",
        "a: [b]c\n",
        "a: - b\n",
        "- - a\n",
        "-\n  a: b\n",
        "\"a\": b\n",
        "a: b\na: c\n",
        "a: { b: c, b: d }\n",
        "a:\n  b: c\n d: e\n",
        " a: b\nc: d\n",
        "- a\nb: c\n",
        "a: b\n- c\n",
        "a: @b\n",
        "a: `b`\n",
        "a: %b\n",
        "a: -1\n",
    ] {
        assert!(read(text).is_none(), "{text}");
    }
    let many: String = (0..=FEW_KEYS).map(|n| format!("k{n}: v\n")).collect();
    assert!(is_read_alike(&many));
    assert!(
        read(&(many + "k0: v\n")).is_none(),
        "a key that stands twice"
    );
    let long = "k".repeat(KEY_BYTES_MAX + 1);
    assert!(read(&format!("{long}: v\n")).is_none());
    let deep = |depth| format!("a: {}{}\n", "[".repeat(depth), "]".repeat(depth));
    assert!(is_read_alike(&deep(8)) && read(&deep(DEPTH_MAX)).is_none());
    let values = format!("a: [{}b]\n", "b, ".repeat(NODES_MAX));
    assert!(read(&values).is_none(), "more values than are read");
}

/// Texts that are nearly plain: whatever was made of them, both readers agree.
#[test]
fn both_readers_agree_on_texts_that_were_meddled_with() {
    const PIECES: &[&str] = &[
        " ", "  ", "\n", "\n  ", "\n- ", "- ", "-", ": ", ":", "#", " #", ", ", ",", "[", "]", "{",
        "}", "\"", "'", "a", "a: b", "[]", "{}", "~", "null", "\\", "&a ", "*a", "!", "|", ">",
        "?", "? ", "%", "@", "---", "...", "<<: ", "\t", "\r", "0", ".", "+", "/",
    ];
    // Xorshift (Marsaglia 2003): the same texts on each run.
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % below as u64).unwrap()
    };
    let short = "a: { b: c d }\ne:\n- f: 'g'\n  h:\n    - [i, \"j\"]\n    # k\n    - l # m\n";
    let (mut taken, mut tried) = (0, 0);
    for (base, rounds) in [(CONFIGURATION, 800), (KEYS, 800), (short, 8_000)] {
        for _ in 0..rounds {
            let mut text = base.to_owned();
            for _ in 0..=next(3) {
                let (one, other) = (next(text.len() + 1), next(text.len() + 1));
                match next(4) {
                    0 => text.insert_str(one, PIECES[next(PIECES.len())]),
                    1 => text.replace_range(one..(one + next(4)).min(text.len()), ""),
                    2 => text.truncate(one.max(text.len() / 2)),
                    _ => {
                        let piece = text[one..(one + next(12)).min(text.len())].to_owned();
                        text.insert_str(other, &piece);
                    }
                }
            }
            tried += 1;
            taken += usize::from(is_read_alike(&text));
        }
    }
    assert!(taken > tried / 10, "{taken} of {tried} were read at all");
}
