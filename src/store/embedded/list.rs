//! Lists: which events fit a filter, newest or oldest first.
//!
//! There is an index for our own ids and for dead letters, and none for anything else: each would
//! cost every event that is stored. So a list looks at what is there, in steps of one statement, and
//! stops after a time; the page is short then, even empty, and its cursor says where to go on. Where
//! an event stands is looked up in `delivery`, whose rows are a tenth as long.

use std::time::Duration;

use rusqlite::types::Value;
use rusqlite::{Connection, params_from_iter};
use tokio::time::Instant;

use super::read::{Connections, MORE};
use super::record::HEAD_COLUMNS;
use super::schema::{self, FLOOR};
use crate::event::EventId;
use crate::store::view::{Cursor, Filter, Page, Sort, State, Summary};
use crate::store::{StoreError, wide};

/// Events that one statement looks at, where it reads their records,
const RECORD_STEP: u64 = if super::SMALL { 5 } else { 1_000 };
/// and where it reads only where they stand.
const STANDING_STEP: u64 = if super::SMALL { 10 } else { 10_000 };
/// and where it reads only the index of dead letters, and the records of those.
const DEAD_STEP: u64 = if super::SMALL { 20 } else { 50_000 };
/// After this long, a list ends with what it has.
const PATIENCE: Duration = Duration::from_millis(20);
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
    /// One more than the newest.
    end: u64,
    /// Everything below has a row in `delivery`.
    floor: u64,
}

fn extent(db: &Connection) -> Result<Extent, rusqlite::Error> {
    let newest: i64 = db.query_row("SELECT coalesce(max(seq), 0) FROM event", [], |row| {
        row.get(0)
    })?;
    Ok(Extent {
        end: newest.cast_unsigned() + 1,
        floor: schema::counter(db, FLOOR)?.cast_unsigned(),
    })
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
    pub(super) fn page(
        &self,
        filter: &Filter,
        sort: Sort,
        limit: usize,
        cursor: Option<Cursor>,
    ) -> Result<Page, StoreError> {
        let (limit, began) = (limit.clamp(1, LIMIT_MAX), Instant::now());
        let extent = self.with(extent)?;
        let mut at = match (sort, cursor) {
            (Sort::NewestFirst, None) => extent.end,
            (Sort::NewestFirst, Some(Cursor(at))) => at.min(extent.end),
            (Sort::OldestFirst, None) => 1,
            (Sort::OldestFirst, Some(Cursor(at))) => at.max(1),
        };
        let is_over = |at: u64| match sort {
            Sort::NewestFirst => at <= 1,
            Sort::OldestFirst => at >= extent.end,
        };
        let mut page = Page::default();
        while !is_over(at) {
            let (plan, step) = plan(filter, sort, at, extent);
            let range = match sort {
                Sort::NewestFirst => at.saturating_sub(step)..at,
                Sort::OldestFirst => at..at.saturating_add(step).min(extent.end),
            };
            let look = Look {
                sort,
                plan,
                range,
                limit: limit - page.events.len(),
            };
            let (found, next) = self.with(|db| self.look(db, filter, &look))?;
            page.events.extend(found);
            at = next;
            if page.events.len() >= limit || began.elapsed() > PATIENCE {
                break;
            }
        }
        page.next = (!is_over(at)).then_some(Cursor(at));
        Ok(page)
    }

    /// What one statement finds, and where to go on.
    fn look(
        &self,
        db: &Connection,
        filter: &Filter,
        look: &Look,
    ) -> Result<(Vec<Summary>, u64), rusqlite::Error> {
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
        let rows = select.query_map(values, |row| self.summary(row, true))?;
        let found = rows.collect::<Result<Vec<_>, _>>()?;
        let last = found.last().map(|(_, stored)| stored.seq);
        let next = match (look.sort, last.filter(|_| wide(found.len()) == limit)) {
            (Sort::NewestFirst, Some(last)) => last,
            (Sort::OldestFirst, Some(last)) => last + 1,
            (Sort::NewestFirst, None) => look.range.start,
            (Sort::OldestFirst, None) => look.range.end,
        };
        let found = found.into_iter().map(|(summary, _)| summary);
        Ok((found.collect(), next))
    }
}
