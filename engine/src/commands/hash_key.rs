//! `penstock hash-key`.

use std::io::{IsTerminal, Read, Write};
use std::process::ExitCode;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use clap::Args;
use penstock_config::unit::KeyHash;
use penstock_plugins::authenticate::{self, KEY_BYTES_MAX};
use rand::TryRngCore;
use rand::rngs::OsRng;
use rustix::termios::{self, LocalModes, OptionalActions};

use super::{complain, say};

/// Shortest key that is hashed unasked, in characters. What is shorter was not made by
/// a machine, and can be guessed from its hash.
const KEY_CHARS_MIN: usize = 20;

/// What every new key begins with, so that scanners of source code can tell it for one.
const PREFIX: &str = "psk_";

/// Which key to hash.
#[derive(Debug, Args)]
pub struct Options {
    /// Make a new key of 256 random bits, and print it once with its hash
    #[arg(long, conflicts_with = "allow_short")]
    new: bool,
    /// Hash a key of less than 20 characters, which can be guessed from its hash
    #[arg(long)]
    allow_short: bool,
}

/// Prints the hash of a key, for the file of keys. The key is read from standard input:
/// arguments end up in histories, and everyone on the machine can see them.
pub fn hash_key(options: &Options) -> ExitCode {
    let done = if options.new {
        make().map(|key| {
            say(format_args!("key: {key}"));
            say(format_args!("hash: {}", authenticate::hash(key.as_bytes())));
        })
    } else {
        read().and_then(|input| hash(&input, options.allow_short).map(say))
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            complain(why);
            ExitCode::FAILURE
        }
    }
}

/// A new key.
fn make() -> Result<String, String> {
    let mut random = [0; 32];
    OsRng
        .try_fill_bytes(&mut random)
        .map_err(|error| format!("the system gives no random bytes: {error}"))?;
    Ok(PREFIX.to_owned() + &URL_SAFE_NO_PAD.encode(random))
}

/// What stands on standard input; at a terminal one line, which is not shown.
fn read() -> Result<Vec<u8>, String> {
    let failed = |error| format!("the key cannot be read: {error}");
    let stdin = std::io::stdin();
    if stdin.is_terminal() {
        let _ = write!(std::io::stderr(), "API key (not shown): ");
        let hidden = Hidden::new();
        let mut line = String::new();
        let read = stdin.read_line(&mut line).map_err(failed);
        drop(hidden);
        complain("");
        return read.map(|_| line.into_bytes());
    }
    let mut input = Vec::new();
    // Longer input is refused for its length, however much more there is.
    let bytes_max = KEY_BYTES_MAX as u64 + 3;
    let read = stdin.lock().take(bytes_max).read_to_end(&mut input);
    read.map(|_| input).map_err(failed)
}

/// While it lives, the terminal does not show what is typed.
struct Hidden(Option<termios::Termios>);

impl Hidden {
    fn new() -> Self {
        let stdin = std::io::stdin();
        let Ok(usual) = termios::tcgetattr(&stdin) else {
            return Self(None);
        };
        let mut silent = usual.clone();
        silent.local_modes.remove(LocalModes::ECHO);
        let set = termios::tcsetattr(&stdin, OptionalActions::Flush, &silent);
        Self(set.is_ok().then_some(usual))
    }
}

impl Drop for Hidden {
    fn drop(&mut self) {
        if let Some(usual) = &self.0 {
            // Nothing can be done about a terminal that is gone.
            let _ = termios::tcsetattr(std::io::stdin(), OptionalActions::Now, usual);
        }
    }
}

/// The hash of a key, without the line break after it.
fn hash(input: &[u8], allow_short: bool) -> Result<KeyHash, String> {
    let key = input.strip_suffix(b"\n").unwrap_or(input);
    let key = key.strip_suffix(b"\r").unwrap_or(key);
    if key.is_empty() {
        return Err("there is no key on standard input; --new makes one".to_owned());
    }
    if key.len() > KEY_BYTES_MAX {
        return Err(format!(
            "the key is too long: at most {KEY_BYTES_MAX} characters"
        ));
    }
    if !authenticate::is_presentable(key) {
        return Err(
            "a key must be one line of visible ASCII characters without spaces and commas: no \
             client could send this one"
                .to_owned(),
        );
    }
    if key.len() < KEY_CHARS_MIN && !allow_short {
        return Err(format!(
            "the key has {} characters: one of less than {KEY_CHARS_MIN} can be guessed from its \
             hash; use --new, or --allow-short if it must be",
            key.len()
        ));
    }
    Ok(authenticate::hash(key))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_hashed_without_its_line_break() {
        let key = b"psk_0123456789abcdef";
        let hash = |input: &[u8]| hash(input, false).unwrap();
        let expected = authenticate::hash(key);
        assert_eq!(hash(key), expected);
        assert_eq!(hash(b"psk_0123456789abcdef\n"), expected);
        assert_eq!(hash(b"psk_0123456789abcdef\r\n"), expected);
    }

    #[test]
    fn what_is_no_good_key_is_refused_without_repeating_it() {
        let long = "k".repeat(KEY_BYTES_MAX + 1);
        for (input, why) in [
            ("", "no key"),
            ("\n", "no key"),
            ("psk_0123456789abcde", "can be guessed"),
            ("psk_0123456789abcdef two", "no client could send"),
            ("psk_0123456789abcdef\n\n", "no client could send"),
            ("psk_0123456789abcdef,", "no client could send"),
            ("psk_0123456789abcdéf", "no client could send"),
            (long.as_str(), "too long"),
        ] {
            let told = hash(input.as_bytes(), false).unwrap_err();
            assert!(told.contains(why), "{input}: {told}");
            assert!(!told.contains("psk_"), "{told}");
        }
        assert!(hash(b"short", true).is_ok());
        assert!(hash(b"", true).is_err());
    }

    #[test]
    fn a_new_key_is_256_random_bits() {
        let (one, other) = (make().unwrap(), make().unwrap());
        assert_ne!(one, other);
        assert_eq!(one.len(), PREFIX.len() + 43);
        assert!(
            hash(one.as_bytes(), false).is_ok(),
            "it can be sent and hashed"
        );
    }
}
