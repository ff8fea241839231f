// The list of events: filters in the URL, older pages on demand, newer events as they come.

import { html, useEffect, useRef, useState } from "./vendor/htm-preact.js";
import { call, path } from "./api.js";
import { Icon } from "./icons.js";
import { useKey } from "./keys.js";
import { useList } from "./list.js";
import { Act, Ask, Choice, Empty, say, State, Time, Trouble } from "./parts.js";
import { link, refine } from "./route.js";
import { absolute, count, several, size, spoken, STATES, visible } from "./words.js";

const FILTERS = ["source", "state", "type", "id", "since", "until"];

/** What of a route's query the API understands. */
export function filterOf(query) {
  return Object.fromEntries(FILTERS.filter((name) => query[name]).map((name) => [name, query[name]]));
}

export function Events({ query, sources }) {
  const filter = filterOf(query);
  const list = useList(filter);
  return html`
    <header class="title"><h1>Events</h1><${Live} list=${list} /></header>
    <${StateTabs} filter=${filter} />
    <${Filters} where="events" filter=${filter} sources=${sources} rows=${list.rows} />
    <${EventList} list=${list} filter=${filter} where="events" />
  `;
}

function StateTabs({ filter }) {
  const tab = (state, text) => html`<a
    href=${link(["events"], { ...filter, state })}
    aria-current=${(filter.state ?? "") === state ? "page" : null}>${text}</a>`;
  return html`<nav class="tabs" aria-label="State">
    ${tab("", "All")} ${STATES.map((state) => tab(state, html`<${State} state=${state} />`))}
  </nav>`;
}

const LINKS = {
  live: ["Live", "New events show by themselves."],
  connecting: ["Connecting", "The gate is not reached at the moment; trying again."],
  polling: ["Polling", "There is no live stream to be had, so the list is looked at again and again."],
};

/** Whether the list is up to date, and a way to hold it still. */
export function Live({ list }) {
  useKey("p", () => list.setPaused(!list.isPaused));
  const [word, title] = list.isPaused ? ["Paused", "New events wait until you resume."] : LINKS[list.link];
  return html`<div class="live">
    <span class=${`pulse ${list.isPaused ? "paused" : list.link}`} title=${title} role="status">${word}</span>
    <button type="button" aria-pressed=${list.isPaused} onClick=${() => list.setPaused(!list.isPaused)}>
      <${Icon} name=${list.isPaused ? "play" : "pause"} />${list.isPaused ? "Resume" : "Pause"}
    </button>
  </div>`;
}

/** Filters that change the URL, and by it the list. */
export function Filters({ where, filter, sources, rows }) {
  const set = (name, value) => refine([where], { ...filter, [name]: value });
  const names = sources?.map((source) => source.name) ?? [...new Set(rows.map((row) => row.source))];
  const active = FILTERS.filter((name) => filter[name] && !(where === "dead" && name === "state"));
  return html`<form class="filters" role="search" aria-label="Filter" onSubmit=${(event) => event.preventDefault()}>
    <${Typed} label="Id, ours or the provider's" value=${filter.id} onType=${(value) => set("id", value.trim())} isFirst />
    <${Typed} label="Type" value=${filter.type} onType=${(value) => set("type", value.trim())} />
    <${Choice} label="Source" all="All sources" value=${filter.source}
      options=${names.map((name) => [name, visible(name)])} onChoose=${(value) => set("source", value)} />
    <${Instant} label="Since" value=${filter.since} onSet=${(value) => set("since", value)} />
    <${Instant} label="Until" value=${filter.until} onSet=${(value) => set("until", value)} />
    ${active.length > 0 && html`<a class="clear" href=${link([where])}>Clear</a>`}
  </form>`;
}

function Typed({ label, value, onType, isFirst }) {
  const [text, setText] = useState(value ?? "");
  useEffect(() => setText(value ?? ""), [value]);
  // Another filter may be set before the timer ends, and must not be undone by it.
  const latest = useRef(null);
  latest.current = () => text !== (value ?? "") && onType(text);
  useEffect(() => {
    const timer = setTimeout(() => latest.current(), 350);
    return () => clearTimeout(timer);
  }, [text]);
  return html`<label class="field"><span>${label}</span>
    <input type="search" autocomplete="off" spellcheck="false" value=${text} data-filter=${isFirst}
      onInput=${(event) => setText(event.target.value)}
      onKeyDown=${(event) => event.key === "Enter" && latest.current()} />
  </label>`;
}

/** An instant: local time in the field, UTC in the URL. */
function Instant({ label, value, onSet }) {
  const time = value ? new Date(value) : null;
  const isKnown = time && !Number.isNaN(time.getTime());
  const local = isKnown ? new Date(time - time.getTimezoneOffset() * 60_000).toISOString().slice(0, 16) : "";
  const set = (text) => onSet(text ? new Date(text).toISOString() : "");
  return html`<label class="field"><span>${label}</span>
    <input type="datetime-local" value=${local} onChange=${(event) => set(event.target.value)} />
  </label>`;
}

export async function replay(id) {
  await call("POST", path(["events", id, "replay"]));
  say(`Replay asked for: ${id}`);
}

