//! Whether the app can be reached, as the number of workers that may run: none while it cannot,
//! then one, and twice as many with each answer, so that an app that comes back is not stampeded.

use prometheus::IntGauge;
use tokio::sync::watch;

pub(super) struct Breaker {
    admitted: watch::Sender<usize>,
    workers: usize,
    app_up: IntGauge,
}

impl Breaker {
    /// Closed: all workers may run until one finds the app gone.
    pub(super) fn new(workers: usize, app_up: IntGauge) -> Self {
        app_up.set(1);
        Self {
            admitted: watch::Sender::new(workers),
            workers,
            app_up,
        }
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
        self.admitted.send_replace(0) != 0
    }

    /// The app accepts connections again: the first worker may run.
    pub(super) fn close(&self) {
        self.app_up.set(1);
        self.admitted.send_if_modified(|admitted| {
            let was_open = *admitted == 0;
            *admitted = (*admitted).max(1);
            was_open
        });
    }

    /// The app dealt with a request, well or badly: more workers may run. While the breaker is open
    /// this is a late answer and changes nothing.
    pub(super) fn answered(&self) {
        if *self.admitted.borrow() < self.workers {
            self.admitted.send_if_modified(|admitted| {
                let before = *admitted;
                *admitted = (before * 2).min(self.workers);
                *admitted != before
            });
        }
    }

    /// Some workers may run, but not all.
    pub(super) fn is_ramping(&self) -> bool {
        (1..self.workers).contains(&*self.admitted.borrow())
    }

    async fn reaches(&self, condition: impl Fn(usize) -> bool) {
        if condition(*self.admitted.borrow()) {
            return;
        }
        let mut changes = self.admitted.subscribe();
        // The sender lives as long as `self`.
        let _ = changes.wait_for(|admitted| condition(*admitted)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admitted(breaker: &Breaker) -> usize {
        *breaker.admitted.borrow()
    }

    #[test]
    fn an_app_that_comes_back_is_met_gently() {
        let breaker = Breaker::new(6, IntGauge::new("up", "up").unwrap());
        assert!(breaker.open());
        assert!(
            !breaker.open(),
            "the second worker to notice brings no news"
        );
        breaker.answered();
        assert_eq!(admitted(&breaker), 0, "a late answer does not close it");
        breaker.close();
        let ramp: Vec<_> = (0..4)
            .map(|_| {
                let now = admitted(&breaker);
                breaker.answered();
                now
            })
            .collect();
        assert_eq!(ramp, [1, 2, 4, 6]);
    }
}
