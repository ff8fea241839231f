// Dead letters: what your app never took, why, and how to have it tried again.

import { html } from "./vendor/htm-preact.js";
import { BulkReplay } from "./bulk.js";
import { EventList, Filters, filterOf, Live } from "./events.js";
import { useList } from "./list.js";
import { link } from "./route.js";
import { count, DEAD_REASONS, spoken, visible } from "./words.js";

export function Dead({ query, sources }) {
  const filter = { ...filterOf(query), state: "dead" };
  const list = useList(filter);
  return html`
    <header class="title"><h1>Dead letters</h1><${Live} list=${list} /></header>
    <${Groups} rows=${list.rows} filter=${filter} isAll=${!list.next && !list.isLoading && !list.isCut} />
    <${Filters} where="dead" filter=${filter} sources=${sources} rows=${list.rows} />
    <${BulkReplay} filter=${filter} isOffered=${list.rows.length > 0} />
    <${EventList} list=${list} filter=${filter} where="dead" />
  `;
}

/** How many of each reason and source, most first. */
export function groups(rows) {
  const counted = new Map();
  for (const { dead_reason: reason, source } of rows) {
    if (!reason) continue; // replayed since it was listed
    const key = `${reason} ${source}`;
    const group = counted.get(key) ?? { key, reason, source, number: 0 };
    counted.set(key, { ...group, number: group.number + 1 });
  }
  return [...counted.values()].sort((one, other) => other.number - one.number);
}

function Groups({ rows, filter, isAll }) {
  const all = groups(rows);
  if (!all.length) return null;
  return html`<section class="groups" aria-label="Reasons">
    <ul>${all.map((group) => html`<li key=${group.key}>
      <a href=${link(["dead"], { ...filter, state: "", source: group.source })}>
        <strong>${count(group.number)}${isAll ? "" : "+"}</strong>
        <span>${visible(group.source)}</span>
        <span class="faint" title=${DEAD_REASONS[group.reason]}>${spoken(group.reason)}</span>
      </a>
    </li>`)}</ul>
    ${!isAll && html`<p class="faint">Counted among those that are loaded.</p>`}
  </section>`;
}
