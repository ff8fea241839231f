//! What was answered 200 reaches the app, whatever happens to the gate, the app or the disk: the
//! real program, killed under load, with its app down, with its disk full.
//!
//! `HOOKGATE_CRASHES` (20) and `HOOKGATE_OUTAGE_SECONDS` (5) make it longer.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr,
    reason = "helpers of tests fail loudly and say what they counted or skipped"
)]

mod program;
#[path = "it/support/mod.rs"]
#[expect(dead_code, reason = "shared with the integration tests")]
mod support;

use std::collections::HashMap;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hookgate::net::Address;
use tokio::sync::watch;
use tokio::task::JoinSet;

use program::{Home, Program};
use support::app::{App, Delivery};
use support::http::{Answer, Connection};
use support::sender::{Sender, bytes};
use support::{eventually, within};

const PENDING: &str = r#"hookgate_events{source="stripe",state="pending"}"#;

fn from_environment(name: &str, default: u64) -> u64 {
    #[expect(clippy::disallowed_methods, reason = "not the program's configuration")]
    let text = std::env::var(name);
    text.map_or(default, |text| text.parse().expect("a number"))
}

/// An event that was acknowledged: our id of it, and its body.
struct Acknowledged {
    event_id: String,
    body: Vec<u8>,
}

/// Senders on connections of their own, each repeating an event until it is acknowledged.
struct Load {
    sender: Sender,
    gate: Address,
    next: AtomicUsize,
    enough: AtomicBool,
    acknowledged: Mutex<HashMap<String, Acknowledged>>,
    count: watch::Sender<usize>,
    /// Answers other than 200.
    refused: AtomicUsize,
}

impl Load {
    fn new(sender: &Sender, gate: Address) -> Arc<Self> {
        Arc::new(Self {
            sender: sender.clone(),
            gate,
            next: AtomicUsize::new(0),
            enough: AtomicBool::new(false),
            acknowledged: Mutex::default(),
            count: watch::Sender::new(0),
            refused: AtomicUsize::new(0),
        })
    }

    fn start(self: &Arc<Self>, connections: usize, pause: Duration) -> JoinSet<()> {
        let mut senders = JoinSet::new();
        for _ in 0..connections {
            senders.spawn(Arc::clone(self).send(pause));
        }
        senders
    }

    async fn send(self: Arc<Self>, pause: Duration) {
        let mut connection = None;
        while !self.enough.load(Ordering::Relaxed) {
            let n = self.next.fetch_add(1, Ordering::Relaxed);
            let id = format!("evt_{n}");
            let body = body(n);
            let request = self.sender.signed("/webhooks/stripe", vec![], &body, &id);
            let request = bytes(&request);
            let answer = self.until_acknowledged(&mut connection, &request).await;
            let event_id = answer.event_id();
            let acknowledged = Acknowledged { event_id, body };
            self.acknowledged
                .lock()
                .expect("no sender panicked")
                .insert(id, acknowledged);
            self.count.send_modify(|count| *count += 1);
            tokio::time::sleep(pause).await; // a sender's own pace
        }
    }

    /// As providers do: the same event again, until the answer is 200.
    async fn until_acknowledged(&self, kept: &mut Option<Connection>, request: &[u8]) -> Answer {
        let trying = async {
            loop {
                match self.attempt(kept, request).await {
                    Some(answer) if answer.status == 200 => return answer,
                    Some(answer) => {
                        assert_eq!(answer.status, 503, "{answer:?}");
                        self.refused.fetch_add(1, Ordering::Relaxed);
                    }
                    None => {} // it is being started again
                }
                tokio::time::sleep(Duration::from_millis(5)).await; // between two tries
            }
        };
        within("an acknowledgement", trying).await
    }

    async fn attempt(&self, kept: &mut Option<Connection>, request: &[u8]) -> Option<Answer> {
        let mut connection = match kept.take() {
            Some(connection) => connection,
            None => Connection::over(self.gate.connect().await.ok()?),
        };
        connection.try_write(request).await.ok()?;
        let answer = connection.try_answer().await.ok()?;
        *kept = Some(connection);
        Some(answer)
    }

    /// Waits for this many acknowledgements more.
    async fn acknowledges(&self, more: usize) {
        let mut count = self.count.subscribe();
        let goal = *count.borrow_and_update() + more;
        let reached = count.wait_for(|count| *count >= goal);
        drop(within("more acknowledgements", reached).await);
    }

    fn acknowledged(&self) -> usize {
        *self.count.borrow()
    }

    async fn end(&self, senders: JoinSet<()>) {
        self.enough.store(true, Ordering::Relaxed);
        within("the last acknowledgements", senders.join_all()).await;
    }
}

