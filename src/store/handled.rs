//! Whoever waits until the app has spoken: it took the event, or said that it never will; and, where the
//! sender is to get it, what the app said.
//!
//! They are told when the attempt is settled, without the commit that it rides in: what the app has taken
//! it has, and a settlement that is lost repeats a delivery. After the commit they are told once more,
//! for one who asked in between.
//!
//! An answer for a sender is handed over under the lock under which those who wait come and go. So
//! whether somebody heard it is a fact, and not a guess: it decides whether the event is tried again.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};

use tokio::sync::watch;

use super::answer::AppAnswer;
use super::error::StoreError;
use super::lease::{DeadReason, Lease, Settlement};
use super::shared::lock;
use super::view::State;
use super::{Receipt, ReceiptKind, Store};
use crate::event::EventId;
use crate::verify::Verified;

/// Answers that are kept for a sender who comes again: all together in bytes,
const RECENT_BYTES_MAX: usize = 1 << 20;
/// and what one costs beside its own, which bounds their number, too.
const RECENT_ENTRY_BYTES: usize = 256;

/// Erased events that the app may be speaking about; more are not erased while one attempt lasts.
const ERASED_MAX: usize = 1024;

/// The app's last word on an event: with its answer, where it is for the sender and could travel.
type LastWord = Option<AppAnswer>;

/// The events that somebody waits for; as many as there are open requests.
#[derive(Clone, Default)]
pub(super) struct Handled(Arc<Mutex<Waiting>>);

#[derive(Default)]
struct Waiting {
    /// As long as somebody listens.
    events: HashMap<EventId, watch::Sender<Option<LastWord>>>,
    recent: Recent,
    /// The last events that were erased: the app may be speaking about one just then.
    erased: VecDeque<EventId>,
}

impl Handled {
    /// Waits for this event from now on.
    pub(super) fn expect(&self, id: EventId) -> Expected {
        let mut waiting = lock(&self.0);
        let sender = waiting
            .events
            .entry(id)
            .or_insert_with(|| watch::Sender::new(None));
        Expected {
            id,
            told: Some(sender.subscribe()),
            home: self.clone(),
        }
    }

    /// Tells those who wait for one of these events, where this was the app's last word. It is none that nobody
    /// tries any more, or that the event cannot be read: a repeat begins anew.
    pub(super) fn tell<'a>(&self, settled: impl Iterator<Item = (EventId, &'a Settlement)>) {
        let mut waiting = lock(&self.0);
        if waiting.events.is_empty() {
            return;
        }
        for (id, settlement) in settled {
            let is_last = match settlement {
                Settlement::Delivered(_) => true,
                Settlement::Dead { reason, .. } => *reason == DeadReason::Refused,
                Settlement::Retry { .. } => false,
            };
            if is_last && let Some(sender) = waiting.events.remove(&id) {
                sender.send_replace(Some(waiting.recent.find(id)));
            }
        }
    }

    /// Hands an answer to those who wait for the event. Whether there were any.
    fn pass_on(&self, id: EventId, answer: Option<AppAnswer>) -> bool {
        let mut waiting = lock(&self.0);
        waiting.recent.forget(id);
        let Some(answer) = answer else {
            return false;
        };
        let heard = waiting.events.remove(&id);
        if let Some(sender) = &heard {
            sender.send_replace(Some(Some(answer.clone())));
        }
        let counts = heard.is_some() || answer.status().is_success();
        if counts && !waiting.erased.contains(&id) {
            waiting.recent.keep(id, answer);
        }
        heard.is_some()
    }

    /// Lets go of what the app said to an event that is erased, and keeps nothing that it says yet.
    pub(super) fn forget(&self, id: EventId) {
        let mut waiting = lock(&self.0);
        waiting.recent.forget(id);
        waiting.erased.truncate(ERASED_MAX - 1);
        waiting.erased.push_front(id);
    }

    fn recent(&self, id: EventId) -> LastWord {
        lock(&self.0).recent.find(id)
    }
}

/// The last answers for senders, oldest first. In memory only: what a sender gets for a repeat long after, or
/// after a restart, is that the event was taken.
#[derive(Default)]
struct Recent {
    answers: VecDeque<(EventId, AppAnswer)>,
    bytes: usize,
}

