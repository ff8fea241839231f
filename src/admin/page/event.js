// One event: what it is, what came, and what the app answered each time.

import { html, useEffect, useState } from "./vendor/htm-preact.js";
import { call, path, readStart, useReading } from "./api.js";
import { Body, bodyPath } from "./body.js";
import { curl } from "./curl.js";
import { replay, ReplayKey } from "./events.js";
import { Icon, Shape } from "./icons.js";
import { useKey } from "./keys.js";
import { Act, Ask, Copy, Facts, say, State, Time, Trouble, useNow } from "./parts.js";
import { lastList } from "./route.js";
import { follow, soon } from "./tail.js";
import { absolute, count, DEAD_REASONS, duration, OUTCOMES, relative, several, size, spoken, visible } from "./words.js";

/** A command with more than this is no command to paste. */
const CURL_BYTES_MAX = 256 * 1024;
/** A busy event changes often; it is read again this often at most. */
const PAUSE_MS = 200;

export function Event({ id, status }) {
  const { value: event, problem, again } = useReading(path(["events", id]), 15);
  const source = event?.source;
  useEffect(() => {
    if (!source) return undefined;
    const ending = new AbortController();
    const { signal } = ending;
    const look = soon(again, PAUSE_MS, signal);
    const onMessage = (name, data) => (name === "missed" || data.id === id) && look();
    const ignore = () => {}; // it is looked at every few seconds anyway
    follow({ source, signal, onMessage, onGap: ignore, onState: ignore });
    return () => ending.abort();
  }, [id, source]);
  useKey("Escape", () => (location.hash = lastList()));
  if (!event) {
    return html`<${Back} /><header class="title"><h1>Event</h1></header>
      ${problem ? html`<${Trouble} problem=${problem} again=${again} />` : html`<p class="faint">Loading …</p>`}`;
  }
  return html`<${Back} />
    <${Heading} event=${event} status=${status} again=${again} />
    <${Trouble} problem=${problem} />
    <${Summary} event=${event} />
    <${Attempts} event=${event} />
    <${Body} event=${event} />
    <${Headers} event=${event} />`;
}

function Back() {
  const text = lastList().startsWith("#/dead") ? "Dead letters" : "Events";
  return html`<p class="back"><a href=${lastList()}><${Icon} name="back" />${text}</a></p>`;
}

function Heading({ event, status, again }) {
  const [isAsking, setAsking] = useState(false);
  const isWhole = event.content === "whole";
  const doReplay = async () => {
    await replay(event.id);
    again();
  };
  useKey("c", () => document.querySelector(".title .copy")?.click());
  const command = async () => {
    const { bytes, whole } = await readStart(bodyPath(event.id), CURL_BYTES_MAX).catch(() => ({ whole: false }));
    if (!whole) return null;
    return curl(event, bytes, status?.listen);
  };
  return html`<header class="title event">
    <div><h1>${event.type ? visible(event.type) : "Event without a type"}</h1>
      <p><${State} state=${event.state} /> <span class="faint">from</span> ${visible(event.source)}${" "}
        <span class="faint">received</span> <${Time} at=${event.received_at} /></p></div>
    <div class="buttons">
      <${Act} class="primary" disabled=${!isWhole} title=${isWhole ? "Hand it to the app once more (r)" : "Nothing is left to replay"}
        data-replay=${event.id} onAct=${doReplay}><${Icon} name="replay" />Replay<//>
      ${isWhole && event.body_bytes <= CURL_BYTES_MAX && html`<${Copy} text=${command} label="Copy curl command" what="curl command" />`}
      ${isWhole && html`<a class="button" href=${bodyPath(event.id)} download=${`${event.id}.body`}><${Icon} name="download" />Body</a>`}
      ${isWhole && html`<${Act} class="danger" onAct=${async () => setAsking(true)}>Erase …<//>`}
    </div>
    <${ReplayKey} id=${event.id} onReplay=${doReplay} />
    ${isAsking && html`<${Erase} event=${event} onDone=${again} onNo=${() => setAsking(false)} />`}
  </header>`;
}

function Erase({ event, onDone, onNo }) {
  const erase = async () => {
    await call("DELETE", path(["events", event.id]));
    say(`Erased: ${event.id}`);
    onNo();
    onDone();
  };
  return html`<${Ask} title="Erase this event?" yes="Erase for good" isDangerous onYes=${erase} onNo=${onNo}>
    <p>Its body and headers are removed for good and cannot be replayed. The id stays, so that repeats are still recognised.</p>
    ${event.state === "pending" && html`<p class="notice bad">Your app has not taken it yet: it becomes a dead letter.</p>`}
  <//>`;
}

