//! Runs the cases of `http2.toml`.
//!
//! A step is a frame (see `frames.rs`) or an instruction as in `http1.rs`. The preface and the
//! sender's SETTINGS come first, unless the first step is `bare`. `100 * PING` is a frame a hundred
//! times; `{n}` in it is 1, 3, 5, ..., and ` ;; ` separates frames that are repeated together.
//!
//! An expectation is what came of each stream (`1: 200`, `3: RST CANCEL`), then `GOAWAY` and its
//! code, then `closed` or `open`, then how many events are `stored`, if not none. With `flood`, what
//! came of streams does not matter. What is open must take one more request, on stream 2001.

use std::fmt::Write as _;

use hookgate::verify::Unsigned;

use crate::bytes::Parts;
use crate::cases::{Case, chosen};
use crate::frames::{PREFACE, encode, outcomes};
use crate::http1::obey;
use crate::scene::Scene;
use crate::wire::{Wire, settle};

/// What must come of a case.
struct Expectation {
    outcomes: Vec<String>,
    closed: bool,
    flood: bool,
    stored: usize,
}

impl Expectation {
    fn read(text: &str) -> Self {
        let mut expectation = Self {
            outcomes: Vec::new(),
            closed: true,
            flood: false,
            stored: 0,
        };
        for item in text.split(',').map(str::trim) {
            match item {
                "closed" => expectation.closed = true,
                "open" => expectation.closed = false,
                "flood" => expectation.flood = true,
                "stored" => expectation.stored = 1,
                _ => match item.strip_prefix("stored ") {
                    Some(count) => expectation.stored = count.parse().expect("a count"),
                    None => expectation.outcomes.push(item.to_owned()),
                },
            }
        }
        expectation
    }

    fn came(&self, bytes: &[u8]) -> Vec<String> {
        let mut came = outcomes(bytes);
        came.retain(|outcome| !self.flood || outcome.starts_with("GOAWAY"));
        came
    }

    /// Waits for it, and says what came instead.
    async fn met(&self, wire: &mut Wire) -> Result<(), String> {
        let complete = |bytes: &[u8]| !self.closed && self.came(bytes) == self.outcomes;
        wire.until(|seen| seen.closed || complete(&seen.bytes))
            .await;
        settle().await;
        let seen = wire.seen();
        let (came, how) = (self.came(&seen.bytes), |closed| {
            if closed { "closed" } else { "open" }
        });
        if came == self.outcomes && seen.closed == self.closed {
            return Ok(());
        }
        let (wanted, closed) = (self.outcomes.join(", "), how(self.closed));
        let came = came.join(", ");
        Err(format!(
            "expected {wanted} {closed}, came {came} {}",
            how(seen.closed)
        ))
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_written_over_http2_is_answered_as_it_should_be() {
    let mut scene = Scene::new().await;
    let cases = chosen(include_str!("http2.toml"));
    let mut faults = String::new();
    for case in &cases {
        let result = run(&mut scene, case).await;
        let after = scene.check().await;
        if let Err(fault) = result.and(after) {
            let _ = writeln!(faults, "{}: {}: {fault}", case.rule, case.name);
        }
    }
    let forwarded = scene.stop().await;
    let wrong = faults.lines().count();
    assert_eq!(
        wrong, 0,
        "\n{faults}{wrong} wrong; see one alone with HOOKGATE_TEST_CASE='its name'"
    );
    println!(
        "http2: {} cases, {forwarded} events forwarded, 0 wrong",
        cases.len()
    );
}

async fn run(scene: &mut Scene, case: &Case) -> Result<(), String> {
    let (event, next) = (scene.event(), scene.event());
    let mut expectation = Expectation::read(&case.expect);
    let mut wire = Wire::open(scene.address()).await;
    let steps = match case.steps.split_first() {
        Some((first, rest)) if first == "bare" => rest,
        _ => {
            wire.write(&beginning()).await;
            &case.steps
        }
    };
    for step in steps {
        match step.strip_prefix('@') {
            Some("answer") => {
                let known = outcomes(&wire.seen().bytes).len();
                wire.until(|seen| seen.closed || outcomes(&seen.bytes).len() > known)
                    .await;
            }
            Some(instruction) => obey(instruction, &mut wire).await?,
            None => wire.write(&frames(step, &Parts::of(&event))).await,
        }
    }
    scene.stored += expectation.stored;
    expectation.met(&mut wire).await?;
    if !expectation.closed {
        let parts = Parts::of(&next);
        wire.write(&encode("HEADERS 2001 EH <fields>", &parts))
            .await;
        wire.write(&encode("DATA 2001 ES <body>", &parts)).await;
        scene.stored += 1;
        if !expectation.flood {
            expectation.outcomes.push("2001: 200".to_owned());
        }
        wire.until(|seen| outcomes(&seen.bytes).contains(&"2001: 200".to_owned()) || seen.closed)
            .await;
        expectation.met(&mut wire).await?;
    }
    Ok(())
}

/// What comes first: no table for headers, so that every answer names its status.
pub(crate) fn beginning() -> Vec<u8> {
    [PREFACE, &bytes("SETTINGS 1=0")].concat()
}

/// An event, on the first stream.
pub(crate) fn request(event: &Unsigned) -> Vec<u8> {
    let parts = Parts::of(event);
    ["HEADERS 1 EH <fields>", "DATA 1 ES <body>"]
        .map(|step| encode(step, &parts))
        .concat()
}

/// The bytes of a step in which there is no event.
pub(crate) fn bytes(step: &str) -> Vec<u8> {
    let none = Unsigned {
        method: http::Method::GET,
        url: String::new(),
        headers: Vec::new(),
        body: bytes::Bytes::new(),
    };
    frames(step, &Parts::of(&none))
}

/// A frame, or some frames again and again.
fn frames(step: &str, parts: &Parts<'_>) -> Vec<u8> {
    let repeated = step.split_once(" * ");
    let counted = repeated.and_then(|(count, frames)| Some((count.parse().ok()?, frames)));
    let (count, frames) = counted.unwrap_or((1, step));
    let mut bytes = Vec::new();
    for n in 0..count {
        let stream = (2 * n + 1).to_string();
        for frame in frames.split(" ;; ") {
            bytes.extend(encode(&frame.replace("{n}", &stream), parts));
        }
    }
    bytes
}
