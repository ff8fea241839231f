//! Hostile connections of thirteen kinds, twenty from each address, opened again as they are closed, and
//! genuine senders that must not notice.
//!
//! | kind | what it does |
//! |---|---|
//! | 0 | says nothing |
//! | 1 | writes one byte |
//! | 2 | writes a head, a header at a time, without end |
//! | 3 | writes a body, a byte at a time |
//! | 4 | writes a head of 31 KB that is not complete |
//! | 5 | writes forged requests and never reads an answer |
//! | 6 | writes most of HTTP/2's preface |
//! | 7 | opens as many streams as it may, each with a byte of a body that never ends |
//! | 8 | floods HTTP/2 with pings and streams that it resets at once |
//! | 9 | writes a body of a megabyte but for its last byte |
//! | 10 | writes forged requests as fast as they are answered |
//! | 11 | as 7, with 14 KB of headers in each stream |
//! | 12 | as 7, with 15 KB of headers in each stream that are four bytes: the decoder has to remember them |

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::runtime::Handle;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};

use crate::machine::{Cgroup, descriptors, figure, in_own_network};
use crate::peers::{KINDS, Script, connect};
use crate::program::Home;
use crate::size;
use crate::support::app::App;
use crate::support::eventually;
use crate::support::sender::{Sender, bytes};

const GATE: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::new(198, 18, 0, 1)), 8080);
/// Hostile connections with the same address.
const CROWD: usize = 20;
/// A genuine sender gives up after this time, as providers do.
const SENDERS_PATIENCE: Duration = Duration::from_secs(5);
/// A hostile connection that has ended is opened again after this time: from elsewhere that costs a
/// round trip or two.
const REOPENS: Duration = Duration::from_millis(100);
/// Genuine events: one in so many milliseconds.
const PACE: Duration = Duration::from_millis(20);

/// One genuine event over a connection of its own: as they come, so that each needs a slot.
async fn send(sender: &Sender, n: usize) -> Result<(), String> {
    let from = Ipv4Addr::new(198, 18, 200, u8::try_from(n % 8 + 1).expect("small"));
    let request = bytes(&sender.event(&format!("evt_{n}")));
    let exchange = async {
        let mut connection = connect(from, GATE).await?;
        connection.write_all(&request).await?;
        let mut answer = [0; 12];
        connection.read_exact(&mut answer).await?;
        std::io::Result::Ok(answer)
    };
    match timeout(SENDERS_PATIENCE, exchange).await {
        Ok(Ok(answer)) if answer == *b"HTTP/1.1 200" => Ok(()),
        Ok(Ok(answer)) => Err(String::from_utf8_lossy(&answer).into_owned()),
        Ok(Err(error)) => Err(error.to_string()),
        Err(elapsed) => Err(elapsed.to_string()),
    }
}

fn addresses(connections: usize) -> usize {
    connections.div_ceil(CROWD).max(1)
}

#[derive(Default)]
struct Attack {
    over: AtomicBool,
    connections: AtomicUsize,
}

impl Attack {
    fn start(self: &Arc<Self>, connections: usize, on: &Handle) -> JoinSet<()> {
        let mut peers = JoinSet::new();
        let script = Arc::new(Script::new(GATE));
        let only = size("HOSTILE_KIND", KINDS);
        for n in 0..connections {
            let (attack, script) = (Arc::clone(self), Arc::clone(&script));
            let host = u8::try_from(n % addresses(connections) + 1).expect("small");
            let from = Ipv4Addr::new(198, 18, 100, host);
            let lasting = async move {
                while !attack.over.load(Ordering::Relaxed) {
                    attack.connections.fetch_add(1, Ordering::Relaxed);
                    let kind = if only < KINDS { only } else { n % KINDS };
                    let _ = script.play(kind, from).await; // an error is an end like any other
                    sleep(REOPENS).await;
                }
            };
            peers.spawn_on(lasting, on);
        }
        peers
    }
}

/// The genuine senders' events for so long: the time of each that was acknowledged, and what became of
/// the others.
async fn genuine(sender: &Sender, how_long: Duration) -> (Vec<Duration>, BTreeMap<String, usize>) {
    let end = Instant::now() + how_long;
    let mut pace = interval(PACE);
    pace.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut sends = JoinSet::new();
    let mut n = 0;
    while Instant::now() < end {
        pace.tick().await;
        let sender = sender.clone();
        sends.spawn(async move {
            let began = Instant::now();
            send(&sender, n).await.map(|()| began.elapsed())
        });
        n += 1;
    }
    let (mut times, mut others) = (Vec::new(), BTreeMap::new());
    for sent in sends.join_all().await {
        match sent {
            Ok(time) => times.push(time),
            Err(why) => *others.entry(why).or_insert(0) += 1,
        }
    }
    (times, others)
}