/// Some JSON of its own for each event, from tens of bytes to tens of kilobytes.
fn body(n: usize) -> Vec<u8> {
    let filling = "abcdefghij".repeat((n * 7919 % 64).pow(2));
    format!(r#"{{"id":"evt_{n}","type":"load","filling":"{filling}"}}"#).into_bytes()
}

/// Every acknowledged event reached the app as it was sent; how many deliveries were repeats.
fn check(load: &Load, deliveries: &[Arc<Delivery>]) -> usize {
    let mut delivered: HashMap<String, Vec<&Arc<Delivery>>> = HashMap::new();
    for delivery in deliveries {
        let id = delivery.header("hookgate-provider-event-id");
        let of_event = delivered.entry(id.expect("an id")).or_default();
        of_event.push(delivery);
    }
    let acknowledged = load.acknowledged.lock().expect("no sender panicked");
    for (id, event) in &*acknowledged {
        let of_event = delivered.get(id);
        let of_event = of_event.unwrap_or_else(|| panic!("{id} was answered 200 and is lost"));
        for delivery in of_event {
            assert!(delivery.body == event.body, "{id} arrived changed");
            assert_eq!(delivery.event_id(), event.event_id, "{id} was stored twice");
        }
    }
    assert_eq!(delivered.len(), acknowledged.len(), "nothing else arrives");
    deliveries.len() - delivered.len()
}

async fn drained(home: &Home) {
    eventually("the end of the backlog", async || {
        home.metric(PENDING).await == 0.0
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_again_and_again_under_load_it_loses_nothing_that_it_acknowledged() {
    let crashes = from_environment("HOOKGATE_CRASHES", 20);
    let stripe = Sender::new("stripe");
    let home = Home::new(&stripe);
    let app = App::start(&home.app()).await;
    let load = Load::new(&stripe, home.gate());
    let senders = load.start(16, Duration::ZERO);

    for crash in 0..crashes {
        let program = home.start();
        // Another number each time, so that the kill meets other moments.
        let more = 20 + usize::try_from(crash * 37 % 101).expect("small");
        load.acknowledges(more).await;
        program.kill();
    }
    let program = home.start();
    load.end(senders).await;
    home.ready().await;
    drained(&home).await;

    program.kill(); // settled: the next start delivers nothing again
    let settled = app.deliveries().len();
    let program = home.start();
    home.ready().await;
    drained(&home).await;
    assert_eq!(app.deliveries().len(), settled);
    drop(program);
    let deliveries = app.stop().await;
    let repeats = check(&load, &deliveries);
    eprintln!(
        "{} kills: {} acknowledged, {} deliveries, {repeats} of them repeats, 0 lost",
        crashes + 1,
        load.acknowledged(),
        deliveries.len(),
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_app_is_down_every_event_is_acknowledged_and_waits_for_its_first_attempt() {
    let outage = Duration::from_secs(from_environment("HOOKGATE_OUTAGE_SECONDS", 5));
    let stripe = Sender::new("stripe");
    let home = Home::new(&stripe);
    let _program = home.start();
    home.ready().await;
    let load = Load::new(&stripe, home.gate());
    let senders = load.start(8, Duration::from_millis(5));

    tokio::time::sleep(outage).await; // the length of the outage is what is tested
    let before = load.acknowledged();
    assert!(before > 0);
    assert_eq!(home.metric("hookgate_app_up").await, 0.0);
    let app = App::start(&home.app()).await;
    load.acknowledges(100).await; // it goes on while the backlog drains
    load.end(senders).await;
    drained(&home).await;

    let deliveries = app.stop().await;
    assert_eq!(load.refused.load(Ordering::Relaxed), 0);
    assert_eq!(check(&load, &deliveries), 0, "nothing is repeated");
    assert!(deliveries.iter().all(|delivery| delivery.attempt() == 1));
    eprintln!(
        "app down for {outage:?}: {} acknowledged, {before} of them meanwhile, 0 refused, {} delivered in first attempts",
        load.acknowledged(),
        deliveries.len(),
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn asked_to_end_under_load_it_exits_0_and_repeats_nothing() {
    let stripe = Sender::new("stripe");
    let home = Home::new(&stripe);
    let app = App::start(&home.app()).await;
    let load = Load::new(&stripe, home.gate());
    let senders = load.start(16, Duration::ZERO);
    for _ in 0..3 {
        let program = home.start();
        load.acknowledges(100).await;
        program.terminate();
        assert_eq!(program.ended().await, Some(0), "{}", home.log());
    }
    let program = home.start();
    load.end(senders).await;
    home.ready().await;
    drained(&home).await;
    program.terminate();
    assert_eq!(program.ended().await, Some(0));

    let deliveries = app.stop().await;
    assert_eq!(check(&load, &deliveries), 0, "nothing is repeated");
    eprintln!(
        "4 orderly ends under load: {} acknowledged, {} delivered, 0 repeats",
        load.acknowledged(),
        deliveries.len(),
    );
}

/// A small file system in memory; unmounted when dropped.
struct Disk(std::path::PathBuf);

impl Disk {
    /// `None`, with a word, where that is not allowed.
    fn mount(home: &Home, size: &str) -> Option<Self> {
        let path = home.path().join("disk");
        std::fs::create_dir(&path).expect("a mount point");
        let options = format!("size={size}");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &options, "tmpfs"])
            .arg(&path)
            .output();
        match mounted {
            Ok(output) if output.status.success() => Some(Self(path)),
            Ok(output) => {
                let error = String::from_utf8_lossy(&output.stderr).trim().to_owned();
                eprintln!("skipped: cannot mount a small disk ({error})");
                None
            }
            Err(error) => {
                eprintln!("skipped: cannot mount a small disk ({error})");
                None
            }
        }
    }

    /// Fills it up until this much is left.
    fn fill(&self, left: u64) {
        let facts = rustix::fs::statvfs(&self.0).expect("its size");
        let free = facts.f_bavail * facts.f_frsize;
        let filler = vec![0; usize::try_from(free.saturating_sub(left)).expect("small")];
        std::fs::write(self.0.join("filler"), filler).expect("room for the filler");
    }

    fn make_room(&self) {
        std::fs::remove_file(self.0.join("filler")).expect("the filler");
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).output();
    }
}

async fn post(home: &Home, sender: &Sender, n: usize) -> Answer {
    let id = format!("evt_{n}");
    let request = sender.signed("/webhooks/stripe", vec![], &body(n), &id);
    let mut connection = Connection::open(&home.gate()).await;
    connection.ask(&bytes(&request)).await
}

/// Sends until the gate refuses, then makes room until it takes events again.
async fn full_and_recovered(home: &Home, disk: &Disk, program: &mut Program, left: u64) {
    let stripe = Sender::new("stripe");
    let app = App::start(&home.app()).await;
    let mut kept = HashMap::new();
    let mut refused = 0;
    let mut n = 0;
    let mut take = |answer: &Answer, n: usize| match answer.status {
        200 => {
            kept.insert(answer.event_id(), body(n));
            true
        }
        status => {
            assert_eq!(status, 503, "{answer:?}");
            assert_eq!(answer.header("retry-after"), Some("5"));
            refused += 1;
            false
        }
    };
    for _ in 0..20 {
        assert!(take(&post(home, &stripe, n).await, n));
        n += 1;
    }

    disk.fill(left);
    eventually("a refusal", async || {
        n += 1;
        !take(&post(home, &stripe, n).await, n)
    })
    .await;
    for _ in 0..20 {
        n += 1;
        take(&post(home, &stripe, n).await, n);
    }
    disk.make_room();
    eventually("room", async || {
        n += 1;
        take(&post(home, &stripe, n).await, n)
    })
    .await;
    home.ready().await;

    assert!(program.runs(), "{}", home.log());
    drained(home).await;
    let deliveries = app.stop().await;
    for (id, body) in &kept {
        let delivered = deliveries
            .iter()
            .find(|delivery| delivery.event_id() == *id);
        let delivered = delivered.unwrap_or_else(|| panic!("{id} was answered 200 and is lost"));
        assert!(delivered.body == *body, "{id} arrived changed");
    }
    eprintln!(
        "full disk with {left} bytes left: {} acknowledged and delivered, {refused} refused with 503",
        kept.len()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_a_disk_that_is_nearly_full_it_refuses_and_recovers_without_a_restart() {
    let mut home = Home::new(&Sender::new("stripe"));
    let Some(disk) = Disk::mount(&home, "48m") else {
        return;
    };
    let store = disk.0.join("store").display().to_string();
    home.set("store.path", &store);
    home.set("store.low_space", "4MiB");
    let mut program = home.start();
    home.ready().await;

    full_and_recovered(&home, &disk, &mut program, 3 << 20).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_a_disk_that_is_full_to_the_last_byte_it_refuses_and_recovers_without_a_restart() {
    let mut home = Home::new(&Sender::new("stripe"));
    let Some(disk) = Disk::mount(&home, "48m") else {
        return;
    };
    let store = disk.0.join("store").display().to_string();
    home.set("store.path", &store);
    home.set("store.low_space", "0B"); // so that the writes themselves fail
    let mut program = home.start();
    home.ready().await;

    full_and_recovered(&home, &disk, &mut program, 64 << 10).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_process_is_refused_also_where_it_cannot_see_the_first() {
    let stripe = Sender::new("stripe");
    let home = Home::new(&stripe);
    let mut first = home.start();
    home.ready().await;
    let mut other = Home::new(&stripe); // addresses of its own
    let store = home.path().join("store").display().to_string();
    other.set("store.path", &store);

    let plain = other.start();
    assert_eq!(plain.ended().await, Some(1));
    assert!(other.log().contains("in use by pid"), "{}", other.log());
    let mut unshare = Command::new("unshare");
    unshare.args(["--pid", "--fork", "--mount-proc"]);
    unshare.arg(env!("CARGO_BIN_EXE_hookgate"));
    let may = Command::new("unshare")
        .args(["--pid", "--fork", "true"])
        .output();
    if may.is_ok_and(|output| output.status.success()) {
        let contained = other.start_by(unshare);
        assert_eq!(contained.ended().await, Some(1));
        let refusals = other.log().matches("in use by pid").count();
        assert_eq!(refusals, 2, "{}", other.log());
    } else {
        eprintln!("skipped: no namespace of process ids without root");
    }
    assert!(first.runs());
    let answer = post(&home, &stripe, 1).await;
    assert_eq!(answer.status, 200);
}
