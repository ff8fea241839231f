//! Reading back what is due: retries behind the cursor of each source, and fresh events that did
//! not fit into memory.

use rusqlite::{OptionalExtension as _, params};

use super::record::{COLUMNS, Condition, Stored, WIDTH};
use super::schema::PENDING;
use super::{Embedded, classify};
use crate::clock::UnixMillis;
use crate::event::{Event, EventId, HeaderList, SourceName};
use crate::planted::{Bug, planted};
use crate::store::backlog::Ready;
use crate::store::engine::{Claim, Claimed, EngineError, Mark};
use crate::store::lease::{DeadReason, Settlement};

use std::collections::HashSet;
use std::sync::Arc;

/// Due retries read from the index at once.
const BUFFER: i64 = 64;
/// Events looked at by one slice of the scan.
const SCAN: u64 = if super::SMALL { 20 } else { 5_000 };

impl Embedded {
    pub(super) fn claim(
        &mut self,
        now: UnixMillis,
        claim: &Claim<'_>,
    ) -> Result<Vec<Claimed>, EngineError> {
        let full: HashSet<_> = claim.full.iter().collect();
        let mut open: Vec<usize> = (0..self.sources.len())
            .filter(|at| {
                self.sources
                    .at(*at)
                    .is_some_and(|source| !full.contains(&source.name))
            })
            .collect();
        if !open.is_empty() {
            // Whoever came first last time comes later this time.
            self.turn = (self.turn + 1) % open.len();
            open.rotate_left(self.turn);
        }
        let mut claimed = Vec::new();
        let mut failed = None;
        let mut bytes = 0;
        while !open.is_empty() {
            let mut next = Vec::with_capacity(open.len());
            for at in open {
                if claimed.len() >= claim.events_max || bytes >= claim.bytes_max {
                    return Ok(claimed);
                }
                let found = match self.claim_one(at, now) {
                    Ok(Some(found)) => found,
                    Ok(None) => continue,
                    Err(error @ EngineError::Fatal(_)) => return Err(error),
                    // What is claimed already must not be lost; this source waits.
                    Err(error) => {
                        tracing::warn!(%error, "an event could not be read; trying again");
                        failed = Some(error);
                        continue;
                    }
                };
                if let Claimed::Ready(ready) = &found {
                    bytes += ready.event.size_bytes();
                }
                claimed.push(found);
                next.push(at);
            }
            open = next;
        }
        match failed {
            Some(error) if claimed.is_empty() => Err(error),
            _ => Ok(claimed),
        }
    }

    /// The next event of a source: retries and fresh ones in turn.
    fn claim_one(&mut self, at: usize, now: UnixMillis) -> Result<Option<Claimed>, EngineError> {
        loop {
            self.fill(at, now).map_err(|error| unread(&error))?;
            let Some(source) = self.sources.at_mut(at) else {
                return Ok(None);
            };
            self.retry_turn = !self.retry_turn;
            let fresh_first = self.retry_turn && source.has_fresh();
            let retry = if fresh_first {
                None
            } else {
                source.due.buffered.pop_front()
            };
            let (seq, is_retry) = match retry {
                Some(seq) => (seq, true),
                None => match source.next_fresh(&self.fresh) {
                    Some(seq) => (seq, false),
                    None if source.due.buffered.is_empty() => return Ok(None),
                    None => continue,
                },
            };
            if is_retry && self.claimed.contains(&seq) {
                continue;
            }
            match self.read_due(at, seq, is_retry, now) {
                Ok(None) => {}
                Ok(Some(found)) => {
                    if is_retry {
                        self.claimed.insert(seq);
                    }
                    return Ok(Some(found));
                }
                Err(error) => {
                    if let Some(source) = self.sources.at_mut(at) {
                        source.put_back(seq, is_retry);
                    }
                    return Err(error);
                }
            }
        }
    }

