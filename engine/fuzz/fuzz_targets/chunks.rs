//! See `targets::chunks`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| targets::targets::chunks(input));
