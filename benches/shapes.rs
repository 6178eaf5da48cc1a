//! Bodies of the shapes that clients send, from one seed: their texts have different
//! words and lengths, since a processor soon knows by heart what repeats itself.

use std::fmt::Write;

/// Makes a body of about so many bytes.
pub type Shape = fn(usize) -> String;

/// The shapes by name.
pub const SHAPES: [(&str, Shape); 8] = [
    ("prose", prose),
    ("conversation", conversation),
    ("turns and tools", turns_and_tools),
    ("turns and tools, spaced", spaced),
    ("code", code),
    ("other scripts", scripts),
    ("other scripts, escaped", escaped),
    ("an image", image),
];

const ENGLISH: &str = "the quick brown fox jumps over a lazy dog and then it walks home, \
    where nobody waits; however when the storm ended at last they could see how far the \
    river had come during that long night I think we should ask for another opinion.";

const SCRIPTS: &str = "быстрая коричневая лиса прыгает через ленивую собаку, 素早い茶色の狐は怠け者の犬を飛び越える。 \
    敏捷的棕色狐狸跳过了懒狗 الثعلب البني السريع يقفز فوق الكلب الكسول η γρήγορη αλεπού πηδάει 😀 🦊 \
    빠른 갈색 여우가 게으른 개를 뛰어넘는다 तेज भूरी लोमड़ी आलसी कुत्ते के ऊपर कूदती है";

const CODE: &str = "fn main() {\n|    let name = \"world\";\n|    println!(\"hello, {name}\");\n|}\n|\n|\
    if value.get(\"key\") == None:\n|        raise ValueError(\"no \\\"key\\\"\")\n|\
    \t\treturn fmt.Errorf(\"line %d: %w\\n\", line, err)\n|    // Why it is so.\n|\
    const rows = await db.query(`select * from t where a = $1`, [id]);\n|\
    static const char *names[] = { \"a\", \"bc\", \"def\" };\n|        self.count += 1\n|";

/// SplitMix64 (Steele, Lea and Flood, OOPSLA 2014).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % bound as u64) as usize
    }

    /// So many of the words of a text, at random.
    fn words(&mut self, text: &str, separator: char, count: usize) -> String {
        let words: Vec<_> = text
            .split(separator)
            .filter(|word| !word.is_empty())
            .collect();
        let words = (0..count).map(|_| words.get(self.below(words.len())).copied());
        let words: Vec<_> = words.flatten().collect();
        words.join(if separator == ' ' { " " } else { "" })
    }
}

/// The text as a JSON string, with characters beyond ASCII escaped too if asked for.
fn quoted(text: &str, ascii: bool) -> String {
    let mut json = String::from("\"");
    for character in text.chars() {
        match character {
            '"' | '\\' => json.extend(['\\', character]),
            '\n' => json.push_str("\\n"),
            '\t' => json.push_str("\\t"),
            '\u{80}'.. if ascii => {
                for unit in character.encode_utf16(&mut [0; 2]) {
                    _ = write!(json, "\\u{unit:04x}");
                }
            }
            _ => json.push(character),
        }
    }
    json.push('"');
    json
}

/// One message with a text of so many bytes.
fn message(text: &str, bytes: usize, ascii: bool) -> String {
    let mut json = quoted(text, ascii);
    let mut end = bytes.saturating_sub(80).min(json.len() - 1);
    // Not in the middle of a character or an escape.
    while !json.is_char_boundary(end) || json.get(..end).is_some_and(is_cut) {
        end -= 1;
    }
    json.truncate(end);
    format!(
        r#"{{"model":"gpt-4o","messages":[{{"role":"user","content":{json}"}}],"stream":true}}"#
    )
}

fn is_cut(json: &str) -> bool {
    json.bytes().rev().take(6).any(|byte| byte == b'\\')
}

fn prose(bytes: usize) -> String {
    message(&Random(1).words(ENGLISH, ' ', bytes / 4), bytes, false)
}

fn code(bytes: usize) -> String {
    message(&Random(2).words(CODE, '|', bytes / 16), bytes, false)
}

fn scripts(bytes: usize) -> String {
    message(&Random(3).words(SCRIPTS, ' ', bytes / 4), bytes, false)
}

