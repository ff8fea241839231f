//! What is fuzzed: everything that reads what comes from outside, each with what must be true of it.
//!
//! A target is a function of bytes that fails when a promise is broken, not only when something
//! panics. The functions stand in the modules whose insides they look at, in a file `fuzzing.rs`;
//! here is the list of them. It exists in two builds only: for coverage-guided fuzzing (`fuzz/`,
//! `scripts/fuzz`), and in tests, which feed the same functions with the seeds and with seeds that
//! were changed at random.

mod input;
#[cfg(test)]
mod seeds;
#[cfg(test)]
mod tests;

pub(crate) use input::{Input, NOW};

pub use crate::admin::fuzzing::admin_queries;
pub use crate::cli::fuzzing::captured_requests;
pub use crate::config::fuzzing::config;
pub use crate::forward::fuzzing::{headers, retry_after};
pub use crate::ingress::fuzzing::{forwarded_for, paths};
pub use crate::keys::fuzzing::{fetched_addresses, public_keys};
pub use crate::providers::fuzzing::value_sources;
pub use crate::store::fuzzing::records;
pub use crate::verify::fuzzing::{
    challenges, content_templates, diagnoses, explanations, form_ids, json_ids, procedures,
    provider_files, signatures, signing, timestamps, tokens,
};