function Summary({ event }) {
  const now = useNow();
  const next = event.next_attempt_at;
  return html`<section class="summary" aria-label="Facts">
    ${event.dead_reason && html`<p class="notice bad"><strong>Dead letter: ${spoken(event.dead_reason)}.</strong> ${DEAD_REASONS[event.dead_reason] ?? ""}</p>`}
    <${Facts} list=${[
      ["Verified", event.verified && html`<span class="verified"><${Shape} state="delivered" />${visible(event.verified)}</span>`],
      ["Next attempt", event.state === "pending" && next && html`<time datetime=${next} title=${absolute(next)}>${Date.parse(next) <= now ? "now" : relative(next, now)}</time>`],
      ["Attempts", event.replay ? `${count(event.attempts)} since the replay, ${count(event.attempts_made.at(-1)?.number ?? 0)} in all` : count(event.attempts)],
      ["Request", event.method && html`<code>${visible(event.method)} ${visible(event.target)}</code>`],
      ["Size", `${size(event.body_bytes)} (${several(event.body_bytes, "byte", "bytes")})`],
      ["Received", html`<span>${absolute(event.received_at)}</span>`],
      ["Provider's id", event.provider_event_id && html`<code>${visible(event.provider_event_id)}</code> <${Copy} text=${event.provider_event_id} label="" what="the provider's id" />`],
      ["Our id", html`<code>${visible(event.id)}</code> <${Copy} text=${event.id} label="" what="our id" />`],
    ]} />
  </section>`;
}

function Attempts({ event }) {
  const all = [...event.attempts_made].reverse();
  return html`<section aria-labelledby="attempts-title">
    <h2 id="attempts-title">Attempts</h2>
    ${all.length === 0 && html`<p class="faint">Your app has not been tried yet.</p>`}
    <ol class="attempts" reversed>${all.map((attempt) => html`<${Attempt} key=${attempt.number} attempt=${attempt} />`)}</ol>
    ${all.at(-1)?.number > 1 && html`<p class="foot faint">Older attempts are not kept.</p>`}
  </section>`;
}

function Attempt({ attempt }) {
  const isGood = attempt.outcome === "delivered";
  // With a status the error says nothing more.
  const error = attempt.status ? null : attempt.error;
  return html`<li class=${isGood ? "good" : "failed"}>
    <p><strong>${count(attempt.number)}</strong>
      ${attempt.status && html`<span class=${isGood ? "code" : "code bad-text"}>${attempt.status}</span>`}
      <span>${OUTCOMES[attempt.outcome] ?? spoken(attempt.outcome)}</span>
      <span class="faint">after ${duration(attempt.took_ms)}, <${Time} at=${attempt.at} /></span></p>
    ${error && html`<p class="bad-text">${visible(error)}</p>`}
    ${attempt.answer && html`<pre class="answer" tabindex="0" role="group" aria-label=${`The app's answer to attempt ${attempt.number}`}>${visible(attempt.answer)}</pre>`}
  </li>`;
}

function Headers({ event }) {
  if (!event.headers.length) return null;
  return html`<section aria-labelledby="headers-title">
    <h2 id="headers-title">Headers <span class="faint">${event.headers.length}</span></h2>
    <dl class="headers">${event.headers.map(([name, value], at) => html`<div key=${at}>
      <dt>${visible(name)}</dt><dd class=${value === "(not shown)" ? "faint" : ""}>${visible(value)}</dd>
    </div>`)}</dl>
  </section>`;
}
