//! Senders: each sends one copy of a message until it is acknowledged, patient or not, and forgers.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use hookgate::clock::UnixMillis;
use hookgate::verify::Unsigned;
use http::Method;
use tokio::io::{AsyncWriteExt, DuplexStream};
use tokio::time::{sleep, timeout};

use crate::history::{Answer, History, Timeline};
use crate::http::Reader;
use crate::mail::{Forgery, Manner, Message, SOURCES, Sending};
use crate::network::Door;
use crate::schedule::Schedule;
use crate::senders::Sender as Signer;
use crate::signing;

/// True time begins here.
pub(crate) const START: UnixMillis = UnixMillis(1_735_689_600_000);
/// Longer than the gate's own deadline.
const PATIENCE: Duration = Duration::from_secs(15);

/// The senders of the sources, and of forgers, who have other keys.
pub(crate) static SIGNERS: LazyLock<Vec<(Signer, Signer)>> = LazyLock::new(|| {
    let signer = |name: &&str| {
        let forger = Signer::named(name, "somebody-else");
        (Signer::new(name), forger)
    };
    SOURCES.iter().map(signer).collect()
});

/// The name of the source that a message is sent to.
pub(crate) fn source_of(message: &Message) -> &'static str {
    &SIGNERS[message.source].0.source
}

/// How far one sending has come; it survives the gate.
#[derive(Clone, Debug)]
pub(crate) struct Progress {
    pub(crate) next: Duration,
    pub(crate) tries: usize,
    pub(crate) done: bool,
}

/// All senders of one run.
#[derive(Clone)]
pub(crate) struct Senders {
    pub(crate) schedule: Arc<Schedule>,
    pub(crate) history: History,
    pub(crate) progress: Arc<std::sync::Mutex<Vec<Progress>>>,
}

impl Senders {
    pub(crate) fn new(schedule: &Arc<Schedule>, history: &History) -> Self {
        let waiting = |sending: &Sending| Progress {
            next: sending.at,
            tries: 0,
            done: false,
        };
        Self {
            schedule: Arc::clone(schedule),
            history: history.clone(),
            progress: Arc::new(std::sync::Mutex::new(
                schedule.sendings.iter().map(waiting).collect(),
            )),
        }
    }

    pub(crate) fn progress(&self, number: usize) -> Progress {
        self.progress.lock().expect("a lock")[number].clone()
    }

    fn update(&self, number: usize, change: impl FnOnce(&mut Progress)) {
        change(&mut self.progress.lock().expect("a lock")[number]);
    }

    /// One sender in one life of the gate; in `calm`, the last try is due at once.
    pub(crate) async fn run(self, number: usize, timeline: Timeline, door: Door, calm: bool) {
        let sending = self.schedule.sendings[number].clone();
        loop {
            let progress = self.progress(number);
            if progress.done {
                return;
            }
            let last = sending.manners.len() - 1;
            if !calm {
                timeline.until(progress.next).await;
            }
            let manner = sending.manners[if calm { last } else { progress.tries.min(last) }];
            self.update(number, |progress| {
                progress.tries += 1;
                progress.next = timeline.now() + sending.pause;
            });
            let acknowledged = self.attempt(number, manner, timeline, &door).await;
            self.update(number, |progress| {
                progress.next = timeline.now() + sending.pause;
                let forged = self.schedule.messages[sending.message].forgery.is_some();
                progress.done = acknowledged || (forged && progress.tries > last);
            });
            if calm && !self.progress(number).done {
                sleep(Duration::from_secs(1)).await;
            }
        }
    }

    /// One try; whether it was acknowledged.
    async fn attempt(
        &self,
        number: usize,
        manner: Manner,
        timeline: Timeline,
        door: &Door,
    ) -> bool {
        let message = &self.schedule.messages[self.schedule.sendings[number].message];
        let started = timeline.now();
        let request = signing::bytes(&signed(message, started));
        self.history.seen().requests += 1;
        let Some(mut stream) = door.connect().await else {
            return false;
        };
        let answer = send(&mut stream, &request, manner);
        let patience = match manner {
            Manner::GoesAway(after) => after,
            Manner::Patient | Manner::Pieces(_) | Manner::Breaks(_) | Manner::Stalls(_) => PATIENCE,
        };
        let answer = timeout(patience, answer).await.ok().flatten();
        let at = timeline.now();
        let Some(answer) = answer else {
            self.history
                .note(at, format_args!("sender {number} {manner:?}: no answer"));
            return false;
        };
        let (status, kind) = (answer.status(), answer.text("hookgate-status"));
        let event = answer.text("hookgate-event-id");
        self.history.note(
            at,
            format_args!("sender {number} {manner:?}: {status} {kind} {event}"),
        );
        self.history.seen().answers.push(Answer {
            sending: number,
            life: timeline.life,
            at,
            skewed: self.schedule.is_skewed(started, at),
            whole: matches!(manner, Manner::Patient | Manner::GoesAway(_)),
            status,
            kind,
            event,
        });
        (200..300).contains(&status)
    }
}

/// The request as it is sent at this time.
fn signed(message: &Message, at: Duration) -> Unsigned {
    let (genuine, forger) = &SIGNERS[message.source];
    let target = format!("/webhooks/{}", genuine.source);
    let now = START.plus(at);
    let (signer, body) = match message.forgery {
        Some(Forgery::Key) => (forger, &message.body[..]),
        Some(Forgery::Body) => (genuine, &b"another body, which is signed in its place"[..]),
        Some(Forgery::Bare) => {
            return Unsigned {
                method: Method::POST,
                url: target,
                headers: Vec::new(),
                body: message.body.clone().into(),
            };
        }
        None => (genuine, &message.body[..]),
    };
    let mut request = signer.signed_at(&target, Vec::new(), body, &message.id, now);
    request.body = message.body.clone().into();
    request
}

/// Writes the request in this manner and reads the answer.
async fn send(
    stream: &mut DuplexStream,
    request: &[u8],
    manner: Manner,
) -> Option<crate::http::Message> {
    let share = |share: u8| request.len() * usize::from(share) / 256;
    match manner {
        Manner::Patient | Manner::GoesAway(_) => stream.write_all(request).await.ok()?,
        Manner::Pieces(pause) => {
            for piece in request.chunks(request.len().div_ceil(4)) {
                stream.write_all(piece).await.ok()?;
                sleep(pause).await;
            }
        }
        Manner::Breaks(part) => {
            stream.write_all(&request[..share(part)]).await.ok()?;
            return None;
        }
        Manner::Stalls(part) => stream.write_all(&request[..share(part)]).await.ok()?,
    }
    Reader::default().next(stream).await
}
