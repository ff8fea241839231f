//! Thousands of damaged stores: whatever was done to the files, no wrong byte is delivered, nothing
//! panics, nothing that was acknowledged vanishes without being counted, and a sender who repeats an
//! event is told that it is stored only if it is.
//!
//! `HOOKGATE_TEST_DAMAGES` says how many seeds (1,000); `HOOKGATE_TEST_DAMAGE_SEED` runs one.

mod wreck;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::support::*;
use crate::clock::Clock;
use crate::store::*;
use crate::verify::Verified;
use wreck::{DB, Files, MARK, WAL};

/// Starts that one damage may take until the store is whole again.
const STARTS_MAX: usize = 6;

/// What became of an event before the damage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Before {
    Delivered,
    Waiting,
    Dead,
    Erased,
}

struct Sent {
    source: &'static str,
    body: &'static [u8],
    before: Before,
}

/// A store with events in every state, as files.
struct Original {
    sent: BTreeMap<String, Sent>,
    files: Files,
    earlier: Files,
}

/// What a trial came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Verdict {
    Refused,
    Reported,
    Unharmed,
}

fn directory() -> tempfile::TempDir {
    // Memory, where there is such a place: nothing here is about what a disk keeps.
    tempfile::tempdir_in("/dev/shm").unwrap_or_else(|_| tempfile::tempdir().unwrap())
}

fn files(directory: &Path) -> Files {
    let read = |name| Some((name, std::fs::read(directory.join(name)).ok()?));
    [DB, WAL, MARK].into_iter().filter_map(read).collect()
}

fn verified(id: &str, sent: &Sent) -> Verified {
    Verified::for_test(sent.source, id, sent.body)
}

impl Original {
    /// `closed`: in order, so that there is no journal.
    async fn make(closed: bool) -> Self {
        let directory = directory();
        let config = config(directory.path());
        let clock = Clock::manual(START);
        let mut sent = BTreeMap::new();
        let mut random = fastrand::Rng::with_seed(1);
        let mut store = open(&config, &clock).unwrap();
        let mut earlier = Files::new();
        for n in 0..220 {
            if n % 60 == 40 {
                // A checkpoint, and another version of many pages.
                store.close().await;
                if n == 100 {
                    earlier = files(directory.path());
                }
                store = open(&config, &clock).unwrap();
            }
            let length = [20, 300, 2000, 9000][n % 4];
            let body: Vec<u8> = std::iter::repeat_with(|| random.alphanumeric() as u8)
                .take(length)
                .collect();
            let event = Sent {
                source: ["stripe", "github"][n % 2],
                body: Vec::leak(body),
                before: [
                    Before::Delivered,
                    Before::Waiting,
                    Before::Waiting,
                    Before::Dead,
                ][n / 2 % 4],
            };
            let id = format!("evt_{n}");
            store.accept(verified(&id, &event)).await.unwrap();
            sent.insert(id, event);
            if n % 20 == 19 {
                settle(&store, &mut sent).await;
            }
        }
        store.flush().await.unwrap();
        let killed = files(directory.path());
        store.close().await;
        let mut kept = files(directory.path());
        if !closed {
            let mark = kept.remove(MARK).unwrap();
            kept = killed;
            kept.insert(MARK, mark);
        }
        Self {
            sent,
            files: kept,
            earlier,
        }
    }
}

/// Makes of what is due what it is to be: of those that wait some have been tried, some not.
async fn settle(store: &Store, sent: &mut BTreeMap<String, Sent>) {
    let mut leases = Vec::new();
    while let Some(lease) = next_due(store).await {
        leases.push(lease);
    }
    let mut erase = Vec::new();
    for (n, lease) in leases.into_iter().enumerate() {
        let event = sent.get_mut(&id_of(&lease)).unwrap();
        match event.before {
            Before::Delivered => store.settle(lease, delivered()),
            Before::Waiting if n % 3 == 0 => {
                store.settle(lease, retry(START.plus(Duration::from_secs(5))));
            }
            Before::Waiting => store.release(lease),
            Before::Dead if n % 8 == 7 => {
                event.before = Before::Erased;
                erase.push(lease.event.id);
                store.settle(lease, dead());
            }
            Before::Dead | Before::Erased => store.settle(lease, dead()),
        }
    }
    store.flush().await.unwrap();
    for id in erase {
        assert!(store.erase(id).await.unwrap());
    }
}

