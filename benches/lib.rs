//! Criterion benches, one file per thing measured: `cargo bench -p penstock-benches`.
#![forbid(unsafe_code)]
