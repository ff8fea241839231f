//! The store on a simulated disk that fails, against a model of what it has promised.

mod model;
mod regressions;
#[path = "../../../../tests/simdisk/under.rs"]
mod under;
mod world;