    /// Reads due retries of a source into its buffer.
    fn fill(&mut self, at: usize, now: UnixMillis) -> Result<(), rusqlite::Error> {
        let Some(source) = self.sources.at_mut(at) else {
            return Ok(());
        };
        let due = &mut source.due;
        if !due.buffered.is_empty() || due.next_at.is_none_or(|at| at > now.0) {
            return Ok(());
        }
        let mut select = self.db.prepare_cached(
            "SELECT next_at, seq FROM delivery WHERE source = ?1 AND state = 0
               AND (next_at, seq) > (?2, ?3) ORDER BY next_at, seq LIMIT ?4",
        )?;
        let (next_at, seq) = due.cursor;
        let rows = select.query_map(
            params![source.id, next_at, seq.cast_signed(), BUFFER],
            |row| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?.cast_unsigned())),
        )?;
        let rows = rows.collect::<Result<Vec<_>, _>>()?;
        due.next_at = None;
        let mut left = BUFFER;
        for (next_at, seq) in rows {
            if next_at > now.0 {
                due.next_at = Some(next_at);
                return Ok(());
            }
            due.cursor = (next_at, seq);
            due.buffered.push_back(seq);
            left -= 1;
        }
        if left == 0 {
            due.next_at = Some(now.0); // there may be more
        }
        Ok(())
    }

    /// Reads one event and checks that it is still to be delivered.
    fn read_due(
        &mut self,
        at: usize,
        seq: u64,
        is_retry: bool,
        now: UnixMillis,
    ) -> Result<Option<Claimed>, EngineError> {
        let Some(source) = self.sources.at(at) else {
            return Ok(None);
        };
        let sql = select_due(COLUMNS);
        let read = || {
            self.db
                .prepare_cached(&sql)?
                .query_row([seq.cast_signed()], |row| {
                    let state: Option<i64> = row.get(WIDTH)?;
                    let next_at: Option<i64> = row.get(WIDTH + 3)?;
                    let due = match state {
                        None => !is_retry,
                        Some(state) => {
                            is_retry && state == PENDING && next_at.is_none_or(|at| at <= now.0)
                        }
                    };
                    if !due {
                        return Ok(None);
                    }
                    let stored = Stored::read(row, source.name.clone(), self.sums)?;
                    let attempts: Option<u32> = row.get(WIDTH + 1)?;
                    let replay: Option<bool> = row.get(WIDTH + 2)?;
                    let since: Option<i64> = row.get(WIDTH + 4)?;
                    Ok(Some((stored, attempts, replay, since)))
                })
                .optional()
        };
        match read() {
            Ok(None | Some(None)) => Ok(None),
            Ok(Some(Some((stored, attempts, replay, since)))) => {
                if stored.condition == Condition::Whole {
                    return Ok(Some(Claimed::Ready(Ready {
                        seq,
                        pending_since: since.map_or(stored.accepted_at, UnixMillis),
                        attempt: attempts.unwrap_or(0).saturating_add(1),
                        replay: replay.unwrap_or(false),
                        event: Arc::new(stored.event),
                    })));
                }
                if planted(Bug::DropOnBadChecksum) {
                    return Ok(None);
                }
                let reason = match stored.condition {
                    Condition::Erased => DeadReason::Erased,
                    Condition::Whole | Condition::Damaged => DeadReason::Unreadable,
                };
                self.damaged += u64::from(reason == DeadReason::Unreadable);
                Ok(Some(Claimed::Damaged(Mark {
                    seq,
                    event: Arc::new(stored.event),
                    settlement: Settlement::Dead {
                        attempt: None,
                        reason,
                    },
                })))
            }
            // This one cannot be read; the others can, and a dead letter says so.
            Err(error) if unreadable(&error) => {
                self.damaged += 1;
                Ok(Some(Claimed::Damaged(Mark {
                    seq,
                    event: Arc::new(nameless(source.name.clone())),
                    settlement: Settlement::Dead {
                        attempt: None,
                        reason: DeadReason::Unreadable,
                    },
                })))
            }
            Err(error) => Err(unread(&error)),
        }
    }

    /// Finds fresh events that are only on disk: after a start, or when a source had too many for
    /// memory. Looks at a slice of them; `true` if there is more to look at now.
    pub(super) fn scan(&mut self) -> Result<bool, rusqlite::Error> {
        let Some(from) = self.sources.scan_from() else {
            return Ok(false);
        };
        let last = from.saturating_add(SCAN - 1).min(self.high);
        let mut select = self.db.prepare_cached(
            "SELECT e.seq, e.source FROM event e LEFT JOIN delivery d USING(seq)
             WHERE e.seq BETWEEN ?1 AND ?2 AND d.seq IS NULL ORDER BY e.seq",
        )?;
        let rows = select.query_map([from.cast_signed(), last.cast_signed()], |row| {
            Ok((row.get::<_, i64>(0)?.cast_unsigned(), row.get::<_, i64>(1)?))
        })?;
        let found = rows.collect::<Result<Vec<_>, _>>()?;
        let mut next = from;
        for (seq, id) in found {
            (next..seq).for_each(|gone| self.fresh.set_news(gone));
            next = seq + 1;
            if let Some(source) = self
                .sources
                .by_id(id)
                .and_then(|at| self.sources.at_mut(at))
            {
                source.found(seq, from);
            }
        }
        (next..=last).for_each(|gone| self.fresh.set_news(gone));
        self.sources.scanned(from..=last, self.high);
        Ok(self.sources.scan_from().is_some())
    }
}

/// Whether an error of a read is about the record, not the store or the moment.
fn unreadable(error: &rusqlite::Error) -> bool {
    // No code: a column that is not of its type.
    let code = error.sqlite_error_code();
    code.is_none_or(|code| code == rusqlite::ErrorCode::DatabaseCorrupt)
}

/// What an error of a read means: nothing was written, so it may be tried again.
fn unread(error: &rusqlite::Error) -> EngineError {
    let why = classify(error);
    if matches!(why, EngineError::Fatal(_)) && !unreadable(error) {
        return EngineError::Unavailable(error.to_string().into());
    }
    why
}

/// Stands for an event of which nothing can be read.
fn nameless(source: SourceName) -> Event {
    Event {
        id: EventId::from_bytes([0; 16]),
        source,
        received_at: UnixMillis(0),
        provider_event_id: None,
        event_type: None,
        verified: "".into(),
        method: http::Method::POST,
        target: "".into(),
        headers: HeaderList::default(),
        body: bytes::Bytes::new(),
    }
}

fn select_due(columns: &str) -> String {
    format!(
        "SELECT {columns}, d.state, d.attempts, d.replay, d.next_at, d.since
         FROM event e LEFT JOIN delivery d USING(seq) WHERE e.seq = ?1"
    )
}
