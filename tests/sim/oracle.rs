//! What must hold, judged from what senders and app saw and what the store shows.
//!
//! - I1 An acknowledged event is in the store after every restart, with equal bytes; one that is
//!   marked delivered was answered with success by the app, whole and in time.
//! - I2 The app and the store have nothing that its sender did not sign.
//! - I3 Whoever is told "duplicate" is told of an event that is there, with the same bytes.
//! - I4 The app gets the bytes that were sent.
//! - I5 The app gets an event again only if it did not answer with success in time, if the gate died
//!   in between, or if an operator asked for it; not before the attempt before it is over, and not
//!   sooner than the app asked for.
//! - I6 The states add up to what is stored, and one (source, id, body) is stored once.
//! - I7 What a start found delivered stays so, unless an operator replays it.
//! - I8 Once faults have stopped, everything is acknowledged and drains in time ([`drained`]).
//! - I9 A genuine request is answered 200 or our own trouble; a forged one never 200.
//! - I10 A source that floods does not keep the others waiting: they take turns.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use hookgate::store::{State, Summary};

use crate::app::PATIENCE;
use crate::gate::RETRY_MAX;
use crate::history::{Answer, Delivery, Outcome, Seen};
use crate::mail::Message;
use crate::schedule::Schedule;
use crate::sender::source_of;

/// So many turns another source may have at once: its attempts under way, what was read back from
/// disk together, and what the breaker gave back.
const TURNS_SLACK: usize = 8;

/// An event as the store shows it.
pub(crate) struct Stored {
    pub(crate) id: String,
    pub(crate) source: String,
    pub(crate) state: State,
    pub(crate) body: Option<Vec<u8>>,
}

fn message<'a>(schedule: &'a Schedule, answer: &Answer) -> &'a Message {
    &schedule.messages[schedule.sendings[answer.sending].message]
}

fn acknowledged(seen: &Seen) -> impl Iterator<Item = &Answer> {
    let success = |answer: &&Answer| (200..300).contains(&answer.status);
    seen.answers.iter().filter(success)
}

fn is_genuine(schedule: &Schedule, source: &str, body: &[u8]) -> bool {
    let sent = |message: &Message| {
        message.forgery.is_none() && source_of(message) == source && message.body == body
    };
    schedule.messages.iter().any(sent)
}

/// A start shows every acknowledged event, and what was delivered stays so.
pub(crate) fn start(
    seen: &Seen,
    summaries: &[Summary],
    delivered: &HashSet<String>,
) -> Vec<String> {
    let mut breaks = Vec::new();
    let states: HashMap<_, _> = summaries
        .iter()
        .map(|summary| (summary.id.to_string(), summary.state))
        .collect();
    for answer in acknowledged(seen) {
        if !states.contains_key(&answer.event) {
            breaks.push(format!("I1 acknowledged and lost: {answer:?}"));
        }
    }
    for id in delivered {
        let replayed = seen.replayed.iter().any(|(replayed, _)| replayed == id);
        if !replayed && states.get(id) != Some(&State::Delivered) {
            breaks.push(format!("I7 {id} was delivered and is {:?}", states.get(id)));
        }
    }
    breaks
}

