//! The program is ended under load in every way that there is, and started again. Needs nothing.
//!
//! `HOOKGATE_TEST_KILLS` (20) SIGKILLs at other moments each time, `HOOKGATE_TEST_ENDS` (12) ends of all
//! kinds: also while it starts, a second SIGTERM, a SIGKILL when the grace period is over.

use std::time::Duration;

use crate::oracle::{Load, Scene, Tally, drained};
use crate::program::{Home, Program};
use crate::support::app::Reply;
use crate::support::eventually;
use crate::support::sender::Sender;
use crate::{Round, sized};

/// Events are kept in memory by the oracle, so a store is used for so many starts only.
const STARTS_PER_STORE: u64 = 50;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_again_and_again_under_load_it_loses_nothing_that_it_acknowledged() {
    let kills = sized("HOOKGATE_TEST_KILLS", 20);
    let mut tally = Tally::default();
    for mut round in Round::all("kills", kills, STARTS_PER_STORE) {
        let mut scene = Scene::new(Home::new(&Sender::new("stripe"))).await;
        let load = Load::start(&scene.ledger, 16, Duration::ZERO);
        for _ in 0..round.size {
            let program = scene.start();
            // Another number each time, so that the kill meets other moments.
            scene.ledger.acknowledges(round.random.usize(20..120)).await;
            program.kill();
        }
        let program = scene.start();
        load.end().await;
        tally += scene.settle(program, &[]).await;
    }
    println!("kills: {kills} under load: {tally}");
}

/// How a process comes to its end.
#[derive(Clone, Copy, Debug)]
enum End {
    /// SIGTERM, and it may take its time.
    Term,
    /// SIGTERM, and SIGKILL while it is still stopping.
    TermThenKill,
    /// SIGTERM twice, while attempts are under way that the first one would wait for.
    TermTwice,
    /// SIGTERM while it starts, recovery included.
    TermWhileStarting,
    /// SIGKILL while it starts, recovery included.
    KillWhileStarting,
}

impl End {
    const ALL: [Self; 5] = [
        Self::Term,
        Self::TermThenKill,
        Self::TermTwice,
        Self::TermWhileStarting,
        Self::KillWhileStarting,
    ];

    async fn bring(self, program: Program, scene: &Scene, random: &mut fastrand::Rng) {
        let moment = Duration::from_micros(random.u64(0..40_000));
        match self {
            Self::Term => {
                scene.ledger.acknowledges(random.usize(1..60)).await;
                program.terminate();
                assert_eq!(program.ended().await, Some(0), "{}", scene.home.log());
            }
            Self::TermThenKill => {
                scene.ledger.acknowledges(random.usize(1..60)).await;
                program.terminate();
                tokio::time::sleep(moment).await; // the moment is what is tested
                program.kill();
            }
            Self::TermTwice => {
                let seen = scene.app.deliveries().len();
                scene.app.script(|_| Reply::Held);
                scene.app.received(seen + 1).await;
                program.terminate();
                eventually("the end of intake", async || {
                    scene.home.gate().connect().await.is_err()
                })
                .await;
                program.terminate();
                assert_eq!(program.ended().await, Some(0), "{}", scene.home.log());
                scene.app.script(|_| Reply::ok());
            }
            Self::TermWhileStarting => {
                tokio::time::sleep(moment).await; // the moment is what is tested
                program.terminate();
                // Before it listens for signals, the system ends it.
                let code = program.ended().await;
                assert!(
                    matches!(code, None | Some(0)),
                    "{code:?} {}",
                    scene.home.log()
                );
            }
            Self::KillWhileStarting => {
                tokio::time::sleep(moment).await; // the moment is what is tested
                program.kill();
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ended_in_every_way_under_load_it_loses_nothing_that_it_acknowledged() {
    let ends = sized("HOOKGATE_TEST_ENDS", 12);
    let mut tally = Tally::default();
    for mut round in Round::all("ends", ends, STARTS_PER_STORE) {
        let mut scene = Scene::new(Home::new(&Sender::new("stripe"))).await;
        let load = Load::start(&scene.ledger, 16, Duration::ZERO);
        for n in 0..round.size {
            let program = scene.start();
            // All of them, then by chance.
            let chosen = usize::try_from(n).ok().and_then(|n| End::ALL.get(n));
            let end = chosen.copied().or_else(|| round.random.choice(End::ALL));
            end.expect("there are some")
                .bring(program, &scene, &mut round.random)
                .await;
        }
        let program = scene.start();
        load.end().await;
        tally += scene.settle(program, &[]).await;
    }
    println!(
        "ends: {ends} of {} kinds under load: {tally}",
        End::ALL.len()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn asked_to_end_under_load_it_exits_0_and_repeats_nothing() {
    let mut scene = Scene::new(Home::new(&Sender::new("stripe"))).await;
    let load = Load::start(&scene.ledger, 16, Duration::ZERO);
    for _ in 0..3 {
        let program = scene.start();
        scene.ledger.acknowledges(100).await;
        program.terminate();
        assert_eq!(program.ended().await, Some(0), "{}", scene.home.log());
    }
    let program = scene.start();
    load.end().await;
    drained(&scene.home).await;
    program.terminate();
    assert_eq!(program.ended().await, Some(0));

    let tally = scene.ledger.check(&scene.app.stop().await, scene.starts);
    assert_eq!(tally.repeats, 0);
    println!("orderly ends: 4 under load: {tally}");
}