/// One damaged store, through as many starts as it takes.
struct Trial<'a> {
    original: &'a Original,
    directory: tempfile::TempDir,
    config: Config,
    clock: Clock,
    delivered: HashSet<String>,
    /// Damaged records that the store has spoken of, over all starts.
    reported: u64,
    starts: usize,
}

impl Trial<'_> {
    /// `None`: refused, with a word on what to do.
    fn open(&mut self) -> Option<Store> {
        self.starts += 1;
        assert!(self.starts <= STARTS_MAX, "it does not come to an end");
        match open(&self.config, &self.clock) {
            Ok(store) => Some(store),
            Err(error) => {
                let text = error.to_string();
                assert!(matches!(error, StoreError::Damaged { .. }), "{text}");
                let file = self.config.path.join(DB);
                assert!(text.contains(&*file.to_string_lossy()), "{text}");
                assert!(file.exists(), "what is refused is left");
                None
            }
        }
    }

    /// Delivers everything that is due; starts again as long as the store asks for it.
    async fn drain(&mut self, mut store: Store) -> Option<Store> {
        loop {
            while let Some(lease) = next_due(&store).await {
                self.check(&lease);
                self.delivered.insert(id_of(&lease));
                store.settle(lease, delivered());
            }
            let ended = store.flush().await.err();
            if let Some(ended) = &ended {
                assert!(!ended.to_string().contains("panicked"), "{ended}");
            }
            if ended.is_none() && !self.config.path.join("damaged").exists() {
                let pending = store
                    .counts()
                    .sources
                    .into_iter()
                    .map(|counts| counts.pending);
                assert_eq!(pending.sum::<u64>(), 0, "events wait that are never due");
                return Some(store);
            }
            store = self.again(store).await?;
        }
    }

    async fn again(&mut self, store: Store) -> Option<Store> {
        self.reported += store.stats().damaged;
        let handle = store.clone();
        store.close().await;
        if matches!(handle.writable(), Err(StoreError::Fatal(_))) {
            let next = directory();
            move_on(&mut self.config, next.path());
            self.directory = next;
        }
        self.open()
    }

    fn check(&self, lease: &Lease) {
        let id = id_of(lease);
        let sent = self
            .original
            .sent
            .get(&id)
            .unwrap_or_else(|| panic!("{id} was never sent"));
        let event = &lease.event;
        assert_eq!(event.source.as_str(), sent.source, "{id}");
        assert!(event.body == sent.body, "the body of {id} is another");
        assert_eq!(
            (event.method.as_str(), &*event.target),
            ("POST", "/webhooks/test"),
            "{id}"
        );
    }

    /// Everything that the lists show, by the sender's id; `None` if the list cannot be read.
    async fn listed(&self, store: &Store) -> Option<HashMap<String, State>> {
        let mut named = HashMap::new();
        let mut cursor = None;
        loop {
            let page = store.list(Filter::default(), 1000, cursor).await.ok()?;
            for event in page.events {
                if let Some(id) = event.provider_event_id.as_deref() {
                    named.insert(id.to_owned(), event.state);
                }
                if let Ok(Some(shown)) = store.show(event.id).await
                    && let Content::Whole(event) = shown.content
                {
                    let id = event.provider_event_id.as_deref().unwrap();
                    assert!(
                        event.body == self.original.sent[id].body,
                        "{id} is shown changed"
                    );
                }
            }
            cursor = page.next;
            if cursor.is_none() {
                return Some(named);
            }
        }
    }

    async fn run(&mut self) -> Verdict {
        let Some(store) = self.open() else {
            return Verdict::Refused;
        };
        let Some((store, named)) = self.settled(store).await else {
            return Verdict::Refused;
        };
        let reported = self.reported + store.stats().damaged;
        let vanished = self.original.sent.iter().filter(|(id, sent)| {
            let waits = matches!(sent.before, Before::Waiting | Before::Dead);
            waits && !self.delivered.contains(*id) && named.get(*id) != Some(&State::Dead)
        });
        let vanished: Vec<_> = vanished.map(|(id, _)| id).collect();
        assert!(
            wide(vanished.len()) <= reported,
            "{reported} reported, but these vanished: {vanished:?}"
        );
        let unreadable = self.unreadable(&store).await;
        assert!(
            unreadable <= reported,
            "{unreadable} cannot be read, {reported} reported"
        );
        let Some(store) = self.repeat(store).await else {
            return Verdict::Refused;
        };
        store.close().await;
        if reported > 0 {
            Verdict::Reported
        } else {
            Verdict::Unharmed
        }
    }

    /// Drained and listed; damage that only a list meets takes one more start.
    async fn settled(&mut self, mut store: Store) -> Option<(Store, HashMap<String, State>)> {
        loop {
            store = self.drain(store).await?;
            match self.listed(&store).await {
                Some(named) => return Some((store, named)),
                None => store = self.again(store).await?,
            }
        }
    }

    async fn unreadable(&self, store: &Store) -> u64 {
        let dead = Filter {
            state: Some(State::Dead),
            ..Filter::default()
        };
        let page = store.list(dead, 1000, None).await.unwrap_or_default();
        let unreadable = |event: &&Summary| event.dead_reason == Some(DeadReason::Unreadable);
        wide(page.events.iter().filter(unreadable).count())
    }

    /// Every sender repeats everything: then the app must have it all.
    async fn repeat(&mut self, mut store: Store) -> Option<Store> {
        for (id, sent) in &self.original.sent {
            while store.accept(verified(id, sent)).await.is_err() {
                store = self.again(store).await?;
            }
        }
        let store = self.drain(store).await?;
        for (id, sent) in &self.original.sent {
            let has_it = matches!(sent.before, Before::Delivered | Before::Erased);
            assert!(
                has_it || self.delivered.contains(id),
                "{id} was repeated and answered 200, and the app has never seen it"
            );
        }
        Some(store)
    }
}

