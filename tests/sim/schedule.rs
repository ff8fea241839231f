//! What happens in one run, as a value that follows from a seed: what is sent and how, how the app
//! and the disk behave and when, and how each life of the gate ends.

use std::time::Duration;

use fastrand::Rng;
use simdisk::{Fault, Repeat};

use crate::mail::{self, Message, Sending};

/// One run.
#[derive(Debug)]
pub(crate) struct Schedule {
    pub(crate) seed: u64,
    /// Faults stop before the end, and then everything must drain; otherwise they go on to the end.
    pub(crate) liveness: bool,
    /// Attempts under way at once.
    pub(crate) workers: usize,
    /// Memory for events that are ready.
    pub(crate) backlog_bytes: usize,
    /// What a connection holds that nobody has read yet.
    pub(crate) wire_bytes: usize,
    pub(crate) messages: Vec<Message>,
    pub(crate) sendings: Vec<Sending>,
    pub(crate) weather: Vec<Weather>,
    pub(crate) jumps: Vec<Jump>,
    pub(crate) replays: Vec<Duration>,
    pub(crate) lives: Vec<Life>,
}

/// How the app behaves for a while.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Weather {
    pub(crate) from: Duration,
    pub(crate) to: Duration,
    pub(crate) app: Mood,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mood {
    /// Takes nearly everything at once.
    Fine,
    /// Refuses connections.
    Down,
    /// Lets connections wait.
    Deaf,
    /// Reads and never answers.
    Hanging,
    /// Answers 500, 503 or 429, some with `Retry-After`.
    Failing,
    /// Takes everything, one second after it came.
    Busy,
    /// Answers just in time, or just too late.
    Slow,
    /// Anything goes wrong.
    Wild,
}

/// The wall clock is set wrong, and right again later.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Jump {
    pub(crate) at: Duration,
    pub(crate) back: Duration,
    pub(crate) millis: i64,
}

/// One process of the gate.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Life {
    pub(crate) length: Duration,
    /// How many more tasks run in the last instant.
    pub(crate) steps: u32,
    pub(crate) end: End,
    /// Longest that the disk takes until it gets to a commit.
    pub(crate) lag: Duration,
    /// The disk's operation of that number fails, counted from its time on.
    pub(crate) fault: Option<DiskFault>,
    /// There is no space for a while.
    pub(crate) full: Option<(Duration, Duration)>,
    /// How often the power goes during the next start.
    pub(crate) broken_starts: u32,
    /// Between this process and the next.
    pub(crate) pause: Duration,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct DiskFault {
    pub(crate) at: Duration,
    pub(crate) nth: u64,
    pub(crate) fault: Fault,
    pub(crate) repeat: Repeat,
    pub(crate) healed_after: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// The power goes.
    Power,
    /// `kill -9`.
    Kill,
    /// SIGTERM, then the process ends in order.
    Stop,
}

pub(crate) fn millis(rng: &mut Rng, range: std::ops::Range<u64>) -> Duration {
    Duration::from_millis(rng.u64(range))
}

/// One in `n`.
pub(crate) fn rarely(rng: &mut Rng, n: u32) -> bool {
    rng.u32(0..n) == 0
}

impl Schedule {
    pub(crate) fn of(seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let rng = &mut rng;
        let lives: Vec<_> = (0..rng.usize(2..=5)).map(|_| Life::draw(rng)).collect();
        let length = lives.iter().map(|life| life.length + life.pause).sum();
        let mut messages = mail::messages(rng);
        let mut sendings: Vec<_> = (0..messages.len())
            .flat_map(|message| {
                let forged = messages[message].forgery.is_some();
                mail::copies(rng, message, forged, length)
            })
            .collect();
        let mut weather = weather(rng, length);
        if rarely(rng, 8) {
            let from = within(rng, length / 2);
            mail::flood(rng, from, &mut messages, &mut sendings);
            // Slowly enough that there are turns to take.
            let (to, app) = (from + Duration::from_secs(60), Mood::Busy);
            weather.insert(0, Weather { from, to, app });
        }
        Self {
            seed,
            liveness: seed.is_multiple_of(2),
            workers: rng.usize(1..=4),
            backlog_bytes: *rng.choice([2_000, 20_000, 8 << 20].iter()).expect("one"),
            wire_bytes: *rng.choice([64, 700, 64 << 10].iter()).expect("one"),
            sendings,
            messages,
            weather,
            jumps: jumps(rng, length),
            replays: (0..rng.u32(0..3)).map(|_| within(rng, length)).collect(),
            lives,
        }
    }

