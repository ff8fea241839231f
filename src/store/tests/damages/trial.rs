//! One damaged store, through as many starts as it takes, compared with what senders were told.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use super::super::support::*;
use super::original::{Before, Original, directory, verified};
use super::wreck::{DB, Files};
use crate::clock::Clock;
use crate::store::*;

/// Starts that one damage may take until the store is whole again.
const STARTS_MAX: usize = 6;

/// What a trial came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Verdict {
    Refused,
    Reported,
    Unharmed,
}

/// One damaged store, through as many starts as it takes.
pub(super) struct Trial<'a> {
    original: &'a Original,
    directory: tempfile::TempDir,
    config: Config,
    clock: Clock,
    delivered: HashSet<String>,
    /// Damaged records that the store has spoken of, over all starts.
    reported: u64,
    starts: usize,
    /// The damage left nothing of the database at all.
    emptied: bool,
}

impl<'a> Trial<'a> {
    pub(super) fn of(original: &'a Original, files: &Files) -> Self {
        let directory = directory();
        for (name, bytes) in files {
            std::fs::write(directory.path().join(name), bytes).unwrap();
        }
        Self {
            original,
            config: config(directory.path()),
            directory,
            clock: Clock::manual(START.plus(Duration::from_secs(60))),
            delivered: HashSet::new(),
            reported: 0,
            starts: 0,
            emptied: files[DB].is_empty(),
        }
    }

    /// `None`: refused, with a word on what to do.
    fn open(&mut self) -> Option<Store> {
        self.starts += 1;
        assert!(self.starts <= STARTS_MAX, "it does not come to an end");
        match open(&self.config, &self.clock) {
            Ok(store) => Some(store),
            Err(error) => {
                let text = error.to_string();
                let damaged = matches!(error, StoreError::Damaged { .. });
                let newer = matches!(error, StoreError::Newer { .. }); // a bit of the version
                assert!(damaged || newer, "{text}");
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
        if let Err(StoreError::Fatal(_)) = store.close().await {
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

    pub(super) async fn run(&mut self) -> Verdict {
        let Some(store) = self.open() else {
            return Verdict::Refused;
        };
        let Some((store, named)) = self.settled(store).await else {
            return Verdict::Refused;
        };
        let counts = store.counts().sources.into_iter();
        let held = counts.map(|counts| counts.pending + counts.delivered + counts.dead);
        assert!(
            self.emptied || held.sum::<u64>() > 0,
            "an empty store took the place of a damaged one"
        );
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
        store.close().await.unwrap();
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
