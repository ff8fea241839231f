// The live tail: server-sent events over `fetch`, since EventSource does not tell a 404 from a gate
// that is down.

import { ask, path } from "./api.js";

const FIRST_PAUSE_MS = 500;
const LONGEST_PAUSE_MS = 15_000;
/** A stream says something every 15 seconds; one that is silent for longer is dead. */
const SILENCE_MS = 45_000;
const POLL_MS = 3000;

/**
 * Follows the gate until the signal ends it.
 *
 * - `rejections`: whether to be told what was refused, too;
 * - `onMessage(name, data)`: something happened;
 * - `onGap()`: something may have been missed, so fetch the list again; also called on every
 *   connection, and every few seconds where there is no stream;
 * - `onState(word)`: `live`, `connecting` or `polling`.
 *
 * A page in the background follows nothing: a browser has few connections to one gate, and a gate few
 * places for readers.
 */
export async function follow({ source, rejections = false, signal, onMessage, onGap, onState }) {
  let pause = FIRST_PAUSE_MS;
  while (!signal.aborted) {
    await untilVisible(signal);
    let isRefused = false;
    try {
      const onOpen = () => {
        onState("live");
        onGap();
      };
      // Not on opening: a proxy may answer 200 and close at once, again and again.
      const onHeard = () => (pause = FIRST_PAUSE_MS);
      await listen(path(["stream"], { source, rejections: rejections ? "" : "false" }), signal, { onOpen, onMessage, onHeard });
    } catch (problem) {
      if (signal.aborted) return;
      if (problem.status === 404) return poll(signal, onGap, onState);
      if (problem.status === 401) return;
      // It answers, but has no place for one more reader.
      isRefused = problem.status > 0;
    }
    if (signal.aborted) return;
    onState(isRefused ? "polling" : "connecting");
    if (isRefused) onGap();
    await rest(pause * (0.5 + Math.random() / 2), signal);
    pause = Math.min(pause * 2, LONGEST_PAUSE_MS);
  }
}

async function poll(signal, onGap, onState) {
  onState("polling");
  while (!signal.aborted) {
    if (!document.hidden) onGap();
    await rest(POLL_MS, signal);
  }
}

async function listen(target, signal, { onOpen, onMessage, onHeard }) {
  const silence = new AbortController();
  const end = () => silence.abort();
  const endIfHidden = () => document.hidden && end();
  signal.addEventListener("abort", end);
  document.addEventListener("visibilitychange", endIfHidden);
  let timer;
  const heard = () => {
    clearTimeout(timer);
    timer = setTimeout(end, SILENCE_MS);
  };
  try {
    heard();
    const response = await ask("GET", target, { signal: silence.signal, accept: "text/event-stream" });
    onOpen();
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    const parse = messages(onMessage);
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      heard();
      parse(value);
      onHeard();
    }
  } finally {
    clearTimeout(timer);
    // A listener may have thrown, and the connection be open still.
    end();
    signal.removeEventListener("abort", end);
    document.removeEventListener("visibilitychange", endIfHidden);
  }
}

/** A function that takes the stream's text in any pieces and calls back for each whole message. */
export function messages(onMessage) {
  let rest = "";
  let name = "";
  let data = [];
  const line = (text) => {
    if (text === "") {
      if (data.length) onMessage(name || "message", JSON.parse(data.join("\n")));
      name = "";
      data = [];
      return;
    }
    const colon = text.indexOf(":");
    const field = colon < 0 ? text : text.slice(0, colon);
    const value = colon < 0 ? "" : text.slice(colon + 1).replace(/^ /, "");
    if (field === "event") name = value;
    else if (field === "data") data.push(value);
  };
  return (piece) => {
    const lines = (rest + piece).split(/\r?\n/);
    rest = lines.pop();
    lines.forEach(line);
  };
}

function untilVisible(signal) {
  return new Promise((resolve) => {
    const look = () => {
      if (document.hidden && !signal.aborted) return;
      document.removeEventListener("visibilitychange", look);
      signal.removeEventListener("abort", look);
      resolve();
    };
    document.addEventListener("visibilitychange", look);
    signal.addEventListener("abort", look);
    look();
  });
}

/** A function that has `act` done after a pause, once however often it is called meanwhile. */
export function soon(act, milliseconds, signal) {
  let timer;
  signal.addEventListener("abort", () => clearTimeout(timer));
  return () => {
    timer ??= setTimeout(() => {
      timer = undefined;
      act();
    }, milliseconds);
  };
}

export function rest(milliseconds, signal) {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, milliseconds);
    signal.addEventListener("abort", done);
  });
}
