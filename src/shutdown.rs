//! Tracked tasks and the order in which they stop.
//!
//! Every task belongs to a [`Stage`]. Stages stop one after the other: a stage is told to stop, and
//! the next one is told only when all tasks of the first have ended or its time is over. Before that
//! a stage may be told to retire: it works on, for those who have not heard yet, and keeps nobody.

use std::future::Future;
use std::time::Duration;

use tokio::task::{JoinError, JoinHandle};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// A group of tasks that stop together; cheap to clone.
#[derive(Clone, Default)]
pub struct Stage {
    tasks: TaskTracker,
    retire: CancellationToken,
    stop: CancellationToken,
    /// Nothing runs on threads of its own.
    in_place: bool,
}

impl Stage {
    /// A stage without threads: what may block runs where it is asked for, so that a simulation
    /// decides when.
    #[doc(hidden)]
    #[must_use]
    pub fn in_place() -> Self {
        Self {
            in_place: true,
            ..Self::default()
        }
    }

    /// Runs what takes long on a thread that may block.
    ///
    /// # Errors
    /// When it panics.
    pub async fn block<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, JoinError> {
        if self.in_place {
            return Ok(work());
        }
        tokio::task::spawn_blocking(work).await
    }

    /// Starts a task that [`Stage::stop`] will wait for.
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place where tasks are started, tracked"
    )]
    pub fn spawn<F>(&self, task: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        tokio::spawn(self.tasks.track_future(task))
    }

    /// Tells all tasks that the stage is about to end. It cannot be taken back.
    pub fn retire(&self) {
        self.retire.cancel();
    }

    /// Resolves once the stage has been told to retire.
    pub async fn retiring(&self) {
        self.retire.cancelled().await;
    }

    /// Whether the stage has been told to retire.
    #[must_use]
    pub fn is_retiring(&self) -> bool {
        self.retire.is_cancelled()
    }

    /// Resolves once the stage has been told to stop.
    pub async fn stopping(&self) {
        self.stop.cancelled().await;
    }

    /// Whether the stage has been told to stop.
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        self.stop.is_cancelled()
    }

    /// Tells all tasks to stop and waits for them, at most `patience`; whether all ended in time.
    pub async fn stop(&self, patience: Duration) -> bool {
        self.stop.cancel();
        self.tasks.close();
        tokio::time::timeout(patience, self.tasks.wait())
            .await
            .is_ok()
    }
}