fn escaped(bytes: usize) -> String {
    message(&Random(3).words(SCRIPTS, ' ', bytes / 4), bytes, true)
}

/// Paragraphs in turn.
fn conversation(bytes: usize) -> String {
    let mut random = Random(4);
    let mut turns = Vec::new();
    let mut length = 0;
    while length < bytes - 100 {
        let count = 20 + random.below(150);
        let text = quoted(&random.words(ENGLISH, ' ', count), false);
        let role = if turns.len().is_multiple_of(2) {
            "user"
        } else {
            "assistant"
        };
        let turn = format!(r#"{{"role":"{role}","content":{text}}}"#);
        length += turn.len() + 1;
        turns.push(turn);
    }
    let turns = turns.join(",");
    format!(r#"{{"model":"gpt-4o","messages":[{turns}],"temperature":0.7}}"#)
}

/// Many short turns, and tools as SDKs write them: a structural byte for every few of text.
fn turns_and_tools(bytes: usize) -> String {
    let mut random = Random(5);
    let mut turns = Vec::new();
    let mut length = 0;
    while length < bytes / 2 {
        let count = 2 + random.below(10);
        let text = quoted(&random.words(ENGLISH, ' ', count), false);
        let role = if turns.len().is_multiple_of(2) {
            "user"
        } else {
            "assistant"
        };
        let turn = format!(r#"{{"role":"{role}","content":{text}}}"#);
        length += turn.len() + 1;
        turns.push(turn);
    }
    let mut tools = Vec::new();
    while length < bytes - 100 {
        let tool = tool(&mut random);
        length += tool.len() + 1;
        tools.push(tool);
    }
    let (turns, tools) = (turns.join(","), tools.join(","));
    format!(
        r#"{{"model":"gpt-4o","messages":[{turns}],"tools":[{tools}],"temperature":0.7,"stream":true}}"#
    )
}

fn tool(random: &mut Random) -> String {
    let mut properties = Vec::new();
    let mut required = Vec::new();
    for index in 0..1 + random.below(4) {
        let name = format!(
            "{}_{index}",
            random.words(ENGLISH, ' ', 1).replace([',', ';', '.'], "")
        );
        let count = 2 + random.below(6);
        let text = quoted(&random.words(ENGLISH, ' ', count), false);
        properties.push(match random.below(4) {
            0 => format!(
                r#""{name}":{{"type":"integer","minimum":{}}}"#,
                random.below(100)
            ),
            1 => format!(r#""{name}":{{"type":"string","enum":["a","b","c"]}}"#),
            _ => format!(r#""{name}":{{"type":"string","description":{text}}}"#),
        });
        if random.below(2) == 0 {
            required.push(format!("\"{name}\""));
        }
    }
    let (properties, required) = (properties.join(","), required.join(","));
    let name = random.words(ENGLISH, ' ', 1).replace([',', ';', '.'], "");
    let text = quoted(&random.words(ENGLISH, ' ', 8), false);
    format!(
        r#"{{"type":"function","function":{{"name":"{name}","description":{text},"parameters":{{"type":"object","properties":{{{properties}}},"required":[{required}],"additionalProperties":false}}}}}}"#
    )
}

/// With a space after each colon and comma outside strings, as Python's `json` writes.
fn spaced(bytes: usize) -> String {
    let mut json = String::new();
    let mut in_text = false;
    for character in turns_and_tools(bytes * 9 / 10).chars() {
        in_text ^= character == '"';
        json.push(character);
        if !in_text && matches!(character, ':' | ',') {
            json.push(' ');
        }
    }
    json
}

fn image(bytes: usize) -> String {
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut random = Random(6);
    let digits = (0..bytes - 250).filter_map(|_| alphabet.get(random.below(alphabet.len())));
    let base64: String = digits.copied().map(char::from).collect();
    format!(
        r#"{{"model":"gpt-4o","messages":[{{"role":"user","content":[{{"type":"text","text":"What is in this picture?"}},{{"type":"image_url","image_url":{{"url":"data:image/png;base64,{base64}"}}}}]}}],"max_tokens":300}}"#
    )
}
