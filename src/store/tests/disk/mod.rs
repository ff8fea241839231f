//! The store on a simulated disk that fails, against a model of what it has promised.
//!
//! [`faults`] makes each single operation of a script fail in each way; [`crashes`] plays random
//! histories in which power, disk and process fail at random. Both judge by [`model`].

mod crashes;
mod faults;
mod loss;
mod model;
mod regressions;
#[path = "../../../../tests/simdisk/under.rs"]
#[expect(dead_code, reason = "only the simulation has a slow disk")]
mod under;
mod world;

/// How many, unless the environment says otherwise.
#[expect(
    clippy::disallowed_methods,
    reason = "the size of a test run, and no setting of the program"
)]
fn from_environment(name: &str) -> Option<u64> {
    let value = std::env::var(name).ok()?;
    Some(value.parse().expect("a number"))
}
