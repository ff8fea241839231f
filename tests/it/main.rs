//! The gate as senders, the app and operators see it: one program, started in this process on free
//! ports, with a real store and an app that follows a script.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr,
    clippy::unwrap_used,
    reason = "helpers of tests fail loudly and say what they skip"
)]

mod support;

mod abuse;
mod access;
mod ack_app;
mod acknowledge;
mod admin;
mod bytes;
mod challenges;
mod description;
mod drain;
mod edge;
mod failures;
mod forward;
mod framing;
mod handled;
mod keys;
mod listeners;
mod metrics;
mod operate;
mod operators;
mod outage;
mod prometheus;
mod rejections;
mod restart;
mod starting;
mod traces;
mod verification;
mod waiting;
