//! What is sent, by whom and how: genuine messages, copies of them, forgeries, floods.

use std::time::Duration;

use fastrand::Rng;

use crate::schedule::{millis, rarely, within};

/// Names of the sources and their providers: an id that is signed, an id that is not, no id at all.
pub(crate) const SOURCES: [&str; 3] = ["standard-webhooks", "github", "hmac"];

/// Something to send.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    pub(crate) source: usize,
    /// The sender's id.
    pub(crate) id: String,
    pub(crate) body: Vec<u8>,
    /// The app fails on it each time.
    pub(crate) poison: bool,
    pub(crate) forgery: Option<Forgery>,
}

/// What is wrong with a forged request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Forgery {
    /// Signed with a key that is not the sender's.
    Key,
    /// Another body under a genuine signature.
    Body,
    /// No signature.
    Bare,
}

/// One sender with one copy of a message, which it tries until it is acknowledged.
#[derive(Clone, Debug)]
pub(crate) struct Sending {
    pub(crate) message: usize,
    pub(crate) at: Duration,
    /// Of the tries: how the sender behaves in each, the last one patient.
    pub(crate) manners: Vec<Manner>,
    /// Between two tries.
    pub(crate) pause: Duration,
}

/// How a sender behaves in one try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    Patient,
    /// Sends it in pieces with pauses between them.
    Pieces(Duration),
    /// Is gone after this time.
    GoesAway(Duration),
    /// Sends this share of it (of 256) and is gone.
    Breaks(u8),
    /// Sends this share of it (of 256), then nothing more, and stays.
    Stalls(u8),
}

impl Manner {
    fn draw(rng: &mut Rng) -> Self {
        match rng.u32(0..10) {
            0 => Self::Pieces(millis(rng, 1..3_000)),
            1 | 2 => Self::GoesAway(millis(rng, 0..200)),
            3 => Self::GoesAway(millis(rng, 0..4_000)),
            4 => Self::Breaks(rng.u8(..)),
            5 => Self::Stalls(rng.u8(..)),
            _ => Self::Patient,
        }
    }
}

pub(crate) fn messages(rng: &mut Rng) -> Vec<Message> {
    let mut messages: Vec<Message> = Vec::new();
    for n in 0..rng.usize(6..=16) {
        let source = rng.usize(0..SOURCES.len());
        let poison = rarely(rng, 16);
        let padding = if rarely(rng, 4) {
            rng.usize(0..3_000)
        } else {
            0
        };
        let body = |kind: &str| {
            let text = format!(
                r#"{{"type":"{kind}","n":{n},"pad":"{}"}}"#,
                "x".repeat(padding)
            );
            text.into_bytes()
        };
        let message = Message {
            source,
            id: format!("id-{n}"),
            body: body(if poison { "poison" } else { "plain" }),
            poison,
            forgery: None,
        };
        if rarely(rng, 8) {
            let forgery = *rng
                .choice([Forgery::Key, Forgery::Body, Forgery::Bare].iter())
                .expect("one");
            // Sometimes it takes the place of the genuine one.
            let id = if rng.bool() {
                message.id.clone()
            } else {
                format!("forged-{n}")
            };
            messages.push(Message {
                id,
                body: body("forged"),
                poison: false,
                forgery: Some(forgery),
                ..message.clone()
            });
        }
        if SOURCES[source] != "hmac" && rarely(rng, 12) {
            messages.push(Message {
                body: body("conflict"),
                poison: false,
                ..message.clone()
            });
        }
        messages.push(message);
    }
    messages
}

/// Many messages of one source at once, and one of another in the middle of them.
pub(crate) fn flood(
    rng: &mut Rng,
    from: Duration,
    messages: &mut Vec<Message>,
    sendings: &mut Vec<Sending>,
) {
    let flooding = rng.usize(0..SOURCES.len());
    for n in 0..24 {
        let source = if n == 8 {
            (flooding + 1) % SOURCES.len()
        } else {
            flooding
        };
        let body = format!(
            r#"{{"type":"flood","n":{n},"pad":"{}"}}"#,
            "x".repeat(n * 8)
        );
        messages.push(Message {
            source,
            id: format!("flood-{n}"),
            body: body.into_bytes(),
            poison: false,
            forgery: None,
        });
        sendings.push(Sending {
            message: messages.len() - 1,
            at: from + Duration::from_millis(n as u64),
            manners: vec![Manner::Patient],
            pause: millis(rng, 300..6_000),
        });
    }
}

/// Senders of one message: most alone, some two at nearly the same time, some again much later.
pub(crate) fn copies(
    rng: &mut Rng,
    message: usize,
    forged: bool,
    length: Duration,
) -> Vec<Sending> {
    let at = within(rng, length);
    let mut times = vec![at];
    if rarely(rng, 4) {
        let later = millis(rng, 0..40);
        times.push(at + if rng.bool() { later } else { Duration::ZERO });
    }
    if rarely(rng, 8) {
        times.push(at + within(rng, length));
    }
    let sending = |at| {
        let mut manners: Vec<_> = (0..rng.usize(0..4)).map(|_| Manner::draw(rng)).collect();
        manners.push(Manner::Patient);
        if forged {
            manners.truncate(1);
        }
        Sending {
            message,
            at,
            manners,
            pause: millis(rng, 300..6_000),
        }
    };
    times.into_iter().map(sending).collect()
}