    /// How the app behaves at this time.
    pub(crate) fn mood(&self, at: Duration) -> Mood {
        let now = |weather: &&Weather| (weather.from..weather.to).contains(&at);
        self.weather
            .iter()
            .find(now)
            .map_or(Mood::Fine, |one| one.app)
    }

    /// The gate's wall clock is wrong at some time between these.
    pub(crate) fn is_skewed(&self, from: Duration, to: Duration) -> bool {
        let overlaps = |jump: &Jump| jump.at <= to && from <= jump.back;
        self.jumps.iter().any(overlaps)
    }
}

pub(crate) fn within(rng: &mut Rng, length: Duration) -> Duration {
    length.mul_f64(rng.f64())
}

fn weather(rng: &mut Rng, length: Duration) -> Vec<Weather> {
    let moods = [
        Mood::Down,
        Mood::Deaf,
        Mood::Hanging,
        Mood::Failing,
        Mood::Slow,
        Mood::Wild,
        Mood::Wild,
    ];
    let mut weather = Vec::new();
    for _ in 0..rng.u32(0..5) {
        let from = within(rng, length);
        weather.push(Weather {
            from,
            to: from + millis(rng, 100..25_000),
            app: *rng.choice(moods.iter()).expect("one"),
        });
    }
    weather
}

fn jumps(rng: &mut Rng, length: Duration) -> Vec<Jump> {
    let hour = 3_600_000;
    let mut jumps = Vec::new();
    for _ in 0..rng.u32(0..3) / 2 {
        let at = within(rng, length);
        let far = [-87_600 * hour, -hour, -20_000, 20_000, hour, 87_600 * hour];
        jumps.push(Jump {
            at,
            back: at + millis(rng, 500..40_000),
            millis: *rng.choice(far.iter()).expect("one"),
        });
    }
    jumps
}

impl Life {
    fn draw(rng: &mut Rng) -> Self {
        let length = millis(rng, 50..30_000);
        let ends = [End::Power, End::Power, End::Kill, End::Stop];
        let lags = [0, 0, 20, 200, 4_000];
        Self {
            length,
            steps: rng.u32(0..40),
            end: *rng.choice(ends.iter()).expect("one"),
            lag: Duration::from_millis(*rng.choice(lags.iter()).expect("one")),
            fault: rarely(rng, 2).then(|| DiskFault::draw(rng, length)),
            full: rarely(rng, 6).then(|| {
                let from = within(rng, length);
                (from, from + millis(rng, 100..8_000))
            }),
            broken_starts: if rarely(rng, 5) { rng.u32(1..4) } else { 0 },
            pause: millis(rng, 0..3_000),
        }
    }
}

impl DiskFault {
    fn draw(rng: &mut Rng, length: Duration) -> Self {
        let faults = [
            Fault::Crash,
            Fault::Crash,
            Fault::Crash,
            Fault::NoSpace,
            Fault::ShortWrite,
            Fault::Write,
            Fault::Sync,
            Fault::Read,
        ];
        Self {
            at: within(rng, length),
            nth: rng.u64(0..30),
            fault: *rng.choice(faults.iter()).expect("one"),
            repeat: if rng.bool() {
                Repeat::Once
            } else {
                Repeat::Sticky
            },
            healed_after: millis(rng, 100..6_000),
        }
    }
}
