// Rejections: what was refused, what is wrong with it, and the way out.

import { html, useEffect } from "./vendor/htm-preact.js";
import { path, useReading } from "./api.js";
import { Choice, Empty, Time, Trouble } from "./parts.js";
import { refine } from "./route.js";
import { follow, soon } from "./tail.js";
import { REASONS, size, spoken, visible } from "./words.js";

const LIMIT = 200;
/** Refusals come in floods; the list is read again this often at most. */
const PAUSE_MS = 1000;

export function Rejections({ query, sources }) {
  const { source, reason } = query;
  const filter = { source, reason };
  const { value, problem, again } = useReading(path(["rejections"], { ...filter, limit: LIMIT }), 10);
  useEffect(() => {
    const ending = new AbortController();
    const { signal } = ending;
    const look = soon(again, PAUSE_MS, signal);
    const onMessage = (name) => name !== "event" && look();
    follow({ source, rejections: true, signal, onMessage, onGap: () => {}, onState: () => {} });
    return () => ending.abort();
  }, [source]);
  const set = (change) => refine(["rejections"], { ...filter, ...change });
  const rejections = value?.rejections ?? [];
  const names = sources?.map((one) => one.name) ?? [...new Set(rejections.map((one) => one.source))];
  return html`
    <header class="title"><h1>Rejections</h1></header>
    <p class="lead">Requests that failed verification. Senders were told nothing of what is said here. The records are in
      memory: a restart forgets them.</p>
    <form class="filters" role="search" aria-label="Filter" onSubmit=${(event) => event.preventDefault()}>
      <${Choice} label="Source" all="All sources" value=${source} options=${names.map((name) => [name, visible(name)])} onChoose=${(word) => set({ source: word })} />
      <${Choice} label="Reason" all="All reasons" value=${reason} options=${Object.keys(REASONS).map((word) => [word, spoken(word)])} onChoose=${(word) => set({ reason: word })} />
    </form>
    <${Trouble} problem=${problem} again=${again} />
    ${!value && !problem && html`<p class="faint">Looking …</p>`}
    ${value && !rejections.length && html`<${Empty} title="Nothing was refused"><p>No request ${source || reason ? "that the filter lets through " : ""}has failed verification lately.</p><//>`}
    <ol class="rejections" data-list>${rejections.map((one, at) => html`<${Rejection} key=${one.request_id ?? at} one=${one} />`)}</ol>
    ${rejections.length >= LIMIT && html`<p class="foot faint">The newest ${LIMIT} are shown.</p>`}
  `;
}

function Rejection({ one }) {
  const open = (event) => {
    const details = event.currentTarget.querySelector("details");
    if (event.key === "Enter" && event.target === event.currentTarget) details.open = !details.open;
  };
  return html`<li tabindex="0" data-row=${one.request_id} onKeyDown=${open}>
    <header>
      <h2><span class="badge bad" title=${REASONS[one.reason]}>${spoken(one.reason)}</span> ${visible(one.source)}</h2>
      ${one.observed && html`<span class="badge" title="The source only observes, so it was let through">let through</span>`}
      <${Time} at=${one.at} />
    </header>
    <p>${visible(one.detail)}</p>
    <${Diagnosis} one=${one} />
    <details><summary>The request</summary>
      <dl class="facts">
        <div><dt>Request</dt><dd><code>${visible(one.method)} ${visible(one.target)}</code></dd></div>
        <div><dt>From</dt><dd>${one.peer ? visible(one.peer) : "a Unix socket"}</dd></div>
        ${one.request_id && html`<div><dt>Request id</dt><dd><code>${visible(one.request_id)}</code></dd></div>`}
        <div><dt>Headers</dt><dd>${one.headers.map(visible).join(", ") || "none"} <span class="faint">(names only)</span></dd></div>
        <div><dt>Body</dt><dd>${size(one.body_bytes)}${one.body_sha256 && html`, SHA-256 <code>${visible(one.body_sha256)}</code>`}</dd></div>
      </dl>
    </details>
  </li>`;
}

const sentence = (word) => `${spoken(word).replace(/^./, (first) => first.toUpperCase())}.`;

/** The gate's own sentences have their settings in backticks. */
function marked(text) {
  return text.split("`").map((part, at) => (at % 2 ? html`<code>${visible(part)}</code>` : visible(part)));
}

function Diagnosis({ one }) {
  const { diagnosis, examination } = one;
  if (diagnosis) {
    return html`<div class="diagnosis">
      <p><strong>${sentence(diagnosis.mistake)}</strong> ${marked(diagnosis.explanation)}${diagnosis.clue && html` <code>${visible(diagnosis.clue)}</code>`}</p>
      <p class="way-out"><span>Way out</span> ${marked(diagnosis.way_out)}</p>
    </div>`;
  }
  const told = {
    pending: "It is being examined.",
    skipped: "It was not examined: too many came at once, or it is too long.",
    done: "None of the known mistakes explains it. It may be a forgery.",
  };
  return html`<p class="faint">${told[examination] ?? ""}</p>`;
}

