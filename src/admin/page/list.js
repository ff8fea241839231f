// A list of events that follows the gate: what is loaded, what came since, and where they meet.
// The functions decide and are pure; `useList` at the end loads, listens and lets them decide.

import { useCallback, useEffect, useReducer, useRef, useState } from "./vendor/htm-preact.js";
import { inTurn, path, read } from "./api.js";
import { follow, rest } from "./tail.js";

export const PAGE = 50;
/** Older rows are let go beyond this, so that a page that is left open does not grow. */
export const ROWS_MAX = 1000;
/** News are shown together: a busy gate has thousands a second. */
const NEWS_MS = 200;
/** After a look at the first page the next one waits this long: gaps come in floods, too. */
const LOOK_MS = 1000;
/** Pages without an event that a look passes over before it gives up. */
const LOOK_PAGES = 10;
/** Whoever has scrolled further than this is reading. */
const READING_PX = 120;

/** Whether the filter of a URL lets this event through, as the gate would say. */
export function matches(filter, event) {
  const at = Date.parse(event.received_at);
  return (
    (!filter.source || filter.source === event.source) &&
    (!filter.state || filter.state === event.state) &&
    (!filter.type || filter.type === event.type) &&
    (!filter.id || filter.id === event.id || filter.id === event.provider_event_id) &&
    (!filter.since || at >= Date.parse(filter.since)) &&
    (!filter.until || at < Date.parse(filter.until))
  );
}

const isNewer = (one, other) =>
  one.received_at === other.received_at ? one.id > other.id : one.received_at > other.received_at;

/** The rows with these events: known ones in their place, others where their time puts them. */
export function merged(rows, events) {
  const known = new Map(rows.map((row) => [row.id, row]));
  events.forEach((event) => known.set(event.id, { ...known.get(event.id), ...event }));
  return [...known.values()].sort((one, other) => (isNewer(one, other) ? -1 : 1));
}

const EMPTY = { rows: [], waiting: [], next: undefined, isLoading: true, problem: null, hasGap: false, isCut: false };

function bounded(list) {
  if (list.rows.length <= ROWS_MAX) return list;
  return { ...list, rows: list.rows.slice(0, ROWS_MAX), next: undefined, isCut: true };
}

/** News: known events change in place; others are shown, or wait while somebody reads. */
function withNews(list, all, isReading) {
  // Of several about one event the last counts.
  const events = [...new Map(all.map((event) => [event.id, event])).values()];
  const shown = new Set(list.rows.map((row) => row.id));
  const waits = new Set(list.waiting.map((row) => row.id));
  const last = list.rows.at(-1);
  // Older than all that is loaded: it comes with its page.
  const isInReach = (event) => !last || !(list.next || list.isCut) || isNewer(event, last);
  const isFresh = (event) => event.isMatch && !shown.has(event.id) && !waits.has(event.id) && isInReach(event);
  const fresh = events.filter(isFresh);
  const changed = events.filter((event) => shown.has(event.id));
  const rows = changed.length ? merged(list.rows, changed) : list.rows;
  const waiting = withChanges(list.waiting, events.filter((event) => waits.has(event.id)));
  if (isReading) return { ...list, rows, waiting: merged(waiting, fresh).slice(0, ROWS_MAX) };
  return bounded({ ...list, rows: fresh.length ? merged(rows, fresh) : rows, waiting });
}

/** What waits, without what the filter no longer lets through: nobody has seen it. */
function withChanges(waiting, changed) {
  if (!changed.length) return waiting;
  const gone = new Set(changed.filter((event) => !event.isMatch).map((event) => event.id));
  return merged(waiting, changed).filter((row) => !gone.has(row.id));
}

/**
 * The first page, looked at again after a gap. Where nothing of it was known before the gap, more came
 * than fits on it. `heard` are the ids of what was told since the gap, which may be newer than the page.
 */
function withFirstPage(list, { page, heard, canLeave, isReading }) {
  const listed = new Set(page.events.map((event) => event.id));
  const isBefore = (row) => listed.has(row.id) && !heard.has(row.id);
  const overlaps = list.rows.some(isBefore) || list.waiting.some(isBefore);
  if (!overlaps && list.rows.length && page.next) {
    if (isReading) return { ...list, hasGap: true };
    const later = list.rows.filter((row) => heard.has(row.id));
    return { ...EMPTY, rows: merged(page.events, later), next: page.next, isLoading: false };
  }
  const events = page.events.filter((event) => !heard.has(event.id)).map((event) => ({ ...event, isMatch: true }));
  const stayed = canLeave ? withoutLost(list, page, (row) => listed.has(row.id) || heard.has(row.id)) : list;
  return withNews(stayed, events, isReading && list.rows.length > 0);
}

