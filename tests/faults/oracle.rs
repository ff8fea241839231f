//! Who was told what, and what came of it: the senders' log against the app's and the gate's own.
//!
//! What was answered 200 must have reached the app as it was sent, under one id of ours, or be
//! waiting, or be a dead letter; what was not may have. A repeat needs a reason: no event may reach
//! the app more often than the program was started.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hookgate::net::Address;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::program::{Home, Program};
use crate::support::app::{App, Delivery};
use crate::support::http::{Answer, Connection};
use crate::support::sender::{Sender, bytes};
use crate::support::{eventually, within};

/// What a run of a rig counted.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) acknowledged: usize,
    pub(crate) refused: usize,
    pub(crate) deliveries: usize,
    pub(crate) repeats: usize,
}

impl std::ops::AddAssign for Tally {
    fn add_assign(&mut self, more: Self) {
        self.acknowledged += more.acknowledged;
        self.refused += more.refused;
        self.deliveries += more.deliveries;
        self.repeats += more.repeats;
    }
}

impl std::fmt::Display for Tally {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            acknowledged,
            refused,
            deliveries,
            repeats,
        } = self;
        write!(
            f,
            "{acknowledged} acknowledged, {refused} refused with 503, {deliveries} deliveries, \
             {repeats} of them repeats, 0 lost"
        )
    }
}

/// The senders' log. An event is known by its number: id and body follow from it.
pub(crate) struct Ledger {
    sender: Sender,
    /// Bytes that every body has more than its own.
    ballast: usize,
    gate: Address,
    next: AtomicUsize,
    /// Our ids of what was acknowledged.
    acknowledged: Mutex<HashMap<usize, String>>,
    count: watch::Sender<usize>,
    refused: AtomicUsize,
}

impl Ledger {
    pub(crate) fn new(home: &Home) -> Arc<Self> {
        Self::with_ballast(home, 0)
    }

    pub(crate) fn with_ballast(home: &Home, ballast: usize) -> Arc<Self> {
        Self::at(home.gate(), ballast)
    }

    /// For a gate that listens elsewhere than it usually does.
    pub(crate) fn at(gate: Address, ballast: usize) -> Arc<Self> {
        Arc::new(Self {
            sender: Sender::new("stripe"),
            ballast,
            gate,
            next: AtomicUsize::new(0),
            acknowledged: Mutex::default(),
            count: watch::Sender::new(0),
            refused: AtomicUsize::new(0),
        })
    }

