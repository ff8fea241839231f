//! The program is replaced again and again under load, as a deployment does it: drained, told to end, started
//! anew at the same address over the same store. Needs nothing.
//!
//! `HOOKGATE_TEST_RESTARTS` (4) replacements at `HOOKGATE_TEST_RATE` (200) requests a second. Half of the
//! senders keep their connection, half open one for each request; all repeat an event until it is
//! acknowledged, as providers do, and write down what they met: a 503, no listener, or a connection that
//! ended without an answer to what they had asked.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use hookgate::net::Address;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

use crate::oracle::{Ledger, Scene};
use crate::program::Home;
use crate::sized;
use crate::support::http::{Answer, Connection};
use crate::support::sender::Sender;
use crate::support::within;

/// Senders, each with its share of the rate.
const SENDERS: u64 = 40;

/// What senders met.
#[derive(Default)]
struct Met {
    requests: AtomicUsize,
    /// Nobody listened.
    refused: AtomicUsize,
    /// The connection ended without an answer: one that had been used before,
    cut_when_kept: AtomicUsize,
    /// or a new one.
    cut_when_new: AtomicUsize,
}

/// An address of this machine that no other process uses: ports of 127.0.0.1 may be given away while
/// nobody listens.
fn own_address() -> String {
    let pid = std::process::id();
    let [_, a, b, c] = (pid & 0x00ff_ffff).to_be_bytes();
    format!("127.{}.{b}.{}:18080", a.max(1), c.clamp(1, 254))
}

async fn send(
    ledger: Arc<Ledger>,
    met: Arc<Met>,
    enough: Arc<AtomicBool>,
    keeps: bool,
    pause: Duration,
) {
    let mut kept: Option<Connection> = None;
    let mut next_at = Instant::now();
    while !enough.load(Ordering::Relaxed) {
        let n = ledger.next();
        let acknowledged = async {
            loop {
                let is_new = kept.is_none();
                let connection = match kept.take() {
                    Some(connection) => Ok(connection),
                    None => ledger.gate().connect().await.map(Connection::over),
                };
                let Ok(mut connection) = connection else {
                    met.refused.fetch_add(1, Ordering::Relaxed);
                    sleep(Duration::from_millis(50)).await; // between two tries
                    continue;
                };
                met.requests.fetch_add(1, Ordering::Relaxed);
                let answer = ledger.answer(&mut connection, n).await;
                let stays = |answer: &Answer| answer.header("connection") != Some("close");
                if keeps && answer.as_ref().is_some_and(stays) {
                    kept = Some(connection);
                }
                match answer {
                    Some(answer) if answer.status == 200 => return,
                    Some(_) => {}
                    None if is_new => drop(met.cut_when_new.fetch_add(1, Ordering::Relaxed)),
                    None => drop(met.cut_when_kept.fetch_add(1, Ordering::Relaxed)),
                }
                sleep(Duration::from_millis(50)).await; // between two tries
            }
        };
        within("an acknowledgement", acknowledged).await;
        next_at += pause;
        sleep_until(next_at).await; // a sender's own pace
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replaced_again_and_again_under_load_it_loses_nothing_and_cuts_off_nobody_it_kept() {
    let restarts = sized("HOOKGATE_TEST_RESTARTS", 4);
    let rate = sized("HOOKGATE_TEST_RATE", 200);
    let mut home = Home::new(&Sender::new("stripe"));
    let address = own_address();
    home.set("server.listen", &address);
    home.set("server.drain.accept_for", "500ms");
    let address: Address = address.parse().expect("an address");
    let mut scene = Scene::at(home, address).await;
    let mut program = scene.start();
    scene.home.ready().await;

    let (met, enough) = (Arc::<Met>::default(), Arc::<AtomicBool>::default());
    let mut senders = JoinSet::new();
    let pause = Duration::from_millis(SENDERS * 1_000 / rate);
    for n in 0..SENDERS {
        let (ledger, met) = (Arc::clone(&scene.ledger), Arc::clone(&met));
        let enough = Arc::clone(&enough);
        senders.spawn(async move {
            sleep(pause.mul_f64(n as f64 / SENDERS as f64)).await; // not all at once
            send(ledger, met, enough, n % 2 == 0, pause).await;
        });
    }
    for _ in 0..restarts {
        scene
            .ledger
            .acknowledges(usize::try_from(rate).expect("small"))
            .await;
        let mut drain = scene.home.command::<&str>(&[]);
        drain.env("HOOKGATE_ADMIN", scene.home.admin().to_string());
        drain.args(["drain", "--wait"]);
        let drained = tokio::task::spawn_blocking(move || drain.output());
        let drained = within("a drain", drained)
            .await
            .expect("no panic")
            .expect("the program");
        assert!(drained.status.success(), "{drained:?}");
        program.terminate();
        assert_eq!(program.ended().await, Some(0), "{}", scene.home.log());
        program = scene.start();
    }
    scene.home.ready().await;
    enough.store(true, Ordering::Relaxed);
    within("the last acknowledgements", senders.join_all()).await;

    let tally = scene.settle(program, &[]).await;
    let count = |counter: &AtomicUsize| counter.load(Ordering::Relaxed);
    println!(
        "rolling restarts: {restarts} at {rate} a second: {} requests, {tally}; {} found nobody listening, cut off: {} kept \
         and {} new connections",
        count(&met.requests),
        count(&met.refused),
        count(&met.cut_when_kept),
        count(&met.cut_when_new),
    );
    assert!(tally.acknowledged >= usize::try_from(restarts * rate).expect("small"));
    assert_eq!(tally.repeats, 0, "an orderly end repeats nothing");
    // A new one may be reset in the moment in which the listener closes; the system gives no way around it.
    assert_eq!(count(&met.cut_when_kept), 0, "cut off without a word");
}
