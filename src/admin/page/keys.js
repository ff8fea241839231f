// The keyboard: one listener for the page. Views add keys while they are shown; nothing is taken
// from fields, from the browser's own shortcuts, or while a dialog asks something.

import { html, useLayoutEffect, useRef } from "./vendor/htm-preact.js";
import { useModal } from "./parts.js";
import { go } from "./route.js";

export const VIEWS = [
  ["o", [], "Overview", "overview"],
  ["e", ["events"], "Events", "events"],
  ["d", ["dead"], "Dead letters", "dead"],
  ["r", ["rejections"], "Rejections", "rejections"],
  ["s", ["sources"], "Sources", "sources"],
];

const CHORD_MS = 1500;
/** The keys that do something again while they are held down. */
const HELD = ["j", "k", "ArrowDown", "ArrowUp"];
const added = new Map();
let chordUntil = 0;

/** While the view is shown, `key` does this; the row that has the focus is handed over by its id. */
export function useKey(key, action) {
  const latest = useRef(action);
  latest.current = action;
  // Whoever sees the view may press the key.
  useLayoutEffect(() => {
    const act = (row) => latest.current(row);
    added.set(key, act);
    return () => added.get(key) === act && added.delete(key);
  }, [key]);
}

const rows = () => [...document.querySelectorAll("[data-row]")];
const focusedRow = () => document.activeElement?.closest("tr, li")?.querySelector("[data-row]");

function move(step) {
  const all = rows();
  if (!all.length) return false;
  const at = all.indexOf(focusedRow());
  const next = at < 0 ? (step > 0 ? 0 : all.length - 1) : at + step;
  const row = all[Math.min(Math.max(next, 0), all.length - 1)];
  row.focus({ preventScroll: true });
  row.scrollIntoView({ block: "nearest" });
  return true;
}

function isTyping(target) {
  return target instanceof Element && target.closest("input, select, textarea") !== null;
}

/** Whether the key was for the page. */
function press(key) {
  if (performance.now() < chordUntil) {
    chordUntil = 0;
    const view = VIEWS.find(([letter]) => letter === key);
    if (view) go(view[1]);
    return view !== undefined;
  }
  if (key === "g") {
    chordUntil = performance.now() + CHORD_MS;
    return true;
  }
  if (key === "j") return move(1);
  if (key === "k") return move(-1);
  // The arrows scroll, unless the reader is in a list already.
  if (key === "ArrowDown" && focusedRow()) return move(1);
  if (key === "ArrowUp" && focusedRow()) return move(-1);
  if (key === "/") {
    const filter = document.querySelector("[data-filter]");
    filter?.focus();
    filter?.select?.();
    return filter !== null;
  }
  const action = added.get(key);
  action?.(focusedRow()?.dataset.row);
  return action !== undefined;
}

export function listenToKeys() {
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
    if (event.repeat && !HELD.includes(event.key)) return;
    if (document.querySelector("dialog[open]")) return;
    if (isTyping(event.target)) {
      if (event.key === "Escape") event.target.blur();
      return;
    }
    if (press(event.key)) event.preventDefault();
  });
}

const LIST = [
  ["j / k, ↓ / ↑", "next, previous in a list"],
  ["Enter", "open"],
  ["r", "replay the event in focus, or the one shown, after a question"],
  ["c", "copy the shown event as a curl command"],
  ["p", "pause or resume the live tail"],
  ["n", "show what is new"],
  ["/", "to the filter"],
  ...VIEWS.map(([letter, , title]) => [`g ${letter}`, title]),
  ["?", "these keys"],
  ["Esc", "close, leave a field, or back to the list"],
];

export function Keys({ onClose }) {
  const dialog = useModal();
  return html`<dialog ref=${dialog} class="ask keys" aria-labelledby="keys-title" onClose=${onClose}>
    <h2 id="keys-title">Keys</h2>
    <dl>${LIST.map(([key, does]) => html`<div key=${key}><dt><kbd>${key}</kbd></dt><dd>${does}</dd></div>`)}</dl>
    <div class="buttons"><button type="button" autofocus onClick=${() => dialog.current.close()}>Close</button></div>
  </dialog>`;
}
