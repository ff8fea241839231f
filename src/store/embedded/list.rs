//! Lists: which events fit a filter, newest or oldest first.
//!
//! There is an index for our own ids, which are in order of time, and for dead letters, and none for
//! anything else: each would cost every event that is stored. So a list looks at what is there, in
//! steps of one statement, and stops after a time; the page is short then, even empty, and its cursor
//! says where to go on. Where an event stands is looked up in `delivery`, whose rows are a tenth as
//! long. What the index of duplicates knows under the provider's id makes a first page of its own.

use std::time::Duration;

use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension as _, params_from_iter};
use tokio::time::Instant;

use super::read::{Connections, MORE};
use super::record::HEAD_COLUMNS;
use super::schema::{self, FLOOR};
use crate::clock::UnixMillis;
use crate::event::EventId;
use crate::store::view::{Cursor, Filter, Page, Query, Sort, State, Summary};
use crate::store::{StoreError, wide};

/// Events that one statement looks at, where it reads their records,
const RECORD_STEP: u64 = if super::SMALL { 5 } else { 500 };
/// and where it reads only where they stand.
const STANDING_STEP: u64 = if super::SMALL { 10 } else { 10_000 };
/// and where it reads only the index of dead letters, and the records of those.
const DEAD_STEP: u64 = if super::SMALL { 20 } else { 50_000 };
/// After this long, a list ends with what it has.
const PATIENCE: Duration = Duration::from_millis(15);
/// Events are stored in order of time but for this much: a clock that was set back further hides
/// from a list by time what came meanwhile.
const DISORDER: Duration = Duration::from_hours(1);
/// Longest page.
const LIMIT_MAX: usize = 1_000;

/// Where a statement finds its events.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Plan {
    /// Dead letters, through their index.
    Dead,
    /// Our own id, through its index: one statement finds it.
    Id,
    /// Rows of `delivery` first: everything below the floor has one.
    Standing,
    /// Record by record.
    Record,
}

impl Plan {
    fn tables(self) -> &'static str {
        match self {
            Self::Dead => "delivery d INDEXED BY delivery_dead CROSS JOIN event e USING(seq)",
            Self::Standing => "delivery d CROSS JOIN event e USING(seq)",
            Self::Id | Self::Record => "event e LEFT JOIN delivery d USING(seq)",
        }
    }

    fn seq(self) -> &'static str {
        match self {
            Self::Dead | Self::Standing => "d.seq",
            Self::Id | Self::Record => "e.seq",
        }
    }
}

/// A filter as SQL.
struct Conditions {
    sql: String,
    values: Vec<Value>,
}

impl Conditions {
    fn of(filter: &Filter, plan: Plan) -> Self {
        let mut conditions = Self {
            sql: String::new(),
            values: Vec::new(),
        };
        if let Some(source) = &filter.source {
            let place = match plan {
                Plan::Dead | Plan::Standing => "d.source",
                Plan::Id | Plan::Record => "e.source",
            };
            let condition = format!("{place} = (SELECT id FROM source WHERE name = ?)");
            conditions.add(&condition, Value::Text(source.as_str().into()));
        }
        if let Some(event_type) = &filter.event_type {
            conditions.add("e.type = ?", Value::Text(event_type.to_string()));
        }
        if let Some(since) = filter.since {
            conditions.add("e.received_at >= ?", Value::Integer(since.0));
        }
        if let Some(until) = filter.until {
            conditions.add("e.received_at < ?", Value::Integer(until.0));
        }
        if let Some(id) = &filter.id {
            match id.parse::<EventId>() {
                Ok(id) => conditions.add("e.id = ?", Value::Blob(id.as_bytes().to_vec())),
                Err(_) => conditions.add("e.provider_id = ?", Value::Text(id.to_string())),
            }
        }
        conditions.sql.push_str(match filter.state {
            Some(State::Pending) => " AND coalesce(d.state, 0) = 0",
            Some(State::Delivered) => " AND d.state = 1",
            Some(State::Dead) => " AND d.state = 2",
            None => "",
        });
        conditions
    }

