//! hookgate: a sidecar that stands in front of an application that receives webhooks, and its
//! verification as a library.
//!
//! # In an app
//!
//! [`Webhooks`] gives a tower layer for axum or hyper that lets genuine webhooks through, with their
//! bytes as they were sent; [`layer`] explains it.
//!
//! ```
//! # fn main() -> Result<(), hookgate::SetupError> {
//! let github = hookgate::Webhooks::provider("github")
//!     .secret("from the webhook's settings")
//!     .build()?;
//! let app: axum::Router = axum::Router::new()
//!     .route("/webhooks/github", axum::routing::post(|| async { "thank you" }))
//!     .layer(github.layer());
//! # let _ = app;
//! # Ok(())
//! # }
//! ```
//!
//! How a provider signs is data, in the language that [`providers`] reads: what is not shipped can be
//! described in a few lines ([`Webhooks::custom`], [`WebhooksBuilder::scheme`]). The names at the root
//! are meant for apps; the modules are the sidecar's parts, and change with it.
//!
//! # As a sidecar
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

// Tests here and of the whole gateway share their senders (tests/senders).
#[cfg(any(test, fuzzing))]
extern crate self as hookgate;

// Plain data and plumbing: they know no stage.
pub mod clock;
pub mod entropy;
pub mod event;
pub mod net;
mod planted;
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

// Verification without the rest, inside an app.
pub mod layer;

// For operators.
pub mod admin;
pub mod drain;
pub mod metrics;
pub mod telemetry;
pub mod trace;

// Into other people's pods.
pub mod injector;
pub mod kubernetes;

// What brings it all together.
pub mod cli;
pub mod config;
pub mod gateway;

#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;

pub use layer::{SetupError, Verify, VerifyLayer, Webhooks, WebhooksBuilder};
pub use providers::{Provider, ProviderError};
pub use verify::{Fault, Reason, Rejection, Verified};

#[cfg(test)]
mod tests {
    /// Implemented twice for whatever prints itself, so that `assert_silent` cannot choose.
    trait Silent<Marker> {
        fn assert_silent() {}
    }
    impl<T: ?Sized> Silent<()> for T {}
    impl<T: ?Sized + std::fmt::Debug> Silent<u8> for T {}
    impl<T: ?Sized + std::fmt::Display> Silent<u16> for T {}
    impl<T: ?Sized + serde::Serialize> Silent<u32> for T {}

    #[test]
    fn what_holds_secrets_cannot_print_itself() {
        // That this compiles is the test.
        <crate::secret::Secret as Silent<_>>::assert_silent();
        <crate::verify::Config as Silent<_>>::assert_silent();
        <crate::verify::Verifier as Silent<_>>::assert_silent();
        <crate::verify::TestKey as Silent<_>>::assert_silent();
        <crate::admin::Config as Silent<_>>::assert_silent();
        <crate::forward::Signing as Silent<_>>::assert_silent();
        <crate::keys::Wanted as Silent<_>>::assert_silent();
        <crate::event::Received as Silent<_>>::assert_silent();
        <crate::config::Config as Silent<_>>::assert_silent();
    }
}