    /// Some JSON of its own for each event, from tens of bytes to tens of kilobytes.
    fn body(&self, n: usize) -> Vec<u8> {
        let filling = "abcdefghij".repeat((n * 7919 % 64).pow(2) + self.ballast / 10);
        format!(r#"{{"id":"evt_{n}","type":"load","filling":"{filling}"}}"#).into_bytes()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<usize, String>> {
        let acknowledged = self.acknowledged.lock();
        acknowledged.unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn next(&self) -> usize {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    /// The request for an event, signed now.
    fn request(&self, n: usize) -> Vec<u8> {
        let id = format!("evt_{n}");
        let request = self
            .sender
            .signed("/webhooks/stripe", vec![], &self.body(n), &id);
        bytes(&request)
    }

    /// Writes an answer down. Own trouble is 503, nothing else.
    fn note(&self, n: usize, answer: &Answer) {
        if answer.status == 200 {
            let id = answer.event_id();
            if self.lock().insert(n, id).is_none() {
                self.count.send_modify(|count| *count += 1);
            }
            return;
        }
        assert_eq!(answer.status, 503, "{answer:?}");
        assert_eq!(answer.header("retry-after"), Some("5"));
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    /// One try over this connection: whether it was acknowledged; `None` if there was no answer.
    pub(crate) async fn ask(&self, connection: &mut Connection, n: usize) -> Option<bool> {
        let answer = self.answer(connection, n).await?;
        Some(answer.status == 200)
    }

    /// The same; the answer, which has been written down.
    pub(crate) async fn answer(&self, connection: &mut Connection, n: usize) -> Option<Answer> {
        connection.try_write(&self.request(n)).await.ok()?;
        let answer = connection.try_answer().await.ok()?;
        self.note(n, &answer);
        Some(answer)
    }

    /// Where senders reach the gate.
    pub(crate) fn gate(&self) -> &Address {
        &self.gate
    }

    /// One try with a new event over a connection of its own.
    pub(crate) async fn post(&self) -> Option<bool> {
        let mut connection = Connection::over(self.gate.connect().await.ok()?);
        self.ask(&mut connection, self.next()).await
    }

    /// New events, one after the other over one connection, until one is not acknowledged.
    pub(crate) async fn post_many(&self, events: usize) -> usize {
        let Ok(stream) = self.gate.connect().await else {
            return 0;
        };
        let mut connection = Connection::over(stream);
        for done in 0..events {
            if self.ask(&mut connection, self.next()).await != Some(true) {
                return done;
            }
        }
        events
    }

    pub(crate) fn acknowledged(&self) -> usize {
        *self.count.borrow()
    }

    pub(crate) fn refused(&self) -> usize {
        self.refused.load(Ordering::Relaxed)
    }

    /// Waits for this many acknowledgements more.
    pub(crate) async fn acknowledges(&self, more: usize) {
        let mut count = self.count.subscribe();
        let goal = *count.borrow_and_update() + more;
        let reached = count.wait_for(|count| *count >= goal);
        drop(within("more acknowledgements", reached).await);
    }

    /// Every acknowledged event reached the app as it was sent, and none more often than the program was
    /// started.
    pub(crate) fn check(&self, deliveries: &[Arc<Delivery>], starts: usize) -> Tally {
        let mut delivered: HashMap<usize, Vec<&Arc<Delivery>>> = HashMap::new();
        for delivery in deliveries {
            let id = delivery
                .header("hookgate-provider-event-id")
                .expect("an id");
            let n = id.strip_prefix("evt_").and_then(|n| n.parse().ok());
            let n = n.unwrap_or_else(|| panic!("{id} was never sent"));
            delivered.entry(n).or_default().push(delivery);
        }
        for (n, of_event) in &delivered {
            assert!(*n < self.next.load(Ordering::Relaxed), "{n} was never sent");
            let times = of_event.len();
            assert!(
                times <= starts,
                "event {n} came {times} times in {starts} starts"
            );
            let ids: Vec<_> = of_event
                .iter()
                .map(|delivery| delivery.event_id())
                .collect();
            assert!(
                ids.iter().all(|id| *id == ids[0]),
                "event {n} was stored twice: {ids:?}"
            );
            let body = self.body(*n);
            assert!(
                of_event.iter().all(|delivery| delivery.body == body),
                "event {n} arrived changed"
            );
        }
        let acknowledged = self.lock();
        for (n, id) in &*acknowledged {
            let of_event = delivered.get(n);
            let of_event =
                of_event.unwrap_or_else(|| panic!("event {n} was answered 200 and is lost"));
            assert_eq!(
                of_event[0].event_id(),
                *id,
                "event {n} was acknowledged as another"
            );
        }
        Tally {
            acknowledged: acknowledged.len(),
            refused: self.refused(),
            deliveries: deliveries.len(),
            repeats: deliveries.len() - delivered.len(),
        }
    }
}

/// Senders on connections of their own, each repeating an event until it is acknowledged.
pub(crate) struct Load {
    enough: Arc<AtomicBool>,
    senders: JoinSet<()>,
}

impl Load {
    pub(crate) fn start(ledger: &Arc<Ledger>, connections: usize, pause: Duration) -> Self {
        let enough = Arc::new(AtomicBool::new(false));
        let mut senders = JoinSet::new();
        for _ in 0..connections {
            senders.spawn(send(Arc::clone(ledger), Arc::clone(&enough), pause));
        }
        Self { enough, senders }
    }

    /// Every sender still gets its last event acknowledged.
    pub(crate) async fn end(self) {
        self.enough.store(true, Ordering::Relaxed);
        within("the last acknowledgements", self.senders.join_all()).await;
    }
}

async fn send(ledger: Arc<Ledger>, enough: Arc<AtomicBool>, pause: Duration) {
    let mut kept = None;
    while !enough.load(Ordering::Relaxed) {
        let acknowledged = until_acknowledged(&ledger, &mut kept);
        within("an acknowledgement", acknowledged).await;
        tokio::time::sleep(pause).await; // a sender's own pace
    }
}

/// As providers do: the same event again, until the answer is 200.
async fn until_acknowledged(ledger: &Ledger, kept: &mut Option<Connection>) {
    let n = ledger.next();
    loop {
        if kept.is_none() {
            *kept = ledger.gate.connect().await.ok().map(Connection::over);
        }
        if let Some(connection) = kept {
            match ledger.ask(connection, n).await {
                Some(true) => return,
                Some(false) => {}
                None => *kept = None, // it is being started again
            }
        }
        tokio::time::sleep(Duration::from_millis(5)).await; // between two tries
    }
}

/// A gate, its app and its log of senders, however often the program starts and ends.
pub(crate) struct Scene {
    pub(crate) home: Home,
    pub(crate) app: App,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) starts: usize,
}

impl Scene {
    pub(crate) async fn new(home: Home) -> Self {
        Self {
            app: App::start(&home.app()).await,
            ledger: Ledger::new(&home),
            home,
            starts: 0,
        }
    }

    /// With a gate that listens elsewhere than it usually does.
    pub(crate) async fn at(home: Home, gate: Address) -> Self {
        Self {
            app: App::start(&home.app()).await,
            ledger: Ledger::at(gate, 0),
            home,
            starts: 0,
        }
    }

    pub(crate) fn start(&mut self) -> Program {
        self.start_under(&[])
    }

    pub(crate) fn start_under(&mut self, wrapper: &[String]) -> Program {
        self.starts += 1;
        self.home.start_under(wrapper)
    }

    /// After the last fault: the backlog drains, what is settled stays so over a crash, and the gate's own
    /// figures say the same as the logs of senders and app.
    pub(crate) async fn settle(mut self, program: Program, wrapper: &[String]) -> Tally {
        drained(&self.home).await;
        program.kill();
        let settled = self.app.deliveries().len();
        let program = self.start_under(wrapper);
        drained(&self.home).await;
        assert_eq!(
            self.app.deliveries().len(),
            settled,
            "settled, and delivered again"
        );
        let distinct = self.home.metric(DELIVERED).await;
        assert_eq!(self.home.metric(DEAD).await, 0.0);
        assert_eq!(self.home.metric("hookgate_store_damaged_total").await, 0.0);
        drop(program);
        let deliveries = self.app.stop().await;
        let tally = self.ledger.check(&deliveries, self.starts);
        let counted = tally.deliveries - tally.repeats;
        assert_eq!(
            format!("{counted}"),
            format!("{distinct}"),
            "delivered, as the gate counts"
        );
        tally
    }
}

const PENDING: &str = r#"hookgate_events{source="stripe",state="pending"}"#;
const DELIVERED: &str = r#"hookgate_events{source="stripe",state="delivered"}"#;
const DEAD: &str = r#"hookgate_events{source="stripe",state="dead"}"#;

/// Waits until nothing is pending.
pub(crate) async fn drained(home: &Home) {
    home.ready().await;
    eventually("the end of the backlog", async || {
        home.metric(PENDING).await == 0.0
    })
    .await;
}
