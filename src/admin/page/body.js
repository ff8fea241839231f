// An event's body: laid out, as text, or byte by byte. It is shown as text and never rendered.

import { html, useEffect, useState } from "./vendor/htm-preact.js";
import { path, readStart } from "./api.js";
import { layOut } from "./json.js";
import { Copy, Trouble } from "./parts.js";
import { CONTENT, size, visible } from "./words.js";

export const SHOWN_MAX = 256 * 1024;
/** Beyond this the colours cost more than they help. */
const COLOURED_MAX = 32 * 1024;
const PER_LINE = 16;

export const bodyPath = (id) => path(["events", id, "body"]);

/** The bytes as text, or null if they are not UTF-8. What is cut may end within a character. */
export function decode(bytes, isWhole) {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes, { stream: !isWhole });
  } catch {
    return null;
  }
}

/** Offset, bytes and characters, as in a hex editor. */
export function hexDump(bytes) {
  const lines = [];
  for (let at = 0; at < bytes.length; at += PER_LINE) {
    const part = Array.from(bytes.subarray(at, at + PER_LINE));
    const hex = part.map((byte) => byte.toString(16).padStart(2, "0"));
    const left = hex.slice(0, 8).join(" ").padEnd(23);
    const right = hex.slice(8).join(" ").padEnd(23);
    const chars = part.map((byte) => (byte >= 0x20 && byte < 0x7f ? String.fromCharCode(byte) : "·"));
    lines.push(`${at.toString(16).padStart(8, "0")}  ${left}  ${right}  ${chars.join("")}`);
  }
  return lines.join("\n");
}

/** All that can be said about a body, made once. */
function viewsOf({ bytes, whole }) {
  const text = decode(bytes, whole);
  const pieces = text !== null && whole ? layOut(text) : null;
  const views = [];
  if (pieces) views.push(["pretty", "Pretty"]);
  if (text !== null) views.push(["raw", "Raw"]);
  views.push(["hex", "Hex"]);
  return { text, pieces, views };
}

export function Body({ event }) {
  const [start, setStart] = useState({ body: null, problem: null });
  const [turn, setTurn] = useState(0);
  useEffect(() => {
    if (event.content !== "whole") return undefined;
    const ending = new AbortController();
    readStart(bodyPath(event.id), SHOWN_MAX, ending.signal)
      .then((body) => setStart({ body: { ...body, ...viewsOf(body) }, problem: null }))
      .catch((problem) => ending.signal.aborted || setStart({ body: null, problem }));
    return () => ending.abort();
  }, [event.id, event.content, turn]);

  return html`<section aria-labelledby="body-title">
    <h2 id="body-title">Body</h2>
    ${event.content !== "whole" && html`<p class="notice">${CONTENT[event.content] ?? visible(event.content)}</p>`}
    <${Trouble} problem=${start.problem} again=${() => setTurn(turn + 1)} />
    ${event.content === "whole" && !start.body && !start.problem && html`<p class="faint">Loading …</p>`}
    ${event.content === "whole" && start.body && html`<${Shown} event=${event} body=${start.body} />`}
  </section>`;
}

function Shown({ event, body }) {
  const [chosen, setChosen] = useState(null);
  const view = chosen ?? body.views[0][0];
  if (!body.bytes.length) return html`<p class="notice">The body is empty.</p>`;
  return html`
    <div class="bar">
      <div class="tabs small" role="group" aria-label="How the body is shown">
        ${body.views.map(([word, title]) => html`<button type="button" key=${word} aria-pressed=${view === word}
          onClick=${() => setChosen(word)}>${title}</button>`)}
      </div>
      <span class="faint">${size(event.body_bytes)}</span>
      ${body.whole && body.text !== null && html`<${Copy} text=${body.text} label="Copy" what="the body" />`}
    </div>
    ${body.text === null && html`<p class="notice">This body is not valid UTF-8, so its bytes are shown.</p>`}
    ${!body.whole && html`<p class="notice">The first ${size(SHOWN_MAX)} are shown. The download has all of it.</p>`}
    <pre class=${`body ${view}`} tabindex="0" role="group" aria-label="The body">${content(view, body)}</pre>
  `;
}

function content(view, body) {
  if (view === "hex") return hexDump(body.bytes);
  if (view === "raw") return visible(body.text);
  if (body.bytes.length > COLOURED_MAX) return visible(body.pieces.map(([, text]) => text).join(""));
  return body.pieces.map(([kind, text]) => (kind === "mark" ? text : html`<span class=${kind}>${visible(text)}</span>`));
}
