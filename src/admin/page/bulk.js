// Replaying all events that a filter lets through: first how many, then at which rate, then how far.

import { html, useState } from "./vendor/htm-preact.js";
import { call, path, useReading } from "./api.js";
import { Act, Ask, say, Time, Trouble } from "./parts.js";
import { count, several, spoken, visible } from "./words.js";

/** One that runs is looked at every second. */
const pace = (replay) => (replay?.state === "running" ? 1 : 15);

/** The instant up to which a replay takes what the dry run counted, and nothing that came since. */
function untilOf({ filter, startedAt }) {
  return filter.until && Date.parse(filter.until) < Date.parse(startedAt) ? filter.until : startedAt;
}

/** The button, the question, and the progress of the replay that runs. */
export function BulkReplay({ filter, isOffered }) {
  // Of the dry run, with the filter that it was asked for: the URL may change under the question.
  const [found, setFound] = useState(null);
  // What the dry run counted of the replay that was begun here: the gate counts as it goes.
  const [begun, setBegun] = useState({});
  const { value: last, problem, again } = useReading(path(["replay"]), pace);
  const isRunning = last?.state === "running";
  const tryOut = async () => {
    const dry = await call("POST", path(["replay"], { ...filter, dry_run: true }));
    if (dry.matched === 0) say("Nothing matches, so there is nothing to replay.");
    else setFound({ filter, matched: dry.matched, startedAt: dry.started_at });
  };
  return html`<div class="bulk">
    ${isOffered && html`<${Act} class="primary" disabled=${isRunning} title=${isRunning ? "One is running" : "Replay all that the filter lets through"} onAct=${tryOut}>Replay all …<//>`}
    ${found && html`<${Question} found=${found} onNo=${() => setFound(null)}
      onDone=${(replay) => { setBegun({ at: replay.started_at, total: found.matched }); again(); }} />`}
    ${problem && problem.status !== 404 && html`<${Trouble} problem=${problem} />`}
    ${last && html`<${Progress} replay=${last} total=${begun.at === last.started_at ? begun.total : null} again=${again} />`}
  </div>`;
}

function Question({ found, onDone, onNo }) {
  const { filter, matched } = found;
  const [rate, setRate] = useState("");
  const start = async () => {
    const replay = await call("POST", path(["replay"], { ...filter, until: untilOf(found), rate }));
    say(`The replay of ${several(matched, "event", "events")} has begun.`);
    onDone(replay);
    onNo();
  };
  const told = Object.entries(filter).map(([name, value]) => `${name} ${value}`).join(", ");
  return html`<${Ask} title=${`Replay ${several(matched, "event", "events")}?`} yes="Replay" onYes=${start} onNo=${onNo}>
    <p>All with ${visible(told)} are handed to your app once more, also those that are not loaded here.</p>
    <label class="field"><span>At most so many a second (empty: as fast as your app takes them)</span>
      <input type="number" min="1" step="1" inputmode="numeric" value=${rate} onInput=${(event) => setRate(event.target.value)} />
    </label>
  <//>`;
}

function Progress({ replay, total: counted, again }) {
  const { state, matched, replayed, skipped } = replay;
  // One that is done has found all there was, even if that was less than the dry run counted.
  const total = state !== "done" && matched < counted ? counted : null;
  const stop = async () => {
    await call("DELETE", path(["replay"]));
    again();
  };
  return html`<div class="progress">
    <p role="status"><strong>${state === "running" ? "Replaying" : `Last replay: ${spoken(state)}`}</strong>${" "}
      ${total === null ? several(replayed, "event", "events") : `${count(replayed)} of ${count(total)}`}${skipped ? `, ${count(skipped)} skipped` : ""},
      <span class="faint"> begun <${Time} at=${replay.started_at} /></span></p>
    ${state === "running" && html`<progress max=${total ?? undefined} value=${total === null ? undefined : replayed + skipped} aria-label="Replayed"></progress>
      <${Act} onAct=${stop}>Stop<//>`}
    ${replay.error && html`<p class="bad-text">${visible(replay.error)}</p>`}
  </div>`;
}
