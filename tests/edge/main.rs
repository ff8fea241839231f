//! The HTTP edge, byte for byte: what is written to the gate's socket, and what must come of it.
//!
//! `http1.toml` and `http2.toml` hold the cases. Every one of them is made of a genuine, signed
//! event, so nothing but the edge can be the reason for a refusal, and whatever slips through is
//! stored and forwarded and shows. Time stands still unless a case lets some pass.
//!
//! `HOOKGATE_TEST_CASE` runs the cases whose name contains its value.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "helpers of tests fail loudly and say what they counted"
)]

mod bytes;
mod cases;
mod frames;
mod http1;
mod http2;
mod scene;
mod stalls;
#[path = "../it/support/mod.rs"]
#[expect(dead_code, reason = "shared with the integration tests")]
mod support;
mod wire;
