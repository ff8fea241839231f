// The page's frame: what it shows where, who may do what, and the keys.

import { html, render, useEffect, useRef, useState } from "./vendor/htm-preact.js";
import { onUnauthorized, path, useReading } from "./api.js";
import { Dead } from "./dead.js";
import { Event } from "./event.js";
import { Events } from "./events.js";
import { Icon } from "./icons.js";
import { Keys, listenToKeys, useKey, VIEWS } from "./keys.js";
import { LogIn, logOut } from "./login.js";
import { Overview } from "./overview.js";
import { ReadOnly, Said, say } from "./parts.js";
import { Rejections } from "./rejections.js";
import { link, useRoute } from "./route.js";
import { Sources } from "./sources.js";
import { count, visible } from "./words.js";

const READ_ONLY = "This token may only read.";

function App() {
  const [isAskedToLogIn, setAsked] = useState(false);
  useEffect(() => onUnauthorized(() => setAsked(true)), []);
  if (isAskedToLogIn) return html`<${LogIn} onDone=${() => setAsked(false)} />`;
  return html`<${Page} onOut=${() => logOut().then(() => setAsked(true), (problem) => say(visible(problem.message), true))} />`;
}

function Page({ onOut }) {
  const { words, query } = useRoute();
  const [showsKeys, setShowsKeys] = useState(false);
  const status = useReading(path(["status"]), 5);
  const sources = useReading(path(["sources"]), 5);
  useKey("?", () => setShowsKeys(true));
  const view = words[0] ?? "";
  const isFirst = useRef(true);
  useEffect(() => {
    const known = VIEWS.find(([, [word = ""]]) => word === view);
    document.title = `${words[1] ?? known?.[2] ?? "Nothing here"} · hookgate`;
    window.scrollTo(0, 0);
    // Whoever came by keyboard goes on from the new content.
    if (!isFirst.current) document.getElementById("main").focus({ preventScroll: true });
    isFirst.current = false;
  }, [view, words[1]]);
  return html`<${ReadOnly.Provider} value=${status.value?.access === "read" ? READ_ONLY : ""}>
    <a class="skip" href="#main" onClick=${skip}>Skip to the content</a>
    <${Side} view=${view} status=${status} sources=${sources.value?.sources} onOut=${onOut} onKeys=${() => setShowsKeys(true)} />
    <main id="main" tabindex="-1">
      ${status.value?.access === "read" && html`<p class="notice">${READ_ONLY} What would change something is switched off.</p>`}
      ${viewOf(words, query, status, sources)}
    </main>
    <${Said} />
    ${showsKeys && html`<${Keys} onClose=${() => setShowsKeys(false)} />`}
  <//>`;
}

// The hash is the route, so a jump within the page must not change it.
function skip(event) {
  event.preventDefault();
  document.getElementById("main").focus();
}

function viewOf([view = "", id], query, status, sources) {
  const names = sources.value?.sources;
  switch (view) {
    case "":
      return html`<${Overview} status=${status} reading=${sources} />`;
    case "events":
      return id
        ? html`<${Event} key=${id} id=${id} status=${status.value} />`
        : html`<${Events} query=${query} sources=${names} />`;
    case "dead":
      return html`<${Dead} query=${query} sources=${names} />`;
    case "rejections":
      return html`<${Rejections} query=${query} sources=${names} />`;
    case "sources":
      return html`<${Sources} reading=${sources} />`;
    default:
      return html`<header class="title"><h1>Nothing here</h1></header>
        <p>This address names no view. <a href="#/">To the overview</a></p>`;
  }
}

function Side({ view, status, sources, onOut, onKeys }) {
  const numbers = { dead: sources?.reduce((sum, source) => sum + source.dead, 0) ?? 0 };
  return html`<header class="side">
    <a class="brand" href="#/"><img src="/page/icon.svg" alt="" width="24" height="24" />hookgate</a>
    <nav aria-label="Views">${VIEWS.map(([letter, [word = ""], title, icon]) => html`<a key=${word} href=${link(word ? [word] : [])}
        aria-current=${view === word ? "page" : null} title=${`${title} (g ${letter})`}>
      <${Icon} name=${icon} /><span>${title}</span>
      ${numbers[word] > 0 && html`<span class=${`tally ${word}`}>${count(numbers[word])}</span>`}
    </a>`)}</nav>
    <div class="below">
      <${Pulse} status=${status} />
      <button type="button" class="quiet" onClick=${onKeys}><${Icon} name="keys" /><span>Keys</span></button>
      ${status.value?.session && html`<button type="button" class="quiet" onClick=${onOut}><${Icon} name="out" /><span>Log out</span></button>`}
    </div>
  </header>`;
}

function Pulse({ status: { value, problem } }) {
  const [word, kind] = problem?.status === 0
    ? ["Not reached", "bad"]
    : !value ? ["", ""] : !value.ready ? ["Not ready", "bad"] : !value.app.up ? ["App down", "bad"] : ["Ready", "live"];
  return html`<p class=${`pulse ${kind}`} role="status">${word}</p>`;
}

listenToKeys();
render(html`<${App} />`, document.getElementById("app"));
