//! Reading back what is due: retries behind the cursor of each source, and fresh events that did
//! not fit into memory.

use rusqlite::{OptionalExtension as _, Row, params};

use super::record::{COLUMNS, Condition, Stored, WIDTH};
use super::schema::PENDING;
use super::{Embedded, classify, schema};
use crate::clock::UnixMillis;
use crate::event::{Event, EventId, HeaderList, SourceName};
use crate::planted::{Bug, planted};
use crate::store::backlog::Ready;
use crate::store::engine::{Claim, Claimed, EngineError, Mark};
use crate::store::lease::{DeadReason, Settlement};

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

/// Due retries read from the index at once.
const BUFFER: i64 = 64;
/// Events looked at by one slice of the scan.
const SCAN: u64 = if super::SMALL { 20 } else { 5_000 };
/// An event whose record the disk does not give back is tried this often,
const READ_TRIES: u32 = 10;
/// this far apart, before the others of its source go on without it.
const READ_AGAIN: Duration = Duration::from_secs(1);

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
            if let Err(error) = self.fill(at, now) {
                self.heed(&error);
                return Err(unread(&error));
            }
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
        let name = source.name.clone();
        let found = match self.look_up(seq, &name) {
            Ok(found) => {
                self.unread.remove(&seq);
                found
            }
            // This one cannot be read; the others can, and a dead letter says so.
            Err(error) if unreadable(&error) => {
                self.place.marker.set(&error.to_string());
                return Ok(Some(self.quarantine(seq, nameless(name))));
            }
            Err(error) if self.was_last_try(seq, &error, now) => {
                tracing::error!(seq, %error, "an event could not be read {READ_TRIES} times");
                return Ok(Some(self.quarantine(seq, nameless(name))));
            }
            Err(error) => return Err(unread(&error)),
        };
        let Some(Due { stored, standing }) = found else {
            // Whoever waits has a record.
            self.place.marker.set("an event that waits has no record");
            return Ok(Some(self.quarantine(seq, nameless(name))));
        };
        let due = match &standing {
            None => !is_retry,
            // Where the row cannot be believed the event is rather delivered once too often.
            Some(news) if !news.sound => {
                self.place
                    .marker
                    .set("where an event stands does not match its checksum");
                true
            }
            Some(news) => {
                is_retry && news.state == PENDING && news.next_at.is_none_or(|at| at <= now.0)
            }
        };
        if !due {
            return Ok(None);
        }
        match stored.condition {
            Condition::Whole => Ok(Some(Claimed::Ready(ready(stored, standing)))),
            Condition::Damaged if planted(Bug::DropOnBadChecksum) => Ok(None),
            Condition::Damaged => Ok(Some(self.quarantine(seq, stored.event))),
            Condition::Erased => Ok(Some(dead(seq, stored.event, DeadReason::Erased))),
        }
    }

    fn look_up(&self, seq: u64, source: &SourceName) -> Result<Option<Due>, rusqlite::Error> {
        let mut select = self.db.prepare_cached(&select_due(COLUMNS))?;
        let row = |row: &Row<'_>| {
            let standing = match row.get(WIDTH)? {
                None => None,
                Some(state) => {
                    let next_at = row.get(WIDTH + 3)?;
                    let sum = self.sums.standing(seq, state, next_at, row.get(WIDTH + 5)?);
                    Some(Standing {
                        state,
                        attempts: row.get(WIDTH + 1)?,
                        replay: row.get(WIDTH + 2)?,
                        next_at,
                        since: row.get::<_, Option<i64>>(WIDTH + 4)?.map(UnixMillis),
                        sound: sum == row.get::<_, i64>(WIDTH + 6)?,
                    })
                }
            };
            let stored = Stored::read(row, source.clone(), self.sums)?;
            Ok(Due { stored, standing })
        };
        select.query_row([seq.cast_signed()], row).optional()
    }

    /// A dead letter that says that it cannot be read; counted.
    fn quarantine(&mut self, seq: u64, event: Event) -> Claimed {
        if !planted(Bug::QuarantineSilently) {
            self.damaged += 1;
        }
        dead(seq, event, DeadReason::Unreadable)
    }

    /// A read that fails may succeed later: it is tried [`READ_TRIES`] times, a second apart.
    fn was_last_try(&mut self, seq: u64, error: &rusqlite::Error, now: UnixMillis) -> bool {
        if !matches!(classify(error), EngineError::Fatal(_)) {
            return false; // busy, not broken
        }
        let (tries, last) = self.unread.entry(seq).or_insert((0, UnixMillis(i64::MIN)));
        if now.since(*last) >= READ_AGAIN {
            (*tries, *last) = (*tries + 1, now);
        }
        let given_up = *tries >= READ_TRIES;
        if given_up {
            self.unread.remove(&seq);
        }
        given_up
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
            } else {
                return Err(schema::corrupt("an event is of a source that has no name"));
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

/// What [`Embedded::look_up`] finds.
struct Due {
    stored: Stored,
    /// `None` while it is fresh.
    standing: Option<Standing>,
}

struct Standing {
    state: i64,
    attempts: u32,
    replay: bool,
    next_at: Option<i64>,
    since: Option<UnixMillis>,
    /// The row matches its checksum.
    sound: bool,
}

fn ready(stored: Stored, standing: Option<Standing>) -> Ready {
    let since = standing.as_ref().and_then(|news| news.since);
    Ready {
        seq: stored.seq,
        pending_since: since.unwrap_or(stored.accepted_at),
        attempt: standing
            .as_ref()
            .map_or(0, |news| news.attempts)
            .saturating_add(1),
        replay: standing.is_some_and(|news| news.replay),
        event: Arc::new(stored.event),
    }
}

fn dead(seq: u64, event: Event, reason: DeadReason) -> Claimed {
    Claimed::Damaged(Mark {
        seq,
        event: Arc::new(event),
        attempt: 0,
        settlement: Settlement::Dead {
            attempt: None,
            reason,
        },
    })
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
        "SELECT {columns}, d.state, d.attempts, d.replay, d.next_at, d.since, d.done_at, d.sum
         FROM event e LEFT JOIN delivery d USING(seq) WHERE e.seq = ?1"
    )
}