    fn add(&mut self, condition: &str, value: Value) {
        self.sql.push_str(" AND ");
        self.sql.push_str(condition);
        self.values.push(value);
    }
}

/// What is there to look at.
#[derive(Clone, Copy)]
struct Extent {
    /// The oldest,
    start: u64,
    /// and one more than the newest.
    end: u64,
    /// Everything below has a row in `delivery`.
    floor: u64,
}

fn extent(db: &Connection, query: &Query) -> Result<Extent, rusqlite::Error> {
    let newest: i64 = db.query_row("SELECT coalesce(max(seq), 0) FROM event", [], |row| {
        row.get(0)
    })?;
    let mut extent = Extent {
        start: 1,
        end: newest.cast_unsigned() + 1,
        floor: schema::counter(db, FLOOR)?.cast_unsigned(),
    };
    // A replay must not miss what came before a clock was set back; it has the time to look.
    if query.sort == Sort::NewestFirst {
        extent.narrow(db, &query.filter)?;
    }
    Ok(extent)
}

impl Extent {
    /// Leaves out what is well before or after the time that is asked for.
    fn narrow(&mut self, db: &Connection, filter: &Filter) -> Result<(), rusqlite::Error> {
        let find = |sql: &str, at: UnixMillis| {
            let id = EventId::first_of(at);
            db.prepare_cached(sql)?
                .query_row([&id.as_bytes()[..]], |row| row.get::<_, i64>(0))
                .optional()
        };
        // From the last that is out of the time, not from the first that is in it: near to each other
        // they are in no order.
        if let Some(since) = filter.since {
            let sql = "SELECT seq FROM event WHERE id < ? ORDER BY id DESC LIMIT 1";
            let before = find(sql, since.minus(DISORDER))?;
            self.start = before.map_or(self.start, |seq| seq.cast_unsigned() + 1);
        }
        if let Some(until) = filter.until {
            let sql = "SELECT seq FROM event WHERE id >= ? ORDER BY id LIMIT 1";
            let after = find(sql, until.plus(DISORDER))?;
            self.end = after.map_or(self.end, i64::cast_unsigned);
        }
        Ok(())
    }
}

/// How to look at the events next to `at`, and how many of them in one step.
fn plan(filter: &Filter, sort: Sort, at: u64, extent: Extent) -> (Plan, u64) {
    let id = filter.id.as_ref();
    if id.is_some_and(|id| id.parse::<EventId>().is_ok()) {
        return (Plan::Id, u64::MAX);
    }
    if filter.state == Some(State::Dead) {
        return (Plan::Dead, DEAD_STEP);
    }
    let by_standing = filter.source.is_some() || filter.state.is_some();
    match sort {
        Sort::NewestFirst if by_standing && at > extent.floor => {
            (Plan::Record, RECORD_STEP.min(at - extent.floor))
        }
        Sort::OldestFirst if at >= extent.floor => (Plan::Record, RECORD_STEP),
        Sort::OldestFirst if by_standing => (Plan::Standing, STANDING_STEP.min(extent.floor - at)),
        Sort::NewestFirst if by_standing => (Plan::Standing, STANDING_STEP),
        Sort::NewestFirst | Sort::OldestFirst => (Plan::Record, RECORD_STEP),
    }
}

/// One statement: the events of a range that fit.
struct Look {
    sort: Sort,
    plan: Plan,
    range: std::ops::Range<u64>,
    limit: usize,
}

