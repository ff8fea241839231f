//! Senders' public keys: how they are written, and what they verify.

mod form;
mod jwk;
mod public;

pub use public::{PublicForm, PublicKey, SignatureAlgorithm};
