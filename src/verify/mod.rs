//! Received to Verified.

mod verified;

pub use verified::Verified;
