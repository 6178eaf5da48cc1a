//! See `targets::head`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| targets::targets::head(input));
