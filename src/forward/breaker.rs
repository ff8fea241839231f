//! Whether the app can be reached, as the number of workers that may run: none while it cannot,
//! then one, and twice as many with each answer, so that an app that comes back is not stampeded.

use std::sync::atomic::{AtomicUsize, Ordering};

use prometheus::IntGauge;
use tokio::sync::Notify;

pub(super) struct Breaker {
    admitted: AtomicUsize,
    /// Wakes those who wait in the order in which they came, unlike a watch channel.
    changed: Notify,
    workers: usize,
    app_up: IntGauge,
}

impl Breaker {
    /// Closed: all workers may run until one finds the app gone.
    pub(super) fn new(workers: usize, app_up: IntGauge) -> Self {
        app_up.set(1);
        Self {
            admitted: AtomicUsize::new(workers),
            changed: Notify::new(),
            workers,
            app_up,
        }
    }

    fn admitted(&self) -> usize {
        self.admitted.load(Ordering::SeqCst)
    }

    /// Waits until the worker with this index (0, 1, ...) may run.
    pub(super) async fn admits(&self, index: usize) {
        self.reaches(|admitted| index < admitted).await;
    }

    /// Waits until the app has been found gone.
    pub(super) async fn opened(&self) {
        self.reaches(|admitted| admitted == 0).await;
    }

    /// The app cannot be reached: nobody may run. Whether that is news.
    pub(super) fn open(&self) -> bool {
        self.app_up.set(0);
        self.set(|_| 0)
    }

    /// The app accepts connections again: the first worker may run.
    pub(super) fn close(&self) {
        self.app_up.set(1);
        self.set(|admitted| admitted.max(1));
    }

    /// The app dealt with a request, well or badly: more workers may run. While the breaker is open
    /// this is a late answer and changes nothing.
    pub(super) fn answered(&self) {
        if self.admitted() < self.workers {
            self.set(|admitted| (admitted * 2).min(self.workers));
        }
    }

    /// Some workers may run, but not all.
    pub(super) fn is_ramping(&self) -> bool {
        (1..self.workers).contains(&self.admitted())
    }

    /// Whether that changed it.
    fn set(&self, to: impl Fn(usize) -> usize) -> bool {
        let change = |admitted| Some(to(admitted)).filter(|new| *new != admitted);
        let changed = self
            .admitted
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, change)
            .is_ok();
        if changed {
            self.changed.notify_waiters();
        }
        changed
    }

    async fn reaches(&self, condition: impl Fn(usize) -> bool) {
        loop {
            // Made before the look, so that no change falls between the two.
            let changed = self.changed.notified();
            if condition(self.admitted()) {
                return;
            }
            changed.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_app_that_comes_back_is_met_gently() {
        let breaker = Breaker::new(6, IntGauge::new("up", "up").unwrap());
        assert!(breaker.open());
        assert!(
            !breaker.open(),
            "the second worker to notice brings no news"
        );
        breaker.answered();
        assert_eq!(breaker.admitted(), 0, "a late answer does not close it");
        breaker.close();
        let ramp: Vec<_> = (0..4)
            .map(|_| {
                let now = breaker.admitted();
                breaker.answered();
                now
            })
            .collect();
        assert_eq!(ramp, [1, 2, 4, 6]);
    }
}
