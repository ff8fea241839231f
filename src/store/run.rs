//! The writer's loop: on a thread of its own, or as a task where a simulation keeps the time.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::disk::Disk;
use super::error::StoreError;
use super::intake::Work;
use super::shared::lock;
use super::writer::{Writer, refuse};

/// After a failed commit: what is queued is ready at once, so nothing else would slow it down.
const REST: Duration = Duration::from_millis(250);

impl Writer {
    /// Runs on a thread of its own until the store is closed or fails.
    pub(super) fn run(mut self) {
        let end = loop {
            let work = self.shared.intake.take(self.sleep());
            if let Some(end) = self.go(work) {
                break end;
            }
            if std::mem::take(&mut self.tired) {
                rest();
            }
        };
        self.end(end);
    }

    /// The same as a task, where a simulation keeps the time: a slow disk lets others run meanwhile.
    pub(super) async fn run_in_place(mut self, disk: Option<Arc<dyn Disk>>) {
        let end = loop {
            let work = self.shared.intake.taken(self.sleep()).await;
            if let Some(disk) = disk.as_ref().filter(|_| !work.is_empty()) {
                tokio::time::sleep(disk.lag()).await;
            }
            if let Some(end) = self.go(work) {
                break end;
            }
            if std::mem::take(&mut self.tired) {
                tokio::time::sleep(REST).await;
            }
            // Its answers first: on a thread they would be under way by now.
            tokio::task::yield_now().await;
        };
        self.end(end);
    }

    /// One turn; how it all ended, if it was the last.
    fn go(&mut self, mut work: Work) -> Option<Result<(), Arc<str>>> {
        let last = work.last;
        work.unoffered = self.quarantined.len();
        work.marks.append(&mut self.quarantined);
        *lock(&self.shared.at_work) = Some(Instant::now());
        let turned = self.turn(work);
        *lock(&self.shared.at_work) = None;
        if last && self.tired && self.farewells > 0 {
            self.farewells -= 1;
            return turned.is_err().then_some(turned);
        }
        (last || turned.is_err()).then_some(turned)
    }

    fn end(self, end: Result<(), Arc<str>>) {
        match end {
            Ok(()) => {
                let left = self.shared.intake.end(StoreError::Closing);
                refuse(left, &StoreError::Closing);
                if self.tired {
                    let why = "the last commit failed; what the app took last may come to it again";
                    let unwritten = StoreError::Unavailable(why.into());
                    self.shared.failed.send_replace(Some(unwritten));
                }
                if let Err(error) = self.engine.close() {
                    tracing::warn!(%error, "the store did not close in order; the next start repairs it");
                }
            }
            Err(why) => {
                tracing::error!(error = %why, "the store failed; nothing more is acknowledged");
                let error = StoreError::Fatal(why);
                refuse(self.shared.intake.end(error.clone()), &error);
                self.engine.abandon();
                self.shared.failed.send_replace(Some(error));
            }
        }
    }
}

fn rest() {
    let until = Instant::now() + REST;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return;
        }
        std::thread::park_timeout(left);
    }
}