fn trial(originals: &[Original], seed: u64) -> (Verdict, Vec<String>) {
    let mut random = fastrand::Rng::with_seed(seed);
    let original = &originals[random.usize(0..originals.len())];
    let mut files = original.files.clone();
    let done = wreck::damage(&mut files, &original.earlier, &mut random);
    let directory = directory();
    for (name, bytes) in &files {
        std::fs::write(directory.path().join(name), bytes).unwrap();
    }
    let clock = Clock::manual(START.plus(Duration::from_secs(60)));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let run = AssertUnwindSafe(|| {
        runtime.block_on(
            Trial {
                original,
                config: config(directory.path()),
                directory,
                clock,
                delivered: HashSet::new(),
                reported: 0,
                starts: 0,
            }
            .run(),
        )
    });
    match catch_unwind(run) {
        Ok(verdict) => (verdict, done),
        Err(panic) => {
            println!(
                "seed {seed}: {done:?}\nreplay: HOOKGATE_TEST_DAMAGE_SEED={seed} cargo nextest run --lib whatever_is_damaged"
            );
            std::panic::resume_unwind(panic);
        }
    }
}

#[test]
fn whatever_is_damaged_no_wrong_byte_is_delivered_and_nothing_vanishes_in_silence() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let originals = [true, false].map(|closed| runtime.block_on(Original::make(closed)));
    if let Some(seed) = number_from_environment("HOOKGATE_TEST_DAMAGE_SEED") {
        // With the store's own words.
        let log = tracing_subscriber::fmt().with_test_writer().finish();
        let _ = tracing::subscriber::set_global_default(log);
        println!("seed {seed}: {:?}", trial(&originals, seed));
        return;
    }
    let seeds = number_from_environment("HOOKGATE_TEST_DAMAGES").unwrap_or(1000);
    let (next, verdicts) = (AtomicU64::new(0), Mutex::new(BTreeMap::new()));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds {
                        return;
                    }
                    let (verdict, _) = trial(&originals, seed);
                    *lock(&verdicts).entry(verdict).or_insert(0_u64) += 1;
                }
            });
        }
    });
    let verdicts = lock(&verdicts);
    let of = |verdict| verdicts.get(&verdict).copied().unwrap_or(0);
    println!(
        "{seeds} damaged stores: {} reported damage and went on, {} refused to start and said why, {} were unharmed; 0 wrong bytes, 0 vanished in silence, 0 panics",
        of(Verdict::Reported),
        of(Verdict::Refused),
        of(Verdict::Unharmed)
    );
}
