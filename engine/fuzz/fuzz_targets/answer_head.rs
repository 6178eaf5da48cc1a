//! See `targets::answer_head`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| targets::targets::answer_head(input));
