//! The one task that looks for mistakes, behind the answers.

use std::net::IpAddr;
use std::sync::Arc;

use sha2::{Digest as _, Sha256};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use super::record::Finding;
use crate::event::Received;
use crate::ingress::source::Source;
use crate::shutdown::Stage;
use crate::verify::{Diagnostician, Rejection};

/// A rejection that has its place in the ring.
pub(in crate::ingress) struct Noted {
    /// Its number in the ring.
    pub(in crate::ingress) number: u64,
    pub(in crate::ingress) peer: Option<IpAddr>,
    pub(in crate::ingress) rejection: Rejection,
    /// Let through all the same.
    pub(in crate::ingress) observed: bool,
}

/// What a mistake is looked for with.
pub(super) struct Examiner {
    pub(super) sources: Arc<[Arc<Source>]>,
    pub(super) diagnostician: Diagnostician,
}

/// A rejection whose mistake is looked for.
pub(super) struct Job {
    pub(super) source: Arc<Source>,
    pub(super) noted: Noted,
    pub(super) received: Received,
}

/// How many times as long as it worked the task rests: a tenth of one core is the most it takes,
/// however large the bodies and however many the sources.
const REST: u32 = 9;

/// One after the other, on a thread that may block, until the stage stops.
pub(super) async fn run(mut queue: mpsc::Receiver<Job>, examiner: Arc<Examiner>, stage: Stage) {
    let mut rested_at = Instant::now();
    loop {
        let next = async {
            sleep_until(rested_at).await;
            queue.recv().await
        };
        let job = tokio::select! {
            biased;
            () = stage.stopping() => break,
            job = next => job,
        };
        let Some(job) = job else { break };
        let started = Instant::now();
        let examiner = Arc::clone(&examiner);
        let (source, number) = (Arc::clone(&job.source), job.noted.number);
        let worked = stage.block(move || job.work(&examiner)).await;
        if worked.is_err() {
            tracing::error!("the search for a mistake panicked: this is a bug in hookgate");
            source.rejections().conclude(number, Finding::Skipped, None);
        }
        rested_at = Instant::now() + started.elapsed() * REST;
    }
    // Their log lines are still owed.
    queue.close();
    while let Ok(job) = queue.try_recv() {
        job.source.conclude(&job.noted, Finding::Skipped, None);
    }
}

impl Job {
    fn work(self, examiner: &Examiner) {
        let Self {
            source,
            noted,
            received,
        } = self;
        let digest = hex::encode(Sha256::digest(&received.body));
        let at = received.received_at;
        let others: Vec<_> = examiner
            .sources
            .iter()
            .map(|other| other.verifier())
            .collect();
        let diagnostician = &examiner.diagnostician;
        let diagnosis =
            diagnostician.diagnose(&source.verifier(), &others, &received, &noted.rejection, at);
        let finding = diagnosis.map_or(Finding::Unknown, Finding::Mistake);
        source.conclude(&noted, finding, Some(digest.into()));
    }
}
