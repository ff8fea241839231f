// A list of events that follows the gate: what is loaded, what came since, and where they meet.
// The functions decide and are pure; `useList` at the end loads, listens and lets them decide.

import { useCallback, useEffect, useReducer, useRef, useState } from "./vendor/htm-preact.js";
import { path, read } from "./api.js";
import { follow } from "./tail.js";

export const PAGE = 50;
/** Older rows are let go beyond this, so that a page that is left open does not grow. */
export const ROWS_MAX = 1000;
/** News are shown together: a busy gate has thousands a second. */
const NEWS_MS = 200;
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

/** News: events in view change in place; unknown ones are shown, or wait while somebody reads. */
function withNews(list, events, isReading) {
  const shown = new Set(list.rows.map((row) => row.id));
  const last = list.rows.at(-1);
  const changed = events.filter((event) => shown.has(event.id));
  // Older than all that is loaded: it comes with its page.
  const isInReach = (event) => !last || !(list.next || list.isCut) || isNewer(event, last);
  const fresh = events.filter((event) => event.isMatch && !shown.has(event.id) && isInReach(event));
  const rows = changed.length ? merged(list.rows, changed) : list.rows;
  if (isReading) {
    return { ...list, rows, waiting: merged(list.waiting, fresh).slice(0, ROWS_MAX) };
  }
  return bounded({ ...list, rows: fresh.length ? merged(rows, fresh) : rows });
}

/** The first page, looked at again. Where nothing of it is known, more came than fits on it. */
function withFirstPage(list, page, isReading) {
  const known = new Set([...list.rows, ...list.waiting].map((row) => row.id));
  const overlaps = page.events.some((event) => known.has(event.id));
  if (overlaps || !list.rows.length || !page.next) {
    const events = page.events.map((event) => ({ ...event, isMatch: true }));
    return withNews(list, events, isReading && list.rows.length > 0);
  }
  return isReading ? { ...list, hasGap: true } : { ...EMPTY, rows: page.events, next: page.next, isLoading: false };
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
      return withFirstPage(list, action.page, action.isReading);
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
    const first = path(["events"], { ...filter, limit: PAGE });
    const look = async () => {
      const page = await read(first, signal).catch(() => null);
      if (page && !signal.aborted) dispatch({ kind: "first page", page, isReading: isReading(paused.current) });
    };
    const news = collector((events) => dispatch({ kind: "news", events, isReading: isReading(paused.current) }));
    const onMessage = (name, data) => {
      if (name === "event") news.add({ ...data, isMatch: matches(filter, data) });
      if (name === "missed") look();
    };
    follow({ source: filter.source, signal, onMessage, onGap: look, onState: setLink });
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
