//! What is shipped beside the source, as its users run it: the image, alone and as a pod or under Compose with an app,
//! and the units for systemd.
//!
//! The image needs root, `podman` with `buildah`'s isolation, `runc`, and in `HOOKGATE_TEST_IMAGE` the folder that
//! `scripts/image binary` fills; `scripts/test` sees to that, or says what it skipped. The units need systemd's
//! tools, not systemd itself.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    reason = "helpers of tests fail loudly and say what they counted or skipped"
)]

mod components;
mod compose;
mod engine;
mod image;
mod pod;
#[path = "../program/mod.rs"]
#[expect(dead_code, reason = "shared with the crash tests")]
mod program;
#[path = "../it/support/mod.rs"]
#[expect(dead_code, reason = "shared with the integration tests")]
mod support;
mod systemd;

const SECRET: &str = "whsec_example_not_a_secret";