/** The list without what left it unheard: the page would have it if it were still there. */
function withoutLost(list, page, isThere) {
  const last = page.next ? page.events.at(-1) : null;
  const stays = (row) => isThere(row) || (last !== null && isNewer(last, row));
  return { ...list, rows: list.rows.filter(stays), waiting: list.waiting.filter(stays) };
}

export function reduce(list, action) {
  switch (action.kind) {
    case "start":
      return action.cursor ? { ...list, isLoading: true, problem: null } : EMPTY;
    case "page":
      return bounded({ ...list, rows: merged(list.rows, action.page.events), next: action.page.next });
    case "end":
      return { ...list, isLoading: false, problem: action.problem ?? null };
    case "news":
      return withNews(list, action.events, action.isReading);
    case "first page":
      return withFirstPage(list, action);
    case "show":
      return bounded({ ...list, rows: merged(list.rows, list.waiting), waiting: [] });
    default:
      return list;
  }
}

/** Loads from the cursor on until a page is full or there is no more: pages of a rare filter may be empty. */
async function load(filter, cursor, signal, dispatch) {
  dispatch({ kind: "start", cursor });
  try {
    let [found, next] = [0, cursor];
    do {
      const page = await read(path(["events"], { ...filter, limit: PAGE, cursor: next }), signal);
      if (signal.aborted) return;
      dispatch({ kind: "page", page });
      found += page.events.length;
      next = page.next;
    } while (next && found < PAGE);
    dispatch({ kind: "end" });
  } catch (problem) {
    if (!signal.aborted) dispatch({ kind: "end", problem });
  }
}

/** The newest events of a filter. Its pages may be empty; null if there are too many of these. */
async function firstPage(filter, signal) {
  let next;
  for (let pages = 0; pages < LOOK_PAGES; pages += 1) {
    const page = await read(path(["events"], { ...filter, limit: PAGE, cursor: next }), signal);
    if (page.events.length || !page.next) return page;
    next = page.next;
  }
  return null;
}

/** Looks at the first page after gaps, one look at a time. */
function looker(filter, signal, onPage) {
  let [isOpen, before, since] = [false, new Set(), new Set()];
  const look = inTurn(async () => {
    if (signal.aborted) return;
    before = since;
    const page = await firstPage(filter, signal).catch(() => null);
    if (page && !signal.aborted) onPage(page, before);
    // With another gap meanwhile there is another look to come.
    isOpen = before !== since;
    await rest(LOOK_MS, signal);
  });
  return {
    gap() {
      [isOpen, since] = [true, new Set()];
      look();
    },
    hear(id) {
      if (isOpen) [before, since].forEach((ids) => ids.add(id));
    },
  };
}

function isReading(paused) {
  return paused || window.scrollY > READING_PX || Boolean(document.activeElement?.closest("[data-list]"));
}

/** The list for a filter, and what can be done with it. */
export function useList(filter) {
  const [list, dispatch] = useReducer(reduce, EMPTY);
  const [isPaused, setPaused] = useState(false);
  const [link, setLink] = useState("connecting");
  const paused = useRef(false);
  paused.current = isPaused;
  const loading = useRef(null);
  const key = JSON.stringify(filter);

  const start = useCallback((cursor) => {
    loading.current?.abort();
    loading.current = new AbortController();
    load(filter, cursor, loading.current.signal, dispatch);
  }, [key]);

  useEffect(() => {
    const ending = new AbortController();
    const { signal } = ending;
    start();
    // What is in a state may leave it.
    const canLeave = Boolean(filter.state);
    const { gap, hear } = looker(filter, signal, (page, heard) =>
      dispatch({ kind: "first page", page, heard, canLeave, isReading: isReading(paused.current) }));
    const news = collector((events) => dispatch({ kind: "news", events, isReading: isReading(paused.current) }));
    const onMessage = (name, data) => {
      if (name === "missed") gap();
      if (name !== "event") return;
      hear(data.id);
      news.add({ ...data, isMatch: matches(filter, data) });
    };
    follow({ source: filter.source, signal, onMessage, onGap: gap, onState: setLink });
    return () => {
      ending.abort();
      news.stop();
      loading.current?.abort();
    };
  }, [key]);

  const show = () => (list.hasGap ? start() : dispatch({ kind: "show" }));
  const stop = () => {
    loading.current?.abort();
    dispatch({ kind: "end" });
  };
  return { ...list, link, isPaused, setPaused, show, stop, more: () => start(list.next), again: () => start() };
}

/** Hands over what was added, a few times a second. */
function collector(hand) {
  let [events, timer] = [[], undefined];
  return {
    add(event) {
      events.push(event);
      if (events.length > ROWS_MAX) events.shift();
      timer ??= setTimeout(() => {
        const all = events;
        [events, timer] = [[], undefined];
        hand(all);
      }, NEWS_MS);
    },
    stop: () => clearTimeout(timer),
  };
}