impl Recent {
    fn keep(&mut self, id: EventId, answer: AppAnswer) {
        self.bytes += cost(&answer);
        self.answers.push_back((id, answer));
        while self.bytes > RECENT_BYTES_MAX {
            let Some((_, oldest)) = self.answers.pop_front() else {
                return;
            };
            self.bytes -= cost(&oldest);
        }
    }

    fn place(&self, id: EventId) -> Option<usize> {
        self.answers.iter().rposition(|(known, _)| *known == id)
    }

    fn find(&self, id: EventId) -> Option<AppAnswer> {
        let (_, answer) = self.answers.get(self.place(id)?)?;
        Some(answer.clone())
    }

    fn forget(&mut self, id: EventId) {
        let place = self.place(id);
        if let Some((_, answer)) = place.and_then(|place| self.answers.remove(place)) {
            self.bytes -= cost(&answer);
        }
    }
}

fn cost(answer: &AppAnswer) -> usize {
    RECENT_ENTRY_BYTES + answer.size_bytes()
}

/// One who waits.
pub(super) struct Expected {
    id: EventId,
    /// Until it is dropped.
    told: Option<watch::Receiver<Option<LastWord>>>,
    home: Handled,
}

impl Expected {
    /// Resolves once it has.
    pub(super) async fn told(&mut self) -> LastWord {
        let told = self.told.as_mut()?;
        // It does not fail: the sender is dropped only after it has said so.
        let word = told.wait_for(Option::is_some).await.ok()?;
        word.clone().flatten()
    }

    /// Stops listening; what was said until then was heard.
    fn leave(&mut self) -> Option<LastWord> {
        let mut waiting = lock(&self.home.0);
        let told = self.told.take()?;
        let word = told.borrow().clone();
        drop(told);
        let is_last = |sender: &watch::Sender<_>| sender.receiver_count() == 0;
        if waiting.events.get(&self.id).is_some_and(is_last) {
            waiting.events.remove(&self.id);
        }
        word
    }
}

impl Drop for Expected {
    fn drop(&mut self) {
        self.leave();
    }
}

/// What a sender waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Awaited {
    /// That the app takes the event, or never will.
    Verdict,
    /// The app's own answer: a repeat of an event that waits for another try has it tried at once.
    Answer,
}

impl Store {
    /// [`Store::accept`] for a sender that is answered only when the app has spoken: it took the event, or said
    /// that it never will.
    ///
    /// # Errors
    /// As [`Store::accept`].
    pub async fn accept_and_expect(
        &self,
        verified: Verified,
        awaited: Awaited,
    ) -> Result<(Receipt, Expectation), StoreError> {
        self.shared().intake.open()?;
        let id = self.new_id();
        // Before it is stored: the app may be faster than the answer from the disk.
        let mut expected = self.shared().handled.expect(id);
        let receipt = self
            .submit(id, verified, awaited == Awaited::Answer)
            .await?;
        let is_new = receipt.kind() != ReceiptKind::Duplicate;
        if !is_new {
            expected = self.shared().handled.expect(receipt.event_id());
        }
        let expectation = Expectation {
            store: self.clone(),
            id: receipt.event_id(),
            is_new,
            expected,
        };
        Ok((receipt, expectation))
    }

    /// The app's answer to an attempt, before it is settled, for senders that are to get it; `None`: there is
    /// none that can travel. Whether a sender waited for it: then it has been told, and the event need
    /// not be tried again on its behalf.
    pub fn pass_on(&self, lease: &Lease, answer: Option<AppAnswer>) -> bool {
        self.shared().handled.pass_on(lease.event.id, answer)
    }
}

/// An event that is stored, and that the app is to speak about.
pub struct Expectation {
    store: Store,
    id: EventId,
    is_new: bool,
    expected: Expected,
}

/// What the app said before somebody asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// Its answer, given lately.
    Answer(AppAnswer),
    /// That is not known any more.
    Forgotten,
}

