//! Senders' public keys: how they are written, what they verify, and where they are fetched.
//!
//! [`PublicKey`] is plain data with one question. [`KeySource`] is the only part of hookgate that
//! calls anybody but the app. It is asked in two steps, so that verification stays a function:
//! [`KeySource::cached`] never waits, and [`KeySource::fetch`] fills the cache before verification
//! is tried again. It calls a [`Target`] only, which is a URL that was checked.
//!
//! What this does not do: keep keys over a restart, ask for revocation, or use a proxy.

mod address;
mod cache;
mod client;
mod form;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod jwk;
mod metrics;
mod public;
mod source;
mod target;
#[cfg(test)]
mod test_server;
mod wanted;

pub use cache::Cached;
pub use client::{Config, FetchError};
pub use metrics::Metrics;
pub use public::{PublicForm, PublicKey, SignatureAlgorithm};
pub use source::KeySource;
pub use target::{NotAllowed, Target};
pub use wanted::Wanted;
