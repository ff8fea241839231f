//! Settlements as rows.

use bytes::Bytes;
use rusqlite::{OptionalExtension as _, params};

use super::commit::{Draft, Tx};
use super::schema::{DEAD, DELIVERED, PENDING};
use crate::store::engine::Mark;
use crate::store::lease::{Attempt, DeadReason, Settlement};

/// Of a superseded attempt this much of the app's answer is kept,
const OLD_ANSWER_MAX: i64 = 4096;
/// and this many of them.
const OLD_ATTEMPTS_MAX: i64 = 32;

/// A settlement in terms of the table.
struct News<'a> {
    state: i64,
    next_at: Option<i64>,
    done_at: Option<i64>,
    reason: Option<DeadReason>,
    attempt: Option<&'a Attempt>,
}

impl<'a> News<'a> {
    fn new(settlement: &'a Settlement, now: i64) -> Self {
        let (state, next_at, reason, attempt) = match settlement {
            Settlement::Delivered(attempt) => (DELIVERED, None, None, Some(attempt)),
            Settlement::Retry { next_at, attempt } => {
                (PENDING, Some(next_at.0), None, Some(attempt))
            }
            Settlement::Dead { attempt, reason } => (DEAD, None, Some(*reason), attempt.as_ref()),
        };
        let done_at = (state != PENDING).then_some(now);
        Self {
            state,
            next_at,
            done_at,
            reason,
            attempt,
        }
    }

    fn sum(&self, tx: &Tx<'_>, seq: u64) -> i64 {
        tx.sums
            .standing(seq, self.state, self.next_at, self.done_at)
    }
}

impl Tx<'_> {
    /// Writes one settlement, unless there is nothing left to settle; `fresh` if the event has no
    /// delivery row yet.
    pub(super) fn settle(
        &self,
        mark: &Mark,
        fresh: bool,
        draft: &mut Draft,
    ) -> Result<bool, rusqlite::Error> {
        let mut news = News::new(&mark.settlement, self.now.0);
        let without_answer;
        let Some(source) = self.sources.place_of(&mark.event.source) else {
            return Ok(false);
        };
        draft.settled.push(mark.seq);
        let before = if fresh {
            let id = self.sources.at(source).map_or(0, |source| source.id);
            self.insert(mark.seq, id, &news)?;
            draft.news.push(mark.seq);
            PENDING
        } else {
            let row = self
                .db
                .prepare_cached("SELECT state, reason FROM delivery WHERE seq = ?1")?
                .query_row([mark.seq.cast_signed()], |row| {
                    Ok((row.get::<_, i64>(0)?, row.get::<_, Option<String>>(1)?))
                })
                .optional()?;
            let Some((before, reason)) = row else {
                return Ok(false); // pruned meanwhile
            };
            let erased = reason.as_deref() == Some(DeadReason::Erased.as_str());
            if erased && news.state != DELIVERED {
                return Ok(false); // erased while it was leased: there is nothing left to try
            }
            if erased {
                // What the app said may repeat what was erased.
                without_answer = news.attempt.map(|attempt| Attempt {
                    answer: Bytes::new(),
                    ..attempt.clone()
                });
                news.attempt = without_answer.as_ref();
            }
            self.update(mark.seq, &news)?;
            before
        };
        draft.bytes += 64
            + news
                .attempt
                .map_or(0, |attempt| crate::store::wide(attempt.answer.len()));
        draft.tally(source, before, -1);
        draft.tally(source, news.state, 1);
        if let Some(next_at) = news.next_at {
            draft.due.push((source, next_at, mark.seq));
        }
        Ok(true)
    }

    fn insert(&self, seq: u64, source: i64, news: &News<'_>) -> Result<(), rusqlite::Error> {
        let attempt = news.attempt;
        let answer = attempt
            .map(|attempt| &attempt.answer[..])
            .filter(|answer| !answer.is_empty());
        self.db
            .prepare_cached(
                "INSERT INTO delivery(seq, source, state, attempts, tries, next_at, replay, done_at,
                   reason, at, took, outcome, status, answer, error, sum)
                 VALUES(?1, ?2, ?3, ?4, ?4, ?5, 0, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)",
            )?
            .execute(params![
                seq.cast_signed(),
                source,
                news.state,
                i64::from(attempt.is_some()),
                news.next_at,
                news.done_at,
                news.reason.map(DeadReason::as_str),
                attempt.map(|attempt| attempt.at.0),
                attempt.map(took),
                attempt.map(|attempt| attempt.outcome),
                attempt.and_then(|attempt| attempt.status),
                answer,
                attempt.and_then(|attempt| attempt.error.as_deref()),
                news.sum(self, seq),
            ])?;
        Ok(())
    }

    fn update(&self, seq: u64, news: &News<'_>) -> Result<(), rusqlite::Error> {
        self.db
            .prepare_cached(
                "UPDATE delivery SET state = ?2, next_at = ?3, done_at = ?4, reason = ?5, sum = ?6 WHERE seq = ?1",
            )?
            .execute(params![
                seq.cast_signed(),
                news.state,
                news.next_at,
                news.done_at,
                news.reason.map(DeadReason::as_str),
                news.sum(self, seq),
            ])?;
        let Some(attempt) = news.attempt else {
            return Ok(());
        };
        self.db
            .prepare_cached(
                "INSERT OR REPLACE INTO attempt(seq, n, at, took, outcome, status, answer, error)
                 SELECT seq, tries, at, took, outcome, status, substr(answer, 1, ?2), error
                 FROM delivery WHERE seq = ?1 AND at IS NOT NULL",
            )?
            .execute([seq.cast_signed(), OLD_ANSWER_MAX])?;
        self.db
            .prepare_cached(
                "DELETE FROM attempt WHERE seq = ?1
                   AND n <= (SELECT tries FROM delivery WHERE seq = ?1) - ?2",
            )?
            .execute([seq.cast_signed(), OLD_ATTEMPTS_MAX])?;
        self.db
            .prepare_cached(
                "UPDATE delivery SET attempts = attempts + 1, tries = tries + 1, at = ?2, took = ?3,
                   outcome = ?4, status = ?5, answer = ?6, error = ?7 WHERE seq = ?1",
            )?
            .execute(params![
                seq.cast_signed(),
                attempt.at.0,
                took(attempt),
                attempt.outcome,
                attempt.status,
                Some(&attempt.answer[..]).filter(|answer| !answer.is_empty()),
                attempt.error.as_deref(),
            ])?;
        Ok(())
    }
}

fn took(attempt: &Attempt) -> i64 {
    i64::try_from(attempt.took.as_micros()).unwrap_or(i64::MAX)
}
