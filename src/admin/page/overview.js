// The overview: is the gate well, what comes in, what waits, and what to do first.

import { html, useEffect, useState } from "./vendor/htm-preact.js";
import { path, read, useReading } from "./api.js";
import { Chart } from "./charts.js";
import { Shape } from "./icons.js";
import { Command, Time, Trouble, useNow } from "./parts.js";
import { link } from "./route.js";
import { NoSource } from "./sources.js";
import { age, count, duration, rate, size, visible } from "./words.js";

/** The rate "now" is that of the last minute. */
const NOW_S = 60;

export function Overview({ status, reading }) {
  const history = useReading(path(["history"]), 10);
  const sources = reading.value?.sources ?? [];
  const isNew = useIsNew(sources);
  return html`
    <header class="title"><h1>Overview</h1></header>
    ${status.value ? html`<${Health} status=${status.value} />` : html`<${Trouble} problem=${status.problem} again=${status.again} />`}
    ${isNew && html`<${FirstSteps} sources=${sources} />`}
    ${reading.value && !sources.length && html`<${NoSource} />`}
    ${!isNew && history.value && html`<${Charts} history=${history.value} />`}
    ${sources.length > 0 && html`<${SourceTable} sources=${sources} history=${history.value} />`}
    <${Trouble} problem=${reading.problem} again=${reading.again} />
  `;
}

/** Whether no event was ever stored: nothing since the start, and nothing from before it. */
function useIsNew(sources) {
  const isQuiet = sources.length > 0 && sources.every((source) => source.requests.stored === 0);
  const [isEmpty, setEmpty] = useState(false);
  useEffect(() => {
    if (!isQuiet) return undefined;
    const ending = new AbortController();
    read(path(["events"], { limit: 1 }), ending.signal)
      .then((page) => setEmpty(page.events.length === 0 && !page.next))
      .catch(() => {}); // the list itself says what is wrong
    return () => ending.abort();
  }, [isQuiet]);
  return isQuiet && isEmpty;
}

function Health({ status }) {
  const { app, store } = status;
  const share = store.bytes_max ? store.used_bytes / store.bytes_max : 0;
  const isFull = share > 0.9;
  return html`<section class="health" aria-label="State of the gate">
    <div class=${status.ready ? "good" : "bad"}><h2>Gate</h2>
      <p class="big"><${Shape} state=${status.ready ? "delivered" : "dead"} />${status.ready ? "Taking webhooks" : "Not ready"}</p>
      <p class="faint">${status.problem ? visible(status.problem) : html`up since <${Time} at=${status.started_at} />, version ${visible(status.version)}`}</p></div>
    <div class=${app.up ? "good" : "bad"}><h2>App</h2>
      <p class="big"><${Shape} state=${app.up ? "delivered" : "dead"} />${app.up ? "Up" : "Down"}</p>
      <p class="faint wrap">${visible(app.address)}${app.up ? "" : ": events wait and are delivered when it is back"}</p></div>
    <div class=${isFull || !store.durable || store.damaged ? "bad" : ""}><h2>Store</h2>
      <p class="big">${size(store.used_bytes)} <span class="faint">of ${size(store.bytes_max)}</span></p>
      <meter min="0" max="1" high="0.9" value=${share} aria-label="Store in use">${Math.round(share * 100)} %</meter>
      <p class="faint">${count(store.ids)} ids known</p>
      ${!store.durable && html`<p class="bad-text">On a file system that forgets: a 200 promises nothing.</p>`}
      ${store.damaged > 0 && html`<p class="bad-text">${count(store.damaged)} damaged records found since the start.</p>`}</div>
  </section>`;
}

function FirstSteps({ sources }) {
  return html`<section class="first" aria-labelledby="first-title">
    <h2 id="first-title">Send your first event</h2>
    <p>The gate is up and nothing has come yet. Sign an event as the provider does, and watch it arrive:</p>
    ${sources.map((source) => html`<div key=${source.name}>
      <h3>${visible(source.name)} <span class="faint">${visible(source.title)}</span></h3>
      ${source.send ? html`<${Command} line=${source.send} what=${`the command for ${source.name}`} />` : html`<p class="faint">Its provider has to send the first one.</p>`}
      <p class="faint">The secret: ${visible(source.secret_hint)}</p>
    </div>`)}
    <p>Then let the provider post to <code>${visible(sources[0].public_url ?? sources[0].path)}</code>.</p>
  </section>`;
}

