//! A store with events in every state, before anything is done to it.
//!
//! Its bytes come from seeds as far as that is possible: key, ids and the order of commits. When the
//! journal is moved into the file in the background is not.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, params};

use super::super::support::{START, config, dead, delivered, id_of, next_due, retry};
use super::wreck::{DB, Files, MARK, WAL};
use crate::clock::Clock;
use crate::entropy::Entropy;
use crate::store::*;
use crate::verify::Verified;

/// What became of an event before the damage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Before {
    Delivered,
    Waiting,
    Dead,
    Erased,
}

pub(super) struct Sent {
    pub(super) source: &'static str,
    pub(super) body: &'static [u8],
    pub(super) before: Before,
}

/// A store with events in every state, as files.
pub(super) struct Original {
    pub(super) sent: BTreeMap<String, Sent>,
    pub(super) files: Files,
    pub(super) earlier: Files,
}

pub(super) fn directory() -> tempfile::TempDir {
    // Memory, where there is such a place: nothing here is about what a disk keeps.
    tempfile::tempdir_in("/dev/shm").unwrap_or_else(|_| tempfile::tempdir().unwrap())
}

fn files(directory: &Path) -> Files {
    let read = |name| Some((name, std::fs::read(directory.join(name)).ok()?));
    [DB, WAL, MARK].into_iter().filter_map(read).collect()
}

pub(super) fn verified(id: &str, sent: &Sent) -> Verified {
    Verified::for_test(sent.source, id, sent.body)
}

impl Original {
    /// `closed`: in order, so that there is no journal.
    pub(super) async fn make(closed: bool) -> Self {
        let directory = directory();
        let config = config(directory.path());
        let clock = Clock::manual(START);
        let mut sent = BTreeMap::new();
        let mut random = fastrand::Rng::with_seed(1);
        open(&config, &clock, 0).close().await.unwrap();
        fix_key(&config);
        let mut store = open(&config, &clock, 1);
        let mut earlier = Files::new();
        for n in 0..220 {
            if n % 60 == 40 {
                // A checkpoint, and another version of many pages.
                store.close().await.unwrap();
                if n == 100 {
                    earlier = files(directory.path());
                }
                store = open(&config, &clock, n as u64);
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
        store.close().await.unwrap();
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

fn open(config: &Config, clock: &Clock, life: u64) -> Store {
    let runtime = tokio::runtime::Handle::current();
    Store::open_in_place(config, clock.clone(), Entropy::seeded(life), &runtime).unwrap()
}

/// Nothing depends on the key yet.
fn fix_key(config: &Config) {
    let key = [7; 32];
    let db = Connection::open(config.path.join(DB)).unwrap();
    let check = *blake3::hash(&key).as_bytes();
    for (k, v) in [("key", key), ("check", check)] {
        let set = db.execute("UPDATE meta SET v = ?2 WHERE k = ?1", params![k, v]);
        assert_eq!(set.unwrap(), 1);
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