/// What is stored in the end.
pub(crate) fn stored(schedule: &Schedule, seen: &Seen, stored: &[Stored]) -> Vec<String> {
    let mut breaks = Vec::new();
    let by_id: HashMap<_, _> = stored.iter().map(|event| (&*event.id, event)).collect();
    for answer in acknowledged(seen) {
        let message = message(schedule, answer);
        let Some(event) = by_id.get(&*answer.event) else {
            breaks.push(format!("I1 acknowledged and not there: {answer:?}"));
            continue;
        };
        if event.body.as_ref() != Some(&message.body) || event.source != source_of(message) {
            breaks.push(format!("I1 acknowledged with other bytes: {answer:?}"));
        }
    }
    let mut once = HashSet::new();
    for event in stored {
        let Some(body) = &event.body else {
            breaks.push(format!("I1 {} cannot be read", event.id));
            continue;
        };
        if !is_genuine(schedule, &event.source, body) {
            breaks.push(format!("I2 {} is stored and nobody signed it", event.id));
        }
        if !once.insert((&event.source, body)) {
            breaks.push(format!("I6 {} is stored twice", event.id));
        }
        let taken = |delivery: &Delivery| {
            let success = matches!(
                delivery.outcome,
                Outcome::Taken { .. } | Outcome::Late { status: 200..300 }
            );
            success && delivery.event == event.id
        };
        if event.state == State::Delivered && !seen.deliveries.iter().any(taken) {
            breaks.push(format!(
                "I1 {} is marked delivered and the app did not say so",
                event.id
            ));
        }
        let refused = |delivery: &Delivery| {
            let for_good = matches!(delivery.outcome, Outcome::Refused { status: 410, .. });
            for_good && delivery.event == event.id
        };
        if event.state == State::Dead && !seen.deliveries.iter().any(refused) {
            breaks.push(format!("I1 {} was given up for nothing", event.id));
        }
    }
    breaks
}

/// Nothing waits any more but what the app fails on each time.
pub(crate) fn drained(schedule: &Schedule, stored: &[Stored]) -> Vec<String> {
    let poison = |event: &&Stored| {
        let is = |message: &Message| message.poison && event.body.as_ref() == Some(&message.body);
        schedule.messages.iter().any(is)
    };
    let waiting = stored.iter().filter(|event| event.state == State::Pending);
    let stuck = waiting.filter(|event| !poison(event));
    stuck
        .map(|event| format!("I8 {} still waits although nothing fails", event.id))
        .collect()
}

/// What senders were told.
pub(crate) fn answers(schedule: &Schedule, seen: &Seen) -> Vec<String> {
    let mut breaks = Vec::new();
    for answer in &seen.answers {
        let genuine = message(schedule, answer).forgery.is_none();
        let allowed = match answer.status {
            200 => genuine && matches!(&*answer.kind, "stored" | "duplicate"),
            401 => !genuine || answer.skewed,
            503 => true,
            408 | 400 => !answer.whole,
            _ => false,
        };
        if !allowed {
            breaks.push(format!("I9 this must not be answered so: {answer:?}"));
        }
    }
    breaks
}

/// What the app got.
pub(crate) fn deliveries(schedule: &Schedule, seen: &Seen) -> Vec<String> {
    let mut breaks = Vec::new();
    let mut latest: HashMap<&str, &Delivery> = HashMap::new();
    for delivery in &seen.deliveries {
        if !is_genuine(schedule, &delivery.source, &delivery.body) {
            breaks.push(format!(
                "I2 delivered, and nobody signed it: {}",
                delivery.event
            ));
        }
        let replayed = |since: Duration| {
            let mut replays = seen.replayed.iter().filter(|(id, _)| *id == delivery.event);
            replays.any(|(_, at)| (since..=delivery.at).contains(at))
        };
        if delivery.replay && !replayed(Duration::ZERO) {
            breaks.push(format!(
                "I5 nobody asked for this again: {}",
                delivery.event
            ));
        }
        if let Some(before) = latest.insert(&delivery.event, delivery)
            && !replayed(before.at)
        {
            breaks.extend(repeat(seen, before, delivery));
        }
    }
    breaks
}

