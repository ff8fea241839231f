//! Hostile peers against the real program: what they cannot fill, and whom they cannot keep out.
//!
//! These environment variables change the sizes: `HOOKGATE_TEST_HOSTILE_SECONDS` (5),
//! `HOOKGATE_TEST_HOSTILE_CONNECTIONS` (100), `HOOKGATE_TEST_HOSTILE_KIND` (all of them),
//! `HOOKGATE_TEST_HOSTILE_P99_MILLIS` (printed only),
//! `HOOKGATE_TEST_FORGED_REQUESTS` (2000), `HOOKGATE_TEST_STORM_IDS` (100),
//! `HOOKGATE_TEST_STORM_ROUNDS` (10) and `HOOKGATE_TEST_BACKLOG_EVENTS` (10000).
//! `HOOKGATE_TEST_MEMORY_MIB` (64) is the memory that the program gets.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    reason = "helpers of tests fail loudly and say what they counted or skipped"
)]

mod backlog;
mod flood;
mod machine;
mod mix;
mod peers;
#[path = "../program/mod.rs"]
#[expect(dead_code, reason = "shared with the rigs for faults")]
mod program;
mod storm;
#[path = "../it/support/mod.rs"]
#[expect(dead_code, reason = "shared with the integration tests")]
mod support;

/// A size that can be set from outside.
fn size(name: &str, default: usize) -> usize {
    #[expect(clippy::disallowed_methods, reason = "not the program's configuration")]
    let text = std::env::var(format!("HOOKGATE_TEST_{name}"));
    text.map_or(default, |text| text.parse().expect("a number"))
}