/** The key `r`, for the event with this id or else the row in focus: it asks, and is off where the button is. */
export function ReplayKey({ id, onReplay }) {
  const [asked, setAsked] = useState(null);
  useKey("r", (row) => {
    const wanted = id ?? row;
    const button = wanted && document.querySelector(`[data-replay="${CSS.escape(wanted)}"]`);
    if (button && !button.disabled) setAsked(wanted);
  });
  const yes = async () => {
    await onReplay(asked);
    setAsked(null);
  };
  return asked && html`<${Ask} title="Replay this event?" yes="Replay" onYes=${yes} onNo=${() => setAsked(null)}>
    <p><code>${visible(asked)}</code> is handed to your app once more.</p>
  <//>`;
}

export function EventList({ list, filter, where }) {
  useKey("n", list.show);
  const isEmpty = !list.rows.length && !list.isLoading && !list.problem;
  const news = list.hasGap ? "Many" : count(list.waiting.length);
  return html`
    <div class="news" role="status">
      ${(list.hasGap || list.waiting.length > 0) &&
      html`<button type="button" class="primary pill" onClick=${() => { window.scrollTo(0, 0); list.show(); }}>
        ${news} new<span class="unseen"> events, show them</span>
      </button>`}
    </div>
    <${Trouble} problem=${list.problem} again=${list.again} />
    ${isEmpty && html`<${Nothing} filter=${filter} where=${where} />`}
    ${list.rows.length > 0 && html`<${Table} rows=${list.rows} />`}
    <${Foot} list=${list} filter=${filter} where=${where} />
    <${ReplayKey} onReplay=${replay} />
  `;
}

function Nothing({ filter, where }) {
  if (where === "dead" && !filter.source && !filter.type && !filter.id) {
    return html`<${Empty} title="No dead letters"><p>Nothing has been given up. Events that your app does not take
      for too long, or refuses for good, would wait here.</p><//>`;
  }
  if (Object.keys(filter).length) {
    return html`<${Empty} title="Nothing matches"><p>No stored event has all of this. Ids and types are compared whole.</p>
      <p><a href=${link([where])}>Show all</a></p><//>`;
  }
  return html`<${Empty} title="No events yet"><p>The <a href="#/">overview</a> has a command that sends one.</p><//>`;
}

function Table({ rows }) {
  return html`<table class="list" role="table" data-list>
    <thead role="rowgroup"><tr role="row">
      ${["Received", "Type and id", "Source", "State", "Attempts", "Last answer", "Size"].map(
        (name) => html`<th key=${name} role="columnheader" scope="col">${name}</th>`,
      )}
      <th role="columnheader" scope="col"><span class="unseen">Actions</span></th>
    </tr></thead>
    <tbody role="rowgroup">${rows.map((row) => html`<${Row} key=${row.id} row=${row} />`)}</tbody>
  </table>`;
}

function Row({ row }) {
  return html`<tr role="row">
    <td role="cell" class="when"><${Time} at=${row.received_at} /></td>
    <td role="cell" class="what">
      <a href=${link(["events", row.id])} data-row=${row.id}>${row.type ? visible(row.type) : html`<span class="faint">no type</span>`}</a>
      <span class="id" title=${row.id}>${visible(row.provider_event_id ?? row.id)}</span>
    </td>
    <td role="cell" class="from">${visible(row.source)}</td>
    <td role="cell" class="in"><${State} state=${row.state} /></td>
    <td role="cell" class="tries" data-label=${row.attempts === 1 ? "attempt" : "attempts"}>${count(row.attempts)}</td>
    <td role="cell" class="said-last"><${LastAnswer} row=${row} /></td>
    <td role="cell" class="bytes">${size(row.body_bytes)}</td>
    <td role="cell" class="do">
      <${Act} class="quiet" data-replay=${row.id} aria-label=${`Replay ${row.id}`} title="Replay" onAct=${() => replay(row.id)}><${Icon} name="replay" /><//>
    </td>
  </tr>`;
}

export function LastAnswer({ row }) {
  if (row.dead_reason) {
    const status = row.last_status ? `${row.last_status}, ` : "";
    return html`<span class="bad-text">${status}${spoken(row.dead_reason)}</span>`;
  }
  if (row.last_status) {
    const isGood = row.last_status >= 200 && row.last_status < 300;
    return html`<span class=${isGood ? "code" : "code bad-text"}>${row.last_status}</span>`;
  }
  return row.last_outcome ? html`<span class="bad-text">${spoken(row.last_outcome)}</span>` : html`<span class="faint">–</span>`;
}

function Foot({ list, filter, where }) {
  const last = list.rows.at(-1);
  if (list.isLoading) {
    return html`<p class="foot" role="status">
      ${last ? html`Looking further back than ${absolute(last.received_at)} … ` : "Looking … "}
      <button type="button" onClick=${list.stop}>Stop</button>
    </p>`;
  }
  if (list.isCut) {
    return html`<p class="foot">The newest ${count(list.rows.length)} are kept here.${" "}
      <a href=${link([where], { ...filter, until: last.received_at })}>Show older ones</a></p>`;
  }
  if (list.next) return html`<p class="foot"><button type="button" onClick=${list.more}>Load more</button></p>`;
  return last ? html`<p class="foot faint">${several(list.rows.length, "event", "events")}, no older ones.</p>` : null;
}
