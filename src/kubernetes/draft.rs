//! A pod on its way to another one, and the steps so far.

use super::Tree;
use super::patch::{Misfit, Operation};
use super::skip::{Reason, Skip};

/// Every step is taken here first, so that the next one sees its effect.
pub(super) struct Draft {
    pub(super) pod: Tree,
    pub(super) operations: Vec<Operation>,
}

impl Draft {
    pub(super) fn new(pod: &Tree) -> Self {
        Self {
            pod: pod.clone(),
            operations: Vec::new(),
        }
    }

    pub(super) fn add(&mut self, path: String, value: Tree) -> Result<(), Skip> {
        self.step(Operation::Add { path, value })
    }

    pub(super) fn remove(&mut self, path: String) -> Result<(), Skip> {
        self.step(Operation::Remove { path })
    }

    fn step(&mut self, operation: Operation) -> Result<(), Skip> {
        let misfit =
            |Misfit { path }| Skip::new(Reason::Malformed, format!("it has no place for {path}"));
        operation.apply(&mut self.pod).map_err(misfit)?;
        self.operations.push(operation);
        Ok(())
    }
}