fn percentile(sorted: &[Duration], percent: f64) -> u128 {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a place in a list"
    )]
    let at = (sorted.len() as f64 * percent / 100.0) as usize;
    sorted
        .get(at.min(sorted.len().saturating_sub(1)))
        .map_or(0, Duration::as_millis)
}

#[test]
fn genuine_senders_do_not_notice_hostile_ones() {
    if !in_own_network("mix::genuine_senders_do_not_notice_hostile_ones") {
        return;
    }
    let Some(cgroup) = Cgroup::new(size("MEMORY_MIB", 64)) else {
        return;
    };
    let hostile = runtime(|| {
        // They have machines of their own in the field, and here take what time others leave.
        rustix::process::setpriority_process(None, 19).expect("a low priority of this thread");
    });
    runtime(|| ()).block_on(run(&cgroup, hostile.handle()));
    hostile.shutdown_background();
}

fn runtime(on_start: impl Fn() + Send + Sync + 'static) -> tokio::runtime::Runtime {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(2).enable_all();
    let builder = builder.on_thread_start(on_start);
    builder.build().expect("a runtime")
}

async fn run(cgroup: &Cgroup, hostile: &Handle) {
    let stripe = Sender::new("stripe");
    let mut home = Home::new(&stripe);
    home.set("server.listen", &GATE.to_string());
    let connections = size("HOSTILE_CONNECTIONS", 100);
    if connections < 2000 {
        // As few slots, in proportion, as the default is for two thousand.
        home.set("server.connections_max", &(connections / 2).to_string());
    }
    let mut program = home.start_under(&cgroup.around());
    home.ready().await;
    let app = App::start(&home.app()).await;
    let sent = send(&stripe, 1_000_000).await;
    assert_eq!(sent, Ok(()), "{}", home.log());
    app.received(1).await;
    let before = descriptors(program.pid());

    let attack = Arc::new(Attack::default());
    let mut peers = attack.start(connections, hostile);
    let seconds = size("HOSTILE_SECONDS", 5);
    let how_long = Duration::from_secs(seconds.try_into().expect("small"));
    let (mut times, others) = genuine(&stripe, how_long).await;
    let crowded_out = match program.runs() {
        true => home.metric("hookgate_connections_crowded_out_total").await,
        false => f64::NAN,
    };
    attack.over.store(true, Ordering::Relaxed);
    peers.shutdown().await;

    times.sort_unstable();
    let sent = times.len() + others.values().sum::<usize>();
    #[expect(clippy::cast_precision_loss, reason = "for people")]
    let success = 100.0 * times.len() as f64 / sent as f64;
    let (p50, p99) = (percentile(&times, 50.0), percentile(&times, 99.0));
    let runs = program.runs();
    let lines = home.log().lines().count();
    let peak = runs.then(|| figure(program.pid(), "status", "VmHWM") / 1024);
    println!(
        "hostile mix: {} connections of {KINDS} kinds from {} addresses in {seconds} s, \
         {crowded_out} crowded out; genuine: {} of {sent} acknowledged ({success:.2} %, others: {others:?}), p50 {p50} ms, \
         p99 {p99} ms, longest {} ms; memory: {} MiB resident, {:.1} MiB of the group at most, {} killed; \
         descriptors: {before} before; {lines} log lines",
        attack.connections.load(Ordering::Relaxed),
        addresses(connections),
        times.len(),
        times.last().map_or(0, Duration::as_millis),
        peak.unwrap_or(0),
        cgroup.peak_mib(),
        cgroup.killed(),
    );
    assert!(runs && cgroup.killed() == 0, "{}", home.log());
    let opened = attack.connections.load(Ordering::Relaxed);
    assert!(opened >= 2 * connections, "{opened}: that was no attack");
    assert!(success >= 99.9, "{success} %");
    // Of each kind of line twenty at once and five a second, and there are two kinds here.
    assert!(lines <= 2 * (20 + 5 * (seconds + 2)), "{}", home.log());
    let limit = size("HOSTILE_P99_MILLIS", 0);
    assert!(limit == 0 || p99 <= limit as u128, "{p99} ms");
    app.received(times.len() + 1).await;
    app.stop().await; // with the connections that are kept to it
    eventually("the end of all hostile connections", async || {
        descriptors(program.pid()).abs_diff(before) <= 2
    })
    .await;
    program.terminate();
    assert_eq!(program.ended().await, Some(0), "{}", home.log());
}
