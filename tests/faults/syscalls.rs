//! The program is killed at one system call of its store after the other. Needs `strace`, which may attach
//! to a process of ours.
//!
//! `HOOKGATE_TEST_SYSCALLS` (6) calls in each of four scripts, evenly spread, or all if there are fewer.

use crate::oracle::{Ledger, Scene, Tally};
use crate::program::Home;
use crate::strace::{self, CHECKPOINTER, STORE_CALLS, Trace, WRITER};
use crate::support::eventually;
use crate::support::sender::Sender;
use crate::{Round, sized};

/// Events of a script.
const EVENTS: usize = 20;
/// Bytes more in every body that make those the journal of one checkpoint.
const BALLAST: usize = 150_000;

/// What the program does while it is killed.
#[derive(Clone, Copy, Debug)]
enum Script {
    /// It makes a store.
    Create,
    /// It starts on what a killed one left.
    Recover,
    /// It takes events, settles them, and ends.
    Commit,
    /// It moves the journal into the file, and marks how far it has come.
    Checkpoint,
}

/// A call, and which of that name it is.
type Call = (String, usize);

/// Runs a script once, killed at a call if one is told; the calls that it made, whether it was killed.
async fn run(script: Script, kill_at: Option<&Call>) -> (Vec<Call>, bool, Tally) {
    let mut scene = Scene::new(Home::new(&Sender::new("stripe"))).await;
    if matches!(script, Script::Checkpoint) {
        scene.ledger = Ledger::with_ballast(&scene.home, BALLAST);
    }
    let injection = kill_at.map(|(name, n)| format!("{name}:signal=KILL:when={n}"));
    let trace = Trace::of(&scene.home, STORE_CALLS, injection.as_deref());
    if matches!(script, Script::Recover) {
        let program = scene.start();
        scene.home.ready().await;
        assert_eq!(scene.ledger.post_many(EVENTS).await, EVENTS);
        program.kill();
    }
    let killed = match script {
        Script::Create | Script::Recover => {
            let mut program = scene.start_under(&trace.wrapper());
            eventually("a start or an end", async || {
                !program.runs() || scene.home.is_ready().await
            })
            .await;
            let killed = !program.runs();
            program.kill();
            killed
        }
        Script::Commit | Script::Checkpoint => {
            let thread = if matches!(script, Script::Commit) {
                WRITER
            } else {
                CHECKPOINTER
            };
            let program = scene.start();
            scene.home.ready().await;
            let attached = trace.attach(&program, thread).await;
            let acknowledged = scene.ledger.post_many(EVENTS).await;
            program.terminate();
            let code = program.ended().await;
            attached.ended();
            assert!(code == Some(0) || code.is_none(), "{code:?}");
            assert!(
                acknowledged == EVENTS || code.is_none(),
                "refused without a reason"
            );
            code.is_none()
        }
    };
    let calls = trace.calls();
    assert!(kill_at.is_some() || !killed, "killed by somebody else");
    let program = scene.start();
    scene.home.ready().await;
    assert_eq!(scene.ledger.post_many(1).await, 1);
    (calls, killed, scene.settle(program, &[]).await)
}

async fn killed_at_every_call_of(script: Script) {
    if strace::is_there().is_none() {
        return;
    }
    let most = sized("HOOKGATE_TEST_SYSCALLS", 6);
    for mut round in Round::all("syscalls", most, most) {
        let (calls, _, mut tally) = run(script, None).await;
        let kills = usize::try_from(most).map_or(calls.len(), |most| most.min(calls.len()));
        let mut killed = 0;
        for n in 0..kills {
            let share = n * calls.len() / kills..(n + 1) * calls.len() / kills;
            let call = &calls[round.random.usize(share)];
            let (_, hit, more) = run(script, Some(call)).await;
            killed += usize::from(hit);
            tally += more;
        }
        let calls = calls.len();
        println!("syscalls: {script:?} killed at {killed} of {calls} calls: {tally}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_any_call_while_it_makes_its_store_it_starts_again() {
    killed_at_every_call_of(Script::Create).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_any_call_of_a_recovery_it_loses_nothing() {
    killed_at_every_call_of(Script::Recover).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_any_call_of_its_commits_it_loses_nothing_that_it_acknowledged() {
    killed_at_every_call_of(Script::Commit).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_at_any_call_of_a_checkpoint_it_loses_nothing_that_it_acknowledged() {
    killed_at_every_call_of(Script::Checkpoint).await;
}