/// No source gets far more first attempts than another whose event waits meanwhile. Looked for where
/// memory holds all that waits: what is on disk has its turn after what was in memory before it.
pub(crate) fn turns(schedule: &Schedule, seen: &Seen) -> Vec<String> {
    if schedule.backlog_bytes < 1 << 20 {
        return Vec::new();
    }
    let first = |delivery: &&Delivery| delivery.attempt == 1 && !delivery.replay;
    let mut breaks = Vec::new();
    for answer in seen.answers.iter().filter(|answer| answer.kind == "stored") {
        let since = |delivery: &&Delivery| delivery.life == answer.life && delivery.at > answer.at;
        let its_own = |delivery: &&Delivery| delivery.event == answer.event;
        let mut tried_before = seen.deliveries.iter().filter(its_own);
        if tried_before.any(|delivery| delivery.at <= answer.at) {
            continue;
        }
        // An attempt that did not reach the app was a turn as well, and nobody saw when: a later attempt
        // gives it away, and the end of a life hides it.
        let its_first = seen.deliveries.iter().find(its_own);
        if its_first.is_none_or(|own| own.attempt > 1 || own.life != answer.life) {
            continue;
        }
        // Where a worker is free its turn comes at once; what comes later is the wire's.
        if app_is_busy_with(seen, answer) < schedule.workers {
            continue;
        }
        let mut counts: HashMap<&str, usize> = HashMap::new();
        let later = seen.deliveries.iter().filter(since);
        let until_its_own = later.take_while(|delivery| !its_own(delivery));
        for delivery in until_its_own.filter(first) {
            *counts.entry(&delivery.source).or_default() += 1;
        }
        let own = counts
            .remove(source_of(message(schedule, answer)))
            .unwrap_or(0);
        let most = counts.values().max().copied().unwrap_or(0);
        if most > 2 * own + TURNS_SLACK {
            breaks.push(format!(
                "I10 {} waited while another source had {most} turns and its own {own}",
                answer.event
            ));
        }
    }
    breaks
}

/// How many attempts the app may have had at that moment.
fn app_is_busy_with(seen: &Seen, moment: &Answer) -> usize {
    let under_way = |delivery: &&Delivery| {
        let over = match delivery.outcome {
            Outcome::Taken { at } | Outcome::Refused { at, .. } => at < moment.at,
            // For as long as somebody waits for it.
            Outcome::Open | Outcome::Late { .. } | Outcome::Unclear => false,
        };
        delivery.life == moment.life && delivery.at <= moment.at && !over
    };
    seen.deliveries.iter().filter(under_way).count()
}

/// Why this event must not come again after that delivery of it.
fn repeat(seen: &Seen, before: &Delivery, again: &Delivery) -> Option<String> {
    if before.body != again.body {
        return Some(format!("I4 {} comes with other bytes", again.event));
    }
    let crashed = before.life != again.life;
    if crashed && died_after(seen, before) {
        return None;
    }
    let told = |why: &str| {
        Some(format!(
            "I5 {} came again {why}: {before:?}, {again:?}",
            again.event
        ))
    };
    match before.outcome {
        Outcome::Taken { .. } => told("after the app had taken it"),
        Outcome::Refused {
            at,
            retry_after: Some(seconds),
            ..
        } if !crashed => {
            let asked = Duration::from_secs(seconds).min(RETRY_MAX);
            (again.at < at + asked)
                .then(|| told("sooner than asked for"))
                .flatten()
        }
        Outcome::Open if !crashed && again.at < before.at + PATIENCE => {
            told("while it was under way")
        }
        // Another copy makes a dead letter due again, from the first attempt.
        Outcome::Refused { status: 410, .. } => None,
        _ if !crashed && again.attempt <= before.attempt => told("as the same attempt"),
        Outcome::Open | Outcome::Unclear | Outcome::Late { .. } | Outcome::Refused { .. } => None,
    }
}

/// A life ended without order at or after this delivery.
fn died_after(seen: &Seen, delivery: &Delivery) -> bool {
    seen.crashes.iter().any(|at| *at >= delivery.at)
}

/// How often the app got an event again.
pub(crate) fn repeats(seen: &Seen) -> usize {
    let events: HashSet<_> = seen.deliveries.iter().map(|one| &one.event).collect();
    seen.deliveries.len() - events.len()
}

/// How many requests were acknowledged.
pub(crate) fn acknowledgements(seen: &Seen) -> usize {
    acknowledged(seen).count()
}
