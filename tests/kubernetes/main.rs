//! Manifests with a gate: what people put in, what comes out, and what Kubernetes' own schemas say to it.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr,
    reason = "helpers of tests fail loudly and say what they skip"
)]

mod api_server;
mod chart;
mod cluster;
mod command;
mod component;
mod container;
mod custom;
mod documents;
mod ending;
mod golden;
mod helm;
mod injector;
mod judge;
mod manifests;
mod objects;
mod policy;
mod profile;
mod rendering;

use hookgate::kubernetes::{Operation, Tree};

/// A document, which must be good YAML.
fn tree(text: &str) -> Tree {
    let parsed = hookgate::kubernetes::document::parse(text).expect("YAML");
    parsed.unwrap_or_default()
}

fn patched(document: &Tree, operations: &[Operation]) -> Tree {
    let mut document = document.clone();
    for operation in operations {
        operation.apply(&mut document).expect("a patch that fits");
    }
    document
}