function Charts({ history }) {
  const { every_s: every, samples } = history;
  const times = samples.map((sample) => sample.at);
  const of = (name) => samples.map((sample) => sample[name] ?? null);
  return html`<section class="charts" aria-label="The last hour">
    <${Chart} title="Stored" times=${times} values=${of("stored").map((stored) => stored / every)} say=${rate} />
    <${Chart} title="Ack p99" times=${times} values=${of("ack_p99_ms")} say=${duration} />
    <${Chart} title="Delivery p99" times=${times} values=${of("delivery_p99_ms")} say=${duration} />
    <${Chart} title="Pending" times=${times} values=${of("pending")} say=${count} />
    <${Chart} title="Rejected" times=${times} values=${of("rejected").map((rejected) => rejected / every)} say=${rate} emphasis="warn" />
    <${Chart} title="Failed attempts" times=${times} values=${of("failed").map((failed) => failed / every)} say=${rate} emphasis="warn" />
  </section>`;
}

/** Events a second that a source stored in the last minute. */
export function rateNow(history, name) {
  const last = history.samples.slice(-Math.ceil(NOW_S / history.every_s));
  const stored = last.reduce((sum, sample) => sum + (sample.sources?.[name] ?? 0), 0);
  return last.length ? stored / (last.length * history.every_s) : 0;
}

function SourceTable({ sources, history }) {
  useNow();
  const columns = ["Source", "Now", "Accepted", "Duplicates", "Rejected", "Pending", "Oldest", "Dead", "Secret"];
  return html`<section aria-labelledby="sources-title">
    <h2 id="sources-title">Sources</h2>
    <table class="list numbers" role="table" data-list>
      <thead role="rowgroup"><tr role="row">${columns.map((name) => html`<th key=${name} role="columnheader" scope="col">${name}</th>`)}</tr></thead>
      <tbody role="rowgroup">${sources.map((source) => html`<${SourceRow} key=${source.name} source=${source} history=${history} />`)}</tbody>
    </table>
  </section>`;
}

function SourceRow({ source, history }) {
  const { name, requests } = source;
  const number = (label, value, href, isBad) => html`<td role="cell" data-label=${label} class=${value ? "" : "none"}>
    ${value ? html`<a href=${href} class=${isBad ? "bad-text" : ""}>${count(value)}</a>` : html`<span class="faint">0</span>`}</td>`;
  return html`<tr role="row">
    <td role="cell" class="what"><a href=${link(["events"], { source: name })} data-row=${name}>${visible(name)}</a>
      ${source.held && html` <span class="badge warn">held</span>`}
      ${source.mode === "observe" && html` <span class="badge warn">observes only</span>`}</td>
    <td role="cell" data-label="now">${history ? rate(rateNow(history, name)) : "–"}</td>
    ${number("accepted", requests.stored, link(["events"], { source: name }))}
    <td role="cell" data-label="duplicates" class=${requests.duplicate ? "" : "none"}>${count(requests.duplicate)}</td>
    ${number("rejected", requests.rejected, link(["rejections"], { source: name }), true)}
    ${number("pending", source.pending, link(["events"], { source: name, state: "pending" }))}
    <td role="cell" data-label="oldest" class=${source.oldest_pending_at ? "" : "none"}>${source.oldest_pending_at ? age(source.oldest_pending_at) : html`<span class="faint">–</span>`}</td>
    ${number("dead", source.dead, link(["dead"], { source: name }), true)}
    <td role="cell" data-label="secret"><${LastSecret} secrets=${source.secrets} /></td>
  </tr>`;
}

function LastSecret({ secrets }) {
  const matched = secrets.filter((secret) => secret.last_matched_at);
  if (!matched.length) return html`<span class="faint">–</span>`;
  const last = matched.reduce((one, other) => (other.last_matched_at > one.last_matched_at ? other : one));
  return html`<span>${visible(last.label)}</span>`;
}
