// What several views are made of.

import { createContext, html, useContext, useEffect, useRef, useState } from "./vendor/htm-preact.js";
import { Icon, Shape } from "./icons.js";
import { absolute, relative, spoken, STATES, visible } from "./words.js";

/** Why this caller may not change anything; empty if it may. */
export const ReadOnly = createContext("");

const listeners = new Set();

/** Tells the reader what came of something, also those who hear the page. */
export function say(text, isBad = false) {
  listeners.forEach((listener) => listener({ text, isBad, at: Date.now() }));
}

/** What `say` said last. */
export function Said() {
  const [said, setSaid] = useState(null);
  useEffect(() => {
    listeners.add(setSaid);
    return () => listeners.delete(setSaid);
  }, []);
  useEffect(() => {
    if (!said || said.isBad) return undefined;
    const timer = setTimeout(() => setSaid(null), 6000);
    return () => clearTimeout(timer);
  }, [said]);
  return html`<div class="said" role="status" aria-live="polite">
    ${said &&
    html`<p class=${said.isBad ? "bad" : ""} key=${said.at}>
      <span>${said.text}</span>
      <button type="button" class="quiet" aria-label="Close" onClick=${() => setSaid(null)}>✕</button>
    </p>`}
  </div>`;
}

const tickers = new Set();
setInterval(() => document.hidden || tickers.forEach((tick) => tick(Date.now())), 5000);

/** The time, a few times a minute. */
export function useNow() {
  const [now, setNow] = useState(Date.now());
  useEffect(() => {
    tickers.add(setNow);
    return () => tickers.delete(setNow);
  }, []);
  return now;
}

/** When something was, as people say it; to the millisecond in the title. */
export function Time({ at }) {
  const now = useNow();
  if (!at) return html`<span class="faint">never</span>`;
  return html`<time datetime=${at} title=${absolute(at)}>${relative(at, Math.max(now, Date.now()))}</time>`;
}

/** An event's state: a word with a shape. */
export function State({ state }) {
  const known = STATES.includes(state) ? state : "pending";
  return html`<span class=${`state ${known}`}><${Shape} state=${known} />${visible(state)}</span>`;
}

/** What went wrong, and a way to try again. */
export function Trouble({ problem, again }) {
  if (!problem) return null;
  return html`<div class="notice bad" role="alert">
    <p>${visible(problem.message)}</p>
    ${again && html`<button type="button" onClick=${again}>Try again</button>`}
  </div>`;
}

export function Empty({ title, children }) {
  return html`<div class="empty"><h2>${title}</h2>${children}</div>`;
}

/** A button that changes something, so it is off for those who may only read. */
export function Act({ onAct, disabled, title, children, ...rest }) {
  const why = useContext(ReadOnly);
  const [isBusy, setBusy] = useState(false);
  const act = async () => {
    setBusy(true);
    try {
      await onAct();
    } catch (problem) {
      say(visible(problem.message), true);
    } finally {
      setBusy(false);
    }
  };
  return html`<button type="button" ...${rest} disabled=${disabled || isBusy || why !== ""} title=${why || title} onClick=${act}>
    ${children}
  </button>`;
}

/** Puts a text on the clipboard. */
export function Copy({ text, label = "Copy", what = label }) {
  const [isDone, setDone] = useState(false);
  useEffect(() => {
    if (!isDone) return undefined;
    const timer = setTimeout(() => setDone(false), 2000);
    return () => clearTimeout(timer);
  }, [isDone]);
  const copy = async () => {
    const value = typeof text === "function" ? await text() : text;
    const done = value !== null && (await toClipboard(value));
    setDone(done);
    say(done ? `Copied: ${what}` : "The browser did not let the page copy.", !done);
  };
  return html`<button type="button" class="copy" onClick=${copy} aria-label=${`Copy ${what}`}>
    <${Icon} name=${isDone ? "delivered" : "copy"} />${label && html`<span>${isDone ? "Copied" : label}</span>`}
  </button>`;
}

// Over plain http from another machine the page gets no clipboard, but may still copy a selection.
async function toClipboard(text) {
  if (navigator.clipboard) {
    try {
      await navigator.clipboard.writeText(text);
      return true;
    } catch {
      // Not allowed: the older way may be.
    }
  }
  const area = document.createElement("textarea");
  area.value = text;
  area.className = "unseen";
  document.body.append(area);
  area.select();
  const done = document.execCommand("copy");
  area.remove();
  return done;
}

/** A line that is typed into a shell, with a button that copies it. */
export function Command({ line, what = "the command" }) {
  return html`<div class="command"><code>${visible(line)}</code><${Copy} text=${line} label="" what=${what} /></div>`;
}

/** A dialog that is open while it is shown; the focus goes back to where it was. */
export function useModal() {
  const dialog = useRef(null);
  useEffect(() => {
    const { current } = dialog;
    current.showModal();
    return () => current.close();
  }, []);
  return dialog;
}

/** A question that has to be answered before anything else; Escape says no. */
export function Ask({ title, yes, isDangerous, onYes, onNo, children }) {
  const dialog = useModal();
  return html`<dialog ref=${dialog} class="ask" aria-labelledby="ask-title" onClose=${onNo}>
    <h2 id="ask-title">${title}</h2>
    ${children}
    <div class="buttons">
      <button type="button" autofocus onClick=${() => dialog.current.close()}>Cancel</button>
      <${Act} class=${isDangerous ? "danger" : "primary"} onAct=${onYes}>${yes}<//>
    </div>
  </dialog>`;
}

/** Names and what they stand for; those without are left out. */
export function Facts({ list }) {
  const told = list.filter(([, value]) => value || value === 0);
  return html`<dl class="facts">
    ${told.map(([name, value]) => html`<div key=${name}><dt>${name}</dt><dd>${value}</dd></div>`)}
  </dl>`;
}

/** A choice of a filter. */
export function Choice({ label, value, options, onChoose, all }) {
  const known = !value || options.some(([word]) => word === value) ? options : [...options, [value, spoken(value)]];
  return html`<label class="field"><span>${label}</span>
    <select value=${value ?? ""} onChange=${(event) => onChoose(event.target.value)}>
      <option value="">${all}</option>
      ${known.map(([word, text]) => html`<option key=${word} value=${word}>${text}</option>`)}
    </select>
  </label>`;
}
