// The API: every request of the page goes through here, so that every failure is told in the same
// way and a missing log-in is noticed wherever it shows first.

import { useCallback, useEffect, useRef, useState } from "./vendor/htm-preact.js";

/** What went wrong, in words for people. `status` is 0 when the gate could not be reached. */
export class Problem extends Error {
  constructor(status, code, message) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

const unauthorized = new Set();

/** Calls `listener` whenever the gate asks for a log-in; the result ends that. */
export function onUnauthorized(listener) {
  unauthorized.add(listener);
  return () => unauthorized.delete(listener);
}

/** A path below the API with its query; what is empty is left out. */
export function path(parts, query = {}) {
  const search = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    if (value !== undefined && value !== null && value !== "") search.set(name, value);
  }
  const text = search.toString();
  return `/api/v1/${parts.map(encodeURIComponent).join("/")}${text ? `?${text}` : ""}`;
}

/** The response, if it is a success. */
export async function ask(method, target, { json, signal, accept } = {}) {
  const headers = {};
  if (json !== undefined) headers["content-type"] = "application/json";
  if (accept) headers.accept = accept;
  let response;
  try {
    response = await fetch(target, {
      method,
      headers,
      signal,
      body: json === undefined ? undefined : JSON.stringify(json),
      credentials: "same-origin",
      cache: "no-store",
    });
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new Problem(0, "unreachable", "The gate cannot be reached.");
  }
  if (response.ok) return response;
  throw await problemOf(response);
}

async function problemOf(response) {
  if (response.status === 401) unauthorized.forEach((listener) => listener());
  const text = await response.text().catch(() => "");
  try {
    const { code, message } = JSON.parse(text).error;
    return new Problem(response.status, String(code), String(message));
  } catch {
    const said = text.trim() || `The gate answered with ${response.status}.`;
    return new Problem(response.status, "unknown", said);
  }
}

/** What the answer says, or null if it says nothing. */
export async function call(method, target, options) {
  const response = await ask(method, target, options);
  const text = await response.text();
  return text ? JSON.parse(text) : null;
}

export const read = (target, signal) => call("GET", target, { signal });

/** At most `limit` bytes of an answer, and whether that is all of it. */
export async function readStart(target, limit, signal) {
  const response = await ask("GET", target, { signal });
  const reader = response.body.getReader();
  const chunks = [];
  let length = 0;
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    chunks.push(value);
    length += value.length;
    if (length > limit) {
      await reader.cancel();
      break;
    }
  }
  const all = new Uint8Array(length);
  let at = 0;
  for (const chunk of chunks) {
    all.set(chunk, at);
    at += chunk.length;
  }
  return { bytes: all.subarray(0, limit), whole: length <= limit };
}

/** A function that does `act` one at a time: however often it is called meanwhile, once more follows. */
export function inTurn(act) {
  let isBusy = false;
  let isOwed = false;
  return async () => {
    isOwed = true;
    if (isBusy) return;
    isBusy = true;
    try {
      while (isOwed) {
        isOwed = false;
        await act();
      }
    } finally {
      isBusy = false;
    }
  };
}

/**
 * Something that the gate tells, read again every `seconds` (if given; it may be a function of what
 * was read) while it is looked at, and on `again`. What was read stays when a later read fails;
 * `problem` then says why it is old.
 */
export function useReading(target, seconds) {
  const [state, setState] = useState({ value: null, problem: null });
  const latestLook = useRef(null);
  const again = useCallback(() => latestLook.current?.(), []);
  useEffect(() => setState({ value: null, problem: null }), [target]);
  useEffect(() => {
    const ending = new AbortController();
    const { signal } = ending;
    let timer;
    let latest = null;
    const later = () => {
      const pause = typeof seconds === "function" ? seconds(latest) : seconds;
      if (pause && !signal.aborted) timer = setTimeout(() => (document.hidden ? later() : look()), pause * 1000);
    };
    const look = inTurn(async () => {
      clearTimeout(timer);
      if (signal.aborted) return;
      try {
        latest = await read(target, signal);
        if (!signal.aborted) setState({ value: latest, problem: null });
      } catch (problem) {
        if (!signal.aborted) setState(({ value }) => ({ value, problem }));
      }
      later();
    });
    latestLook.current = look;
    look();
    return () => {
      ending.abort();
      clearTimeout(timer);
    };
  }, [target, seconds]);
  return { ...state, again };
}