impl Connections {
    pub(super) fn page(&self, query: &Query) -> Result<Page, StoreError> {
        let (limit, began) = (query.limit.clamp(1, LIMIT_MAX), Instant::now());
        let (filter, sort) = (&query.filter, query.sort);
        let extent = self.with(|db| extent(db, query))?;
        let cursor = query.cursor.map(Cursor::at);
        let mut at = match sort {
            Sort::NewestFirst => cursor.map_or(extent.end, |at| at.min(extent.end)),
            Sort::OldestFirst => cursor.map_or(extent.start, |at| at.max(extent.start)),
        };
        let is_over = |at: u64| match sort {
            Sort::NewestFirst => at <= extent.start,
            Sort::OldestFirst => at >= extent.end,
        };
        let mut page = Page::default();
        if query.cursor.is_none() && query.known.len() <= limit {
            page.events = self.known(query)?;
        }
        if !page.events.is_empty() {
            page.next = (!is_over(at)).then_some(Cursor::new(at, true));
            return Ok(page);
        }
        let after_known = query.cursor.is_some_and(Cursor::is_after_known);
        let shown = query.known.iter().copied().filter(|_| after_known);
        let shown: Vec<u64> = shown.collect();
        while !is_over(at) {
            let (plan, step) = plan(filter, sort, at, extent);
            let range = match sort {
                Sort::NewestFirst => at.saturating_sub(step).max(extent.start)..at,
                Sort::OldestFirst => at..at.saturating_add(step).min(extent.end),
            };
            let look = Look {
                sort,
                plan,
                range,
                limit: limit - page.events.len(),
            };
            let (found, next) = self.with(|db| self.look(db, filter, &look))?;
            let found = found.into_iter().filter(|(_, seq)| !shown.contains(seq));
            page.events.extend(found.map(|(summary, _)| summary));
            at = next;
            if page.events.len() >= limit || began.elapsed() > PATIENCE {
                break;
            }
        }
        page.next = (!is_over(at)).then_some(Cursor::new(at, after_known));
        Ok(page)
    }

    /// The events that are known by their provider's id, as far as they fit the filter.
    fn known(&self, query: &Query) -> Result<Vec<Summary>, StoreError> {
        let mut known = query.known.clone();
        known.sort_unstable_by(|a, b| b.cmp(a));
        known.dedup();
        let mut found = Vec::new();
        for seq in known {
            let look = Look {
                sort: query.sort,
                plan: Plan::Record,
                range: seq..seq + 1,
                limit: 1,
            };
            let (event, _) = self.with(|db| self.look(db, &query.filter, &look))?;
            found.extend(event.into_iter().map(|(summary, _)| summary));
        }
        Ok(found)
    }

    /// What one statement finds, with its sequence numbers, and where to go on.
    fn look(
        &self,
        db: &Connection,
        filter: &Filter,
        look: &Look,
    ) -> Result<(Vec<(Summary, u64)>, u64), rusqlite::Error> {
        let conditions = Conditions::of(filter, look.plan);
        let (seq, tables) = (look.plan.seq(), look.plan.tables());
        let direction = match look.sort {
            Sort::NewestFirst => "DESC",
            Sort::OldestFirst => "ASC",
        };
        let sql = format!(
            "SELECT {HEAD_COLUMNS}, {MORE} FROM {tables} JOIN source s ON s.id = e.source
             WHERE {seq} >= ? AND {seq} < ?{} ORDER BY {seq} {direction} LIMIT ?",
            conditions.sql
        );
        let whole = |n: u64| Value::Integer(n.cast_signed());
        let limit = wide(look.limit);
        let range = [whole(look.range.start), whole(look.range.end)];
        let values = range.into_iter().chain(conditions.values);
        let values = params_from_iter(values.chain([whole(limit)]));
        let mut select = db.prepare_cached(&sql)?;
        let rows = select.query_map(values, |row| {
            let (summary, stored) = self.summary(row, true)?;
            Ok((summary, stored.seq))
        })?;
        let found = rows.collect::<Result<Vec<_>, _>>()?;
        let last = found.last().map(|(_, seq)| *seq);
        let next = match (look.sort, last.filter(|_| wide(found.len()) == limit)) {
            (Sort::NewestFirst, Some(last)) => last,
            (Sort::OldestFirst, Some(last)) => last + 1,
            (Sort::NewestFirst, None) => look.range.start,
            (Sort::OldestFirst, None) => look.range.end,
        };
        Ok((found, next))
    }
}
