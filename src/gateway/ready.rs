//! `/readyz` as a metric, asked when somebody scrapes; 0 while the store is being opened.

use std::sync::{Arc, OnceLock};

use prometheus::IntGauge;
use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;

use crate::admin::Health;
use crate::metrics::Metrics;
use crate::shutdown::Stage;
use crate::store::Store;

/// What says whether it is, once there is a store.
pub(super) type Judge = Arc<OnceLock<(Health, Store)>>;

/// Adds the gauge; not ready until the judge is there.
pub(super) fn register(metrics: &Metrics) -> Judge {
    let judge = Judge::default();
    let ready = IntGauge::new(
        "hookgate_ready",
        "Whether senders should come here, as /readyz says",
    );
    if let Ok(ready) = ready {
        metrics.register(Ready {
            ready,
            judge: Arc::clone(&judge),
        });
    }
    judge
}

/// From now on whoever answers `/readyz` says it.
pub(super) fn judged_by(judge: &Judge, intake: &Stage, store: &Store) -> Health {
    let health = Health {
        intake: intake.clone(),
    };
    // It was empty: nobody else fills it.
    drop(judge.set((health.clone(), store.clone())));
    health
}

struct Ready {
    ready: IntGauge,
    judge: Judge,
}

impl Collector for Ready {
    fn desc(&self) -> Vec<&Desc> {
        self.ready.desc()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let judge = self.judge.get();
        let is_ready = judge.is_some_and(|(health, store)| health.problem(store).is_none());
        self.ready.set(i64::from(is_ready));
        self.ready.collect()
    }
}
