// Small line charts in SVG. What a line shows is also said in words, for those who do not see it.

import { html, useState } from "./vendor/htm-preact.js";
import { clockTime } from "./words.js";

const [WIDTH, HEIGHT, AIR] = [300, 64, 4];
/** With fewer samples the line begins further right, rather than being stretched. */
const SAMPLES_MIN = 31;

/** The values as points, a list for each stretch without a gap. */
export function stretches(values, most) {
  const step = WIDTH / Math.max(values.length - 1, 1);
  const all = [];
  values.forEach((value, at) => {
    if (value === null) return;
    const y = HEIGHT - AIR - (value / (most || 1)) * (HEIGHT - 2 * AIR);
    const point = `${(at * step).toFixed(1)} ${y.toFixed(1)}`;
    if (at > 0 && values[at - 1] !== null) all.at(-1).push(point);
    else all.push([point]);
  });
  return all;
}

// A value between two gaps would be a line without length.
const line = (points) => `M${points.join("L")}${points.length === 1 ? "h2" : ""}`;

function area(points) {
  const [first, last] = [points[0], points.at(-1)].map((point) => point.split(" ")[0]);
  return `M${first} ${HEIGHT}L${points.join("L")}L${last} ${HEIGHT}Z`;
}

const filled = (list) => [...Array(Math.max(SAMPLES_MIN - list.length, 0)).fill(null), ...list];

/** `values`, null where there is none, at the instants `times`; `say` puts a value into words. */
export function Chart({ title, say, emphasis = "", ...history }) {
  const [times, values] = [filled(history.times), filled(history.values)];
  const [at, setAt] = useState(null);
  const known = values.filter((value) => value !== null);
  const most = known.length ? Math.max(...known) : 0;
  const latest = values.findLast((value) => value !== null) ?? null;
  const told = (value) => (value === null ? "none" : say(value));
  const point = (event) => {
    const box = event.currentTarget.getBoundingClientRect();
    const share = (event.clientX - box.left) / box.width;
    setAt(Math.min(Math.max(Math.round(share * (values.length - 1)), 0), values.length - 1));
  };
  const isPointing = at !== null && Boolean(times[at]);
  const x = isPointing ? (at * WIDTH) / (values.length - 1) : 0;
  const parts = stretches(values, most);
  const start = history.times[0];
  const words = `${title}: latest ${told(latest)}, at most ${told(known.length ? most : null)} since ${start ? clockTime(start) : "the start"}`;
  return html`<figure class=${`chart ${emphasis}`}>
    <figcaption><span>${title}</span>
      <strong>${told(isPointing ? values[at] : latest)}</strong>
      <span class="faint">${isPointing ? clockTime(times[at]) : `at most ${told(known.length ? most : null)}`}</span></figcaption>
    <svg viewBox="0 0 ${WIDTH} ${HEIGHT}" preserveAspectRatio="none" role="img" aria-label=${words}
      onPointerMove=${point} onPointerLeave=${() => setAt(null)}>
      <path class="ground" d="M0 ${HEIGHT - 0.5}H${WIDTH}" />
      <path class="area" d=${parts.map(area).join("")} />
      <path class="line" d=${parts.map(line).join("")} />
      ${isPointing && html`<path class="cursor" d="M${x} 0V${HEIGHT}" />`}
    </svg>
  </figure>`;
}
