//! That the short way from a text to its keys finds nothing that the full one does not.

use super::*;

const KEYS: &str = r#"# Who may ask.
- { hash: "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08", consumer: c-1 }
- hash: sha256:9f86d081884b7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
  consumer: c-1   # the old one
  expires: 2030-01-01T00:00:00Z
  not_before: 2029-01-01T00:00:00Z

- { hash: 'sha256:af86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08', consumer: c, id: c-1-9f86d081884a }
- { consumer: d, id: i-1, limits: { day: 5 }, hash: "sha256:bf86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08" }
- { consumer: d, id: i-2, hash: "sha256:cf86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08" }
"#;

/// Whether the short way was taken; if so, the full one must have found the same keys and
/// nothing to say about them.
fn is_read_alike(text: &str, parts: usize) -> bool {
    let limits = rules::limits_named(["day"].into_iter());
    let Some(keys) = read_plain(text, Some(&limits), parts, &|key| key) else {
        return false;
    };
    let mut found = Found::default();
    let full = read(text, Some(&limits), &mut found);
    assert!(found.is_empty(), "the full reader refuses\n{text}");
    assert_eq!(keys, full, "{text}");
    true
}

#[test]
fn a_file_as_it_is_mostly_written_takes_the_short_way_in_any_number_of_parts() {
    for parts in 1..8 {
        assert!(is_read_alike(KEYS, parts), "{parts} parts");
    }
}

#[test]
fn what_is_made_of_keys_stands_in_the_files_order_however_many_read_it() {
    let key = |n| {
        format!(
            "- {{ hash: \"sha256:{n:08x}{:056x}\", consumer: c-{n} }}\n",
            7
        )
    };
    for count in [1, 2, 1000, 10_000] {
        let text: String = (0..count).map(key).collect();
        let made = parse_keys_each(&text, None, |key| key.consumer.as_str().to_owned()).unwrap();
        let expected: Vec<_> = (0..count).map(|n| format!("c-{n}")).collect();
        assert!(made == expected, "{count} keys");
    }
}

#[test]
fn what_relates_keys_to_each_other_is_left_to_the_full_way() {
    for (text, becomes) in [
        ("sha256:cf86d081884c", "sha256:bf86d081884c"),
        ("id: i-2", "id: i-1"),
        ("id: c-1-9f86d081884a", "id: c-1-9f86d081884c"),
        ("id: c-1-9f86d081884a", "id: c-1-9F86D081884C"),
        ("2029-", "2030-"),
        ("day: 5", "month: 5"),
    ] {
        let wrong = KEYS.replace(text, becomes);
        assert!(wrong != KEYS && !is_read_alike(&wrong, 1), "{becomes}");
    }
    assert!(
        !is_read_alike("# none\n", 1),
        "whether none are meant is asked"
    );
}

#[test]
fn whatever_is_done_to_a_file_both_ways_say_the_same_of_it() {
    const PIECES: [&str; 12] = [
        "\n", "- ", " ", "'", "\"", "{", "}", ", ", ": ", "#", "|", "\n- ",
    ];
    let (mut taken, mut tried) = (0, 0);
    for at in 0..=KEYS.len() {
        let piece = PIECES[at % PIECES.len()];
        let inserted = [&KEYS[..at], piece, &KEYS[at..]].concat();
        let removed = [&KEYS[..at], KEYS.get(at + 1..).unwrap_or_default()].concat();
        for text in [inserted, removed, KEYS[..at].to_owned()] {
            tried += 1;
            taken += usize::from(is_read_alike(&text, 1 + at % 4));
        }
    }
    assert!(taken > tried / 20, "{taken} of {tried} were read at all");
}
