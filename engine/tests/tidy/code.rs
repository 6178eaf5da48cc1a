//! Rust source as the rules look at it: a scan that tells code from comments and
//! literals, and trusts the formatter for the rest.

/// What stands behind a whole word of a line.
pub(crate) fn after_word<'a>(line: &'a str, word: &str) -> Option<&'a str> {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word).find_map(|(start, _)| {
        let (before, behind) = (&line[..start], &line[start + word.len()..]);
        let whole = !before.ends_with(is_part) && !behind.starts_with(is_part);
        whole.then(|| behind.trim_start())
    })
}

/// Whether a comment above the statement that holds this line says why it is sound.
pub(crate) fn is_justified(lines: &[&str], code: &[&str], index: usize) -> bool {
    let above = lines.iter().zip(code).take(index).rev();
    above
        .take_while(|(line, code)| !line.is_empty() && !code.trim_end().ends_with([';', '{', '}']))
        .any(|(line, _)| line.contains("// SAFETY") || line.contains("/// # Safety"))
}

/// The functions of a formatted file: the line on which each begins, and its length.
pub(crate) fn functions(text: &str) -> Vec<(usize, usize)> {
    let code = without_comments_and_strings(text);
    let lines: Vec<_> = code.lines().collect();
    let mut found = Vec::new();
    for (index, line) in lines.iter().enumerate() {
        if !begins_function(line) {
            continue;
        }
        let indent = &line[..line.len() - line.trim_start().len()];
        // It ends on the first line at its own depth that closes a block, or that ends a
        // signature without one.
        let ends = |line: &&str| {
            let rest = line
                .strip_prefix(indent)
                .filter(|rest| !rest.starts_with(' '));
            rest.is_some_and(|rest| rest.trim_end().ends_with(['}', ';']))
        };
        let length = lines.iter().skip(index).position(ends);
        found.push((
            index + 1,
            length.map_or(lines.len() - index, |lines| lines + 1),
        ));
    }
    found
}

fn begins_function(line: &str) -> bool {
    let Some((before, _)) = line.split_once("fn ") else {
        return false;
    };
    let mut words = before.split_whitespace();
    words.all(|word| word.starts_with("pub") || ["const", "async", "unsafe"].contains(&word))
}

/// The text with comments and literals made blank, line for line.
pub(crate) fn without_comments_and_strings(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let hidden = hidden_length(rest);
        let (taken, behind) = rest.split_at(hidden.unwrap_or(first.len_utf8()));
        let blank = |c| if c == '\n' { c } else { ' ' };
        match hidden {
            Some(_) => code.extend(taken.chars().map(blank)),
            None => code.push_str(taken),
        }
        rest = behind;
    }
    code
}

/// The length of the comment or literal with which the text begins.
fn hidden_length(text: &str) -> Option<usize> {
    let end = |length: Option<usize>| Some(length.unwrap_or(text.len()));
    if text.starts_with("//") {
        end(text.find('\n'))
    } else if text.starts_with("/*") {
        end(comment_length(text))
    } else if text.starts_with('"') {
        end(string_length(text))
    } else if text.starts_with("r\"") || text.starts_with("r#") {
        raw_string_length(text)
    } else if text.starts_with('\'') {
        character_length(text)
    } else {
        None
    }
}

/// Comments in blocks may hold others.
fn comment_length(text: &str) -> Option<usize> {
    let (mut depth, mut at) = (0, 0);
    loop {
        let rest = text.get(at..)?;
        let close = rest.find("*/")?;
        let open = rest.find("/*").filter(|open| *open < close);
        at += open.unwrap_or(close) + 2;
        depth += if open.is_some() { 1 } else { -1 };
        if depth == 0 {
            return Some(at);
        }
    }
}

fn string_length(text: &str) -> Option<usize> {
    let mut escaped = false;
    let quote = text.bytes().skip(1).position(|byte| {
        let closes = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        closes
    });
    quote.map(|at| at + 2)
}

fn raw_string_length(text: &str) -> Option<usize> {
    let (hashes, _) = text[1..].split_once('"')?;
    let is_raw = hashes.bytes().all(|byte| byte == b'#');
    let begin = hashes.len() + 2;
    let close = format!("\"{hashes}");
    let found = || text[begin..].find(&close);
    is_raw.then(|| found().map_or(text.len(), |at| begin + at + close.len()))
}

/// A quote may also begin a lifetime.
fn character_length(text: &str) -> Option<usize> {
    let mut characters = text.char_indices().skip(1);
    let (_, first) = characters.next()?;
    if first == '\\' {
        return text.get(3..)?.find('\'').map(|at| at + 4);
    }
    let (at, second) = characters.next()?;
    (second == '\'').then_some(at + 1)
}

#[test]
fn the_scanner_sees_code_and_nothing_else() {
    let source =
        "fn a<'x>() { '\"'; \"unsafe \\\" {\" } // unsafe\n/* unsafe /* */ */ b'\\''; r#\"}\"#";
    let code = without_comments_and_strings(source);
    assert_eq!(
        code.split_whitespace().collect::<Vec<_>>(),
        ["fn", "a<'x>()", "{", ";", "}", "b", ";"]
    );
    assert_eq!(
        after_word("let a = unsafe { b };", "unsafe"),
        Some("{ b };")
    );
    assert_eq!(after_word("unsafe_op", "unsafe"), None);
    let source =
        "    pub(crate) async fn a(\n    ) {\n        \"\n    }\n\";\n    }\n    fn b();\n";
    assert_eq!(functions(source), [(1, 6), (7, 1)]);
}
