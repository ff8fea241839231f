//! hookgate: a sidecar that stands in front of an application that receives webhooks.
//!
//! ```text
//!  sender                                                                  app
//!    |  POST /webhooks/stripe                                               ^  Unix socket or loopback TCP
//!    v                                                                      |
//!  ingress ───► verify ────► store.accept ──► ack 200       forward ◄── store.lease
//!  Received     Verified or   dedup + event,   only from a    attempt        |
//!               Rejection     one synced write Receipt        Outcome ──► store.settle
//! ```
//!
//! A 200 means that the event is on disk, was verified, and will reach the app or a dead letter that
//! can be seen. Each stage hands on a value that only it can make ([`verify::Verified`],
//! [`store::Receipt`]), so that "acknowledge before it is durable" does not compile.

// Plain data and plumbing: they know no stage.
pub mod clock;
pub mod event;
pub mod net;
pub mod secret;
pub mod shutdown;

// The stages, in order of flow.
pub mod ingress;
pub mod server;

pub mod keys;
pub mod providers;
pub mod verify;

pub mod store;

pub mod forward;

// For operators.
pub mod admin;
pub mod metrics;
pub mod telemetry;

// What brings it all together.
pub mod cli;
pub mod config;
pub mod gateway;