/// What there is to tell a sender that waited for the app's own answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Spoken {
    /// The app's answer.
    Answer(AppAnswer),
    /// The event is settled, but what the app said cannot travel.
    Unfit,
    /// Nothing yet.
    NotYet,
}

impl Expectation {
    /// Resolves once the app has taken the event, or refused it for good.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn fulfilled(mut self) -> Result<(), StoreError> {
        if !self.was_settled().await? {
            self.expected.told().await;
        }
        Ok(())
    }

    /// What the app said to an event that was settled before anybody waited, as the first copy of a repeat may have
    /// been, if that is known; `None`: it is yet to speak.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn said(&self) -> Result<Option<Said>, StoreError> {
        let recent = |handled: &Handled| {
            handled
                .recent(self.id)
                .map_or(Said::Forgotten, Said::Answer)
        };
        let was_settled = self.was_settled().await?;
        Ok(was_settled.then(|| recent(&self.store.shared().handled)))
    }

    /// What the app says before `patience` ends. Dropping the future leaves the event to the rules for one
    /// that nobody waits for.
    pub async fn answered(mut self, patience: impl Future<Output = ()>) -> Spoken {
        tokio::select! {
            biased;
            word = self.expected.told() => return spoken(word),
            () = patience => {}
        }
        // It may have been told between the end of its patience and now.
        self.expected.leave().map_or(Spoken::NotYet, spoken)
    }

    /// A repeat: its first copy may have been settled before anybody waited.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn was_settled(&self) -> Result<bool, StoreError> {
        Ok(!self.is_new && self.store.state(self.id).await? != Some(State::Pending))
    }
}

fn spoken(word: LastWord) -> Spoken {
    word.map_or(Spoken::Unfit, Spoken::Answer)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::{HeaderMap, StatusCode};

    use super::*;
    use crate::clock::UnixMillis;

    fn answer(status: u16, body: &str) -> AppAnswer {
        let status = StatusCode::from_u16(status).unwrap();
        let body = Bytes::copy_from_slice(body.as_bytes());
        AppAnswer::new(status, &HeaderMap::new(), &body, true).unwrap()
    }

    #[test]
    fn an_answer_is_heard_only_while_somebody_listens() {
        let handled = Handled::default();
        let id = EventId::new(UnixMillis(1));
        assert!(
            !handled.pass_on(id, Some(answer(400, "a"))),
            "nobody is there"
        );
        let mut one = handled.expect(id);
        let mut two = handled.expect(id);
        let other = handled.expect(id);
        drop(other);
        assert!(handled.pass_on(id, Some(answer(400, "b"))));
        assert!(
            !handled.pass_on(id, Some(answer(400, "c"))),
            "it was told already"
        );
        for waits in [&mut one, &mut two] {
            assert_eq!(waits.leave(), Some(Some(answer(400, "b"))));
        }

        let gone = handled.expect(id);
        drop(gone);
        assert!(!handled.pass_on(id, Some(answer(400, "d"))), "it has left");
        assert!(lock(&handled.0).events.is_empty());
    }

    #[test]
    fn only_the_last_answers_are_kept_and_only_those_that_count() {
        let handled = Handled::default();
        let ids: Vec<_> = (0..30).map(|n| EventId::new(UnixMillis(n))).collect();
        let body = "x".repeat(64 * 1024);
        for id in &ids {
            handled.pass_on(*id, Some(answer(200, &body)));
            assert!(lock(&handled.0).recent.bytes <= RECENT_BYTES_MAX);
        }
        assert_eq!(handled.recent(ids[0]), None, "it had to go");
        assert!(handled.recent(ids[29]).is_some());

        handled.pass_on(ids[29], Some(answer(500, "nobody heard it")));
        assert_eq!(handled.recent(ids[29]), None);
        handled.pass_on(ids[28], Some(answer(201, "again")));
        assert_eq!(handled.recent(ids[28]), Some(answer(201, "again")));
        handled.pass_on(ids[28], None);
        assert_eq!(handled.recent(ids[28]), None);

        for id in &ids {
            handled.pass_on(*id, None);
        }
        assert_eq!(lock(&handled.0).recent.bytes, 0);
    }
}
