// Sources: where each one listens, what it has got, which secret matched, and whether it is held.

import { html } from "./vendor/htm-preact.js";
import { call, path } from "./api.js";
import { Icon } from "./icons.js";
import { Act, Command, Copy, Empty, Facts, say, Time, Trouble } from "./parts.js";
import { link } from "./route.js";
import { count, several, spoken, visible } from "./words.js";

export function Sources({ reading }) {
  const { value, problem, again } = reading;
  const sources = value?.sources ?? [];
  return html`
    <header class="title"><h1>Sources</h1></header>
    <${Trouble} problem=${problem} again=${again} />
    ${!value && !problem && html`<p class="faint">Looking …</p>`}
    ${value && !sources.length && html`<${NoSource} />`}
    <ul class="cards">${sources.map((source) => html`<${Source} key=${source.name} source=${source} again=${again} />`)}</ul>
  `;
}

/** How to add the first source. */
export function NoSource() {
  return html`<${Empty} title="No source yet">
    <p>A source is one endpoint: a provider, its secret and a path. Put one into <code>hookgate.toml</code> and start the
      gate again; <code>hookgate providers</code> lists more than 180 of them.</p>
    <pre class="body">${'[sources.stripe]\nprovider = "stripe"\nsecret_file = "/run/secrets/stripe"'}</pre>
    <p>Or try it without a file:</p>
    <${Command} line="hookgate run --source stripe=stripe --app 127.0.0.1:3000" />
  <//>`;
}

/** A provider's documentation, if it is on the web. */
export function docsLink(url) {
  return /^https?:\/\//i.test(url ?? "") ? url : null;
}

function Source({ source, again }) {
  const docs = docsLink(source.docs);
  return html`<li class="card" id=${`source-${source.name}`}>
    <header>
      <h2><a href=${link(["events"], { source: source.name })} data-row=${source.name}>${visible(source.name)}</a></h2>
      <span class="faint">${visible(source.title)}</span>
      ${source.mode === "observe" && html`<span class="badge warn" title="What fails verification is let through">observes only</span>`}
      ${source.held && html`<span class="badge warn">held</span>`}
      <${Hold} source=${source} again=${again} />
    </header>
    <${Facts} list=${[
      ["Address", html`<code>${visible(source.public_url ?? source.path)}</code> <${Copy} text=${source.public_url ?? source.path} label="" what="the address" />`],
      ["Secret", html`${visible(source.secret_hint)}${docs && html` <a href=${docs} target="_blank" rel="noreferrer noopener">Documentation<${Icon} name="external" /></a>`}`],
      ["Last matched", source.secrets.length > 0 && html`<${Secrets} secrets=${source.secrets} />`],
      ["Events", html`<${Counts} source=${source} />`],
      ["Requests", html`<${Requests} requests=${source.requests} />`],
      ["Last accepted", html`<${Time} at=${source.last_accepted_at} />`],
      ["Last refused", source.last_rejected_at && html`<a href=${link(["rejections"], { source: source.name })}><${Time} at=${source.last_rejected_at} /></a>`],
    ]} />
    ${source.send && html`<p class="try">Try it:</p><${Command} line=${source.send} what=${`the command for ${source.name}`} />`}
  </li>`;
}

function Hold({ source, again }) {
  const word = source.held ? "release" : "hold";
  const act = async () => {
    await call("POST", path(["sources", source.name, word]));
    say(source.held ? `${source.name} is delivered again.` : `${source.name} is held: its events are stored and wait.`);
    again();
  };
  const title = source.held ? "Deliver its events again" : "Go on storing its events, but deliver none";
  return html`<${Act} class="hold" title=${title} aria-label=${`${source.held ? "Release" : "Hold"} ${source.name}`} onAct=${act}>${source.held ? "Release" : "Hold"}<//>`;
}

function Secrets({ secrets }) {
  return html`<ul class="plain">${secrets.map((secret) => html`<li key=${secret.label}>
    <strong>${visible(secret.label)}</strong>${" "}
    ${secret.last_matched_at
      ? html`matched <${Time} at=${secret.last_matched_at} /> <span class="faint">(${several(secret.matched, "time", "times")})</span>`
      : html`<span class="faint">has not matched since the start</span>`}
  </li>`)}</ul>`;
}

function Counts({ source }) {
  const of = (state) => html`<a href=${link(["events"], { source: source.name, state })}>${count(source[state])} ${state}</a>`;
  return html`<span class="row">${of("delivered")} ${of("pending")} ${of("dead")}</span>`;
}

function Requests({ requests }) {
  const told = Object.entries(requests).filter(([, number]) => number > 0);
  if (!told.length) return html`<span class="faint">none since the start</span>`;
  return html`<span class="row">${told.map(([word, number]) => html`<span key=${word}>${count(number)} ${spoken(word)}</span>`)}</span>`;
}
