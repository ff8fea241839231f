//! Events: what became of a pod, where people look for it (`kubectl describe`).
//! Source: kubernetes.io/docs/reference/kubernetes-api/cluster-resources/event-v1/

use std::collections::VecDeque;
use std::num::NonZeroU32;
use std::time::Duration;

use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use prometheus::IntCounter;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::cluster::Cluster;
use crate::clock::{Clock, UnixMillis};
use crate::kubernetes::review::{Owner, Reviewed};
use crate::shutdown::Stage;

/// Events that wait to be written; those after them are dropped and counted.
const WAITING_MAX: usize = 256;
/// Who was written about lately.
const RECENT_MAX: usize = 1024;
/// Events at once; after them one a second. Whoever reaches the port may ask, and the cluster's database keeps each Event for an hour.
const BURST: NonZeroU32 = NonZeroU32::new(100).unwrap();
/// A pod that cannot have a gate is often tried again and again.
const AGAIN: Duration = Duration::from_mins(10);

/// An event on its way.
struct Notice {
    namespace: String,
    /// What it says about whom: said once in a while is enough.
    about: String,
    event: Value,
}

/// Hands events to the task that writes them.
pub(super) struct Events {
    queue: mpsc::Sender<Notice>,
    dropped: IntCounter,
    clock: Clock,
}

impl Events {
    /// Starts the task that writes them.
    pub(super) fn start(
        cluster: Cluster,
        dropped: IntCounter,
        clock: Clock,
        stage: &Stage,
    ) -> Self {
        let (queue, waiting) = mpsc::channel(WAITING_MAX);
        stage.spawn(write(
            cluster,
            waiting,
            dropped.clone(),
            clock.clone(),
            stage.clone(),
        ));
        Self {
            queue,
            dropped,
            clock,
        }
    }

    /// Tells about a review; never waits. What was meant to be so is not worth an event.
    pub(super) fn tell(&self, reviewed: &Reviewed) {
        let Some(owner) = reviewed.owner.as_ref().filter(|_| !reviewed.is_dry_run) else {
            return;
        };
        if !is_label(&reviewed.namespace) {
            return;
        }
        let (kind, reason, message) = match &reviewed.outcome {
            Ok(notes) if notes.is_empty() => {
                ("Normal", "Injected", "the gate was added".to_owned())
            }
            Ok(notes) => (
                "Normal",
                "Injected",
                format!("the gate was added; {}", notes.join("; ")),
            ),
            Err(skip) if skip.reason.is_intended() => return,
            Err(skip) if skip.reason.has_gate() => ("Warning", "PortClash", skip.to_string()),
            Err(skip) => ("Warning", "InjectionSkipped", skip.to_string()),
        };
        let namespace = reviewed.namespace.clone();
        let event = event(&namespace, owner, kind, reason, &message, self.clock.wall());
        let about = format!("{} {reason} {message}", owner.uid);
        let notice = Notice {
            namespace,
            about,
            event,
        };
        if self.queue.try_send(notice).is_err() {
            self.dropped.inc();
        }
    }
}

/// RFC 1123: it becomes a part of a path, and anybody may have asked.
fn is_label(name: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=63).contains(&name.len()) && name.bytes().all(is_plain)
}

fn event(
    namespace: &str,
    owner: &Owner,
    kind: &str,
    reason: &str,
    message: &str,
    now: UnixMillis,
) -> Value {
    // As many as Kubernetes takes.
    let message: String = message.chars().take(900).collect();
    json!({
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"generateName": "hookgate-", "namespace": namespace},
        "involvedObject": {
            "apiVersion": owner.api_version,
            "kind": owner.kind,
            "name": owner.name,
            "namespace": namespace,
            "uid": owner.uid,
        },
        "type": kind,
        "reason": reason,
        "message": message,
        "source": {"component": "hookgate-injector"},
        "firstTimestamp": rfc3339(now),
        "lastTimestamp": rfc3339(now),
        "count": 1,
    })
}

/// Whole seconds, as the type of these fields has them.
fn rfc3339(at: UnixMillis) -> String {
    UnixMillis(at.seconds() * 1000)
        .rfc3339()
        .replace(".000Z", "Z")
}

async fn write(
    cluster: Cluster,
    mut waiting: mpsc::Receiver<Notice>,
    dropped: IntCounter,
    clock: Clock,
    stage: Stage,
) {
    let rate: DefaultDirectRateLimiter =
        RateLimiter::direct(Quota::per_second(NonZeroU32::MIN).allow_burst(BURST));
    let mut recent: VecDeque<(UnixMillis, String)> = VecDeque::new();
    loop {
        let notice = tokio::select! {
            () = stage.stopping() => return,
            notice = waiting.recv() => notice,
        };
        let Some(notice) = notice else { return };
        let now = clock.steady();
        while recent.len() >= RECENT_MAX
            || recent.front().is_some_and(|(at, _)| now.since(*at) > AGAIN)
        {
            recent.pop_front();
        }
        if recent.iter().any(|(_, known)| *known == notice.about) {
            continue;
        }
        if rate.check().is_err() {
            dropped.inc();
            continue;
        }
        let path = format!("/api/v1/namespaces/{}/events", notice.namespace);
        let posted = tokio::select! {
            () = stage.stopping() => return,
            posted = cluster.post(&path, &notice.event) => posted,
        };
        match posted {
            Ok(_) => recent.push_back((now, notice.about)),
            Err(error) => {
                dropped.inc();
                tracing::warn!(%error, "an Event could not be written");
            }
        }
    }
}
