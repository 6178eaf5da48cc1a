//! What fuzzing found worth keeping, run again without a fuzzer: each target on each input of
//! its corpus, and on all that one byte more, less or other makes of those written by hand.
#![forbid(unsafe_code)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    unreachable_pub,
    reason = "a target fails by panicking, and the fuzzer sees all of them"
)]

use std::path::Path;

use penstock::clients::proxy_protocol;
use penstock::strict;

#[path = "../../fuzz/src/targets.rs"]
mod targets;

/// What is longer is run as it is: there would be too many others of it.
const VARIED_BYTES_MAX: usize = 600;

/// How the names of inputs begin that somebody wrote. What a fuzzer found was varied by it.
const WRITTEN: &str = "seed-";

#[test]
fn every_target_holds_on_its_corpus() {
    for (name, target) in targets::ALL {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
        let inputs = std::fs::read_dir(folder.join(name)).unwrap();
        let mut files: Vec<_> = inputs.map(|file| file.unwrap().path()).collect();
        files.sort();
        assert!(files.len() >= 10, "{name} has a corpus");
        for file in files {
            let input = std::fs::read(&file).unwrap();
            // Shown only where it fails.
            println!("{}", file.display());
            target(&input);
            let name = file.file_name().unwrap().to_string_lossy();
            if !name.starts_with(WRITTEN) || input.len() > VARIED_BYTES_MAX {
                continue;
            }
            for at in 0..input.len() {
                let (before, after) = input.split_at(at);
                target(before);
                target(&[before, &after[1..]].concat());
                target(&[before, b"\r", after].concat());
                target(&[before, b"X", &after[1..]].concat());
            }
        }
    }
}
