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
 * - `onMessage(name, data)`: something happened;
 * - `onGap()`: something may have been missed, so fetch the list again; also called on every
 *   connection, and every few seconds where there is no stream;
 * - `onState(word)`: `live`, `connecting` or `polling`.
 */
export async function follow({ source, signal, onMessage, onGap, onState }) {
  let pause = FIRST_PAUSE_MS;
  while (!signal.aborted) {
    try {
      await listen(path(["stream"], { source }), signal, onMessage, () => {
        pause = FIRST_PAUSE_MS;
        onState("live");
        onGap();
      });
    } catch (problem) {
      if (signal.aborted) return;
      if (problem.status === 404) return poll(signal, onGap, onState);
      if (problem.status === 401) return;
    }
    if (signal.aborted) return;
    onState("connecting");
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

async function listen(target, signal, onMessage, onOpen) {
  const silence = new AbortController();
  const end = () => silence.abort();
  signal.addEventListener("abort", end);
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
    }
  } finally {
    clearTimeout(timer);
    signal.removeEventListener("abort", end);
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

function rest(milliseconds, signal) {
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
