//! Runs the cases of `http1.toml`.
//!
//! A step is bytes (see [`Parts`]) or an instruction: `@pass 5s` lets time pass, `@deadline 10s`
//! too, but a millisecond before its end nothing may have happened yet; `@answer` waits for one
//! more answer; `@end` closes the sender's half.
//!
//! An expectation is the list of all answers' statuses, then `closed` or `open`, then how many
//! events are `stored`, if not none. What the gate closes, it must not read from: unless time
//! passes or `alone` is added, each case is run once more with a good request right behind, which
//! must not be taken. What it leaves open must take that request, both right behind and later.

use std::fmt::Write as _;
use std::time::Duration;

use crate::bytes::Parts;
use crate::cases::{Case, chosen};
use crate::scene::Scene;
use crate::support::http::find;
use crate::wire::{Seen, Wire, pass, settle};

/// What must come of a case.
struct Expectation {
    statuses: Vec<u16>,
    closed: bool,
    stored: usize,
    alone: bool,
}

impl Expectation {
    fn read(case: &Case) -> Self {
        let mut expectation = Self {
            statuses: Vec::new(),
            closed: true,
            stored: 0,
            alone: case.steps.iter().any(|step| step.starts_with('@')),
        };
        for word in case.expect.split(',').map(str::trim) {
            match word.split_once(' ') {
                Some(("stored", count)) => expectation.stored = count.parse().expect("a count"),
                _ if word == "stored" => expectation.stored = 1,
                _ if word == "closed" => expectation.closed = true,
                _ if word == "open" => expectation.closed = false,
                _ if word == "alone" => expectation.alone = true,
                _ => expectation.statuses.push(word.parse().expect("a status")),
            }
        }
        expectation
    }
}

/// The statuses of all complete answers.
fn statuses(seen: &Seen) -> Vec<u16> {
    let mut statuses = Vec::new();
    let mut rest = &seen.bytes[..];
    while let Some(end) = find(rest, b"\r\n\r\n") {
        let head = String::from_utf8_lossy(&rest[..end]).into_owned();
        let status = head.split(' ').nth(1).and_then(|text| text.parse().ok());
        statuses.push(status.unwrap_or_else(|| panic!("no status in {head}")));
        let mut lines = head.split("\r\n").filter_map(|line| line.split_once(": "));
        let length = lines.find(|(name, _)| *name == "content-length");
        let length = length.map_or(0, |(_, value)| value.parse().expect("a length"));
        rest = &rest[end + 4..];
        // The answer to a HEAD has a length and no body.
        if !rest.starts_with(b"HTTP/1.") {
            rest = rest.get(length..).unwrap_or_default();
        }
    }
    statuses
}

#[tokio::test(start_paused = true)]
async fn what_is_written_over_http1_is_answered_as_it_should_be() {
    let mut scene = Scene::new().await;
    let cases = chosen(include_str!("http1.toml"));
    let (mut runs, mut faults) = (0, String::new());
    for case in &cases {
        let expectation = Expectation::read(case);
        let followed: &[bool] = if expectation.alone {
            &[false]
        } else {
            &[false, true]
        };
        for followed in followed {
            runs += 1;
            let result = run(&mut scene, case, &expectation, *followed).await;
            let after = scene.check().await;
            if let Err(fault) = result.and(after) {
                let behind = if *followed {
                    " (another request behind)"
                } else {
                    ""
                };
                let _ = writeln!(faults, "{}: {}{behind}: {fault}", case.rule, case.name);
            }
        }
    }
    let forwarded = scene.stop().await;
    let wrong = faults.lines().count();
    assert_eq!(
        wrong, 0,
        "\n{faults}{wrong} wrong; see one alone with HOOKGATE_TEST_CASE='its name'"
    );
    println!(
        "http1: {} cases, {runs} runs, {forwarded} events forwarded, 0 wrong",
        cases.len()
    );
}

async fn run(
    scene: &mut Scene,
    case: &Case,
    expectation: &Expectation,
    followed: bool,
) -> Result<(), String> {
    let (event, next) = (scene.event(), scene.event());
    let parts = Parts::of(&event);
    let next = Parts::of(&next).fill("<good>");
    let mut wire = Wire::open(scene.address()).await;
    let mut wanted = expectation.statuses.clone();
    let last = case.steps.len() - 1;
    for (n, step) in case.steps.iter().enumerate() {
        match step.strip_prefix('@') {
            Some(instruction) => obey(instruction, &mut wire).await?,
            None => {
                let mut bytes = parts.fill(step);
                if followed && n == last {
                    bytes.extend_from_slice(&next);
                }
                wire.write(&bytes).await;
            }
        }
    }
    scene.stored += expectation.stored;
    if followed && !expectation.closed {
        wanted.push(200);
        scene.stored += 1;
    }
    outcome(&mut wire, &wanted, expectation.closed).await?;
    if !expectation.closed {
        wire.write(&if followed { parts.fill("<good>") } else { next })
            .await;
        wanted.push(200);
        // After its own event was stored, this one is its repeat.
        scene.stored += usize::from(!followed || expectation.stored == 0);
        outcome(&mut wire, &wanted, false).await?;
    }
    Ok(())
}

pub(crate) async fn obey(instruction: &str, wire: &mut Wire) -> Result<(), String> {
    let (word, time) = instruction.split_once(' ').unwrap_or((instruction, ""));
    let seconds = || Duration::from_secs(time.trim_end_matches('s').parse().expect("seconds"));
    let came = |wire: &Wire| wire.seen().bytes.len();
    match word {
        "pass" => pass(seconds()).await,
        "deadline" => {
            settle().await;
            let before = came(wire);
            pass(seconds() - Duration::from_millis(1)).await;
            if came(wire) > before || wire.seen().closed {
                return Err(format!("ended before {time}"));
            }
            pass(Duration::from_millis(2)).await;
        }
        "answer" => {
            let known = statuses(&wire.seen()).len();
            wire.until(|seen| seen.closed || statuses(seen).len() > known)
                .await;
        }
        "end" => wire.end().await,
        other => panic!("@{other} means nothing"),
    }
    Ok(())
}

/// Waits for these answers and the end, and says what came instead.
async fn outcome(wire: &mut Wire, wanted: &[u16], closed: bool) -> Result<(), String> {
    wire.until(|seen| seen.closed || (!closed && statuses(seen).len() >= wanted.len()))
        .await;
    settle().await;
    let seen = wire.seen();
    let came = statuses(&seen);
    let how = |closed| if closed { "closed" } else { "open" };
    if came == wanted && seen.closed == closed {
        return Ok(());
    }
    Err(format!(
        "expected {wanted:?} {}, came {came:?} {}",
        how(closed),
        how(seen.closed)
    ))
}
