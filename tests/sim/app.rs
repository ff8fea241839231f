//! The app: takes what it is given, fails as the weather has it, and remembers what it read.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use fastrand::Rng;
use hookgate::shutdown::Stage;
use tokio::io::{AsyncWriteExt, DuplexStream};
use tokio::time::sleep;

use crate::history::{Delivery, History, Outcome, Timeline};
use crate::http::{Message, Reader};
use crate::schedule::{Mood, Schedule};

/// The gate's patience with one attempt.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);
/// How much an answer must come earlier than that to be in time for certain.
const MARGIN: Duration = Duration::from_millis(200);

/// What it does with one request.
#[derive(Clone, Copy, Debug)]
enum Act {
    Answer {
        status: u16,
        after: Duration,
        retry_after: Option<u64>,
    },
    /// A share (of 256) of a success, then the end of the connection.
    Half {
        share: u8,
        after: Duration,
    },
    /// Takes it, and the answer is lost.
    Lose,
    Hang,
}

/// The app; it outlives the gate.
pub(crate) struct App {
    schedule: Arc<Schedule>,
    history: History,
    timeline: Timeline,
    /// From then on it does its best.
    calm: Mutex<bool>,
    rng: Mutex<Rng>,
    stage: Stage,
}

impl App {
    pub(crate) fn new(
        schedule: &Arc<Schedule>,
        history: &History,
        timeline: Timeline,
        stage: &Stage,
    ) -> Arc<Self> {
        Arc::new(Self {
            schedule: Arc::clone(schedule),
            history: history.clone(),
            timeline,
            calm: Mutex::new(false),
            rng: Mutex::new(Rng::with_seed(schedule.seed ^ (timeline.life as u64) << 32)),
            stage: stage.clone(),
        })
    }

    /// The faults are over.
    pub(crate) fn calm_down(&self) {
        *self.calm.lock().expect("a lock") = true;
    }

    fn is_calm(&self) -> bool {
        *self.calm.lock().expect("a lock")
    }

    pub(crate) fn mood(&self) -> Mood {
        if self.is_calm() {
            return Mood::Fine;
        }
        self.schedule.mood(self.timeline.now())
    }

    pub(crate) fn wire_bytes(&self) -> usize {
        self.schedule.wire_bytes
    }

    /// Takes a connection of the gate.
    pub(crate) fn open(self: &Arc<Self>, stream: DuplexStream) {
        self.stage.spawn(Arc::clone(self).serve(stream));
    }

    async fn serve(self: Arc<Self>, mut stream: DuplexStream) {
        let mut reader = Reader::default();
        loop {
            if !self.is_calm() && self.draw(|rng| rng.u32(0..60) == 0) {
                // Gone in the middle of a request, which it then has not seen.
                sleep(self.draw(|rng| Duration::from_millis(rng.u64(0..3)))).await;
                self.history.seen().faults += 1;
                return;
            }
            let Some(request) = reader.next(&mut stream).await else {
                return;
            };
            if !self.answer(&request, &mut stream).await {
                return;
            }
        }
    }

    /// Deals with one request; whether the connection lives on.
    async fn answer(&self, request: &Message, stream: &mut DuplexStream) -> bool {
        let at = self.timeline.now();
        let event = request.text("hookgate-event-id");
        let attempt = request.text("hookgate-attempt").parse().unwrap_or(0);
        let number = {
            let mut seen = self.history.seen();
            seen.deliveries.push(Delivery {
                event: event.clone(),
                source: request.text("hookgate-source"),
                body: request.body.clone(),
                attempt,
                replay: request.header("hookgate-replay").is_some(),
                life: self.timeline.life,
                at,
                outcome: Outcome::Open,
            });
            seen.deliveries.len() - 1
        };
        let act = self.act(&request.body);
        self.history.note(
            at,
            format_args!("app got {event} attempt {attempt}: {act:?}"),
        );
        let (outcome, open) = self.perform(act, stream).await;
        self.history.seen().deliveries[number].outcome = outcome;
        open
    }

    async fn perform(&self, act: Act, stream: &mut DuplexStream) -> (Outcome, bool) {
        if !matches!(act, Act::Answer { status: 200..300, after, .. } if after < PATIENCE) {
            self.history.seen().faults += 1;
        }
        match act {
            Act::Answer {
                status,
                after,
                retry_after,
            } => {
                sleep(after).await;
                let asked = retry_after.map_or(String::new(), |s| format!("retry-after: {s}\r\n"));
                let text = format!("HTTP/1.1 {status} X\r\n{asked}content-length: 2\r\n\r\nok");
                let written = stream.write_all(text.as_bytes()).await;
                if written.is_err() || after > PATIENCE + MARGIN {
                    return (Outcome::Unclear, written.is_ok());
                }
                if after + MARGIN > PATIENCE {
                    return (Outcome::Late { status }, true);
                }
                let at = self.timeline.now();
                let outcome = match status {
                    200..300 => Outcome::Taken { at },
                    _ => Outcome::Refused {
                        at,
                        status,
                        retry_after,
                    },
                };
                (
                    outcome,
                    self.is_calm() || self.draw(|rng| rng.u32(0..8)) > 0,
                )
            }
            Act::Half { share, after } => {
                sleep(after).await;
                let head = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n";
                // Never the whole head.
                let end = head.len() * usize::from(share) / 257;
                // The gate may have gone away.
                let _ = stream.write_all(&head[..end]).await;
                (Outcome::Unclear, false)
            }
            Act::Lose => (Outcome::Unclear, false),
            Act::Hang => {
                sleep(PATIENCE * 3).await;
                (Outcome::Unclear, false)
            }
        }
    }

    fn draw<T>(&self, draw: impl FnOnce(&mut Rng) -> T) -> T {
        draw(&mut self.rng.lock().expect("a lock"))
    }

    fn act(&self, body: &[u8]) -> Act {
        let answer = |status, millis| Act::Answer {
            status,
            after: Duration::from_millis(millis),
            retry_after: None,
        };
        let mood = self.mood();
        self.draw(|rng| {
            if body.windows(8).any(|part| part == b"\"poison\"") {
                return if rng.bool() {
                    answer(500, 1)
                } else {
                    Act::Lose
                };
            }
            if self.is_calm() {
                return answer(200, 1);
            }
            match mood {
                Mood::Fine | Mood::Down | Mood::Deaf if rng.u32(0..12) > 0 => {
                    answer(if rng.bool() { 200 } else { 202 }, rng.u64(0..30))
                }
                Mood::Busy => answer(200, 1_000),
                Mood::Hanging => Act::Hang,
                Mood::Failing => Act::Answer {
                    status: *rng.choice([500, 503, 429].iter()).expect("one"),
                    after: Duration::from_millis(rng.u64(0..50)),
                    retry_after: rng.bool().then(|| rng.u64(1..60)),
                },
                Mood::Slow => answer(200, rng.u64(2_000..7_000)),
                Mood::Wild | Mood::Fine | Mood::Down | Mood::Deaf => wild(rng),
            }
        })
    }
}

fn wild(rng: &mut Rng) -> Act {
    match rng.u32(0..8) {
        0 => Act::Answer {
            status: 410,
            after: Duration::ZERO,
            retry_after: None,
        },
        1 => Act::Hang,
        2 | 3 => Act::Lose,
        4 | 5 => Act::Half {
            share: rng.u8(..),
            after: Duration::from_millis(rng.u64(0..100)),
        },
        6 => Act::Answer {
            status: 500,
            after: Duration::from_millis(rng.u64(0..100)),
            retry_after: rng.bool().then(|| rng.u64(1..30)),
        },
        _ => Act::Answer {
            status: 200,
            after: Duration::from_millis(rng.u64(0..6_000)),
            retry_after: None,
        },
    }
}
