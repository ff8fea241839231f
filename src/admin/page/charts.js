// Small line charts in SVG. What a line shows is also said in words, for those who do not see it.

import { html, useState } from "./vendor/htm-preact.js";
import { clockTime } from "./words.js";

const [WIDTH, HEIGHT, AIR] = [300, 64, 4];

/** The path through the values; where one is missing, the line has a gap. */
export function linePath(values, most) {
  const step = values.length > 1 ? WIDTH / (values.length - 1) : WIDTH;
  let isDrawing = false;
  const parts = values.map((value, at) => {
    if (value === null) {
      isDrawing = false;
      return "";
    }
    const y = HEIGHT - AIR - (value / (most || 1)) * (HEIGHT - 2 * AIR);
    const word = isDrawing ? "L" : "M";
    // A value between two gaps would be a line without length.
    const dot = !isDrawing && (values[at + 1] ?? null) === null ? "h0.1" : "";
    isDrawing = true;
    return `${word}${(at * step).toFixed(1)} ${y.toFixed(1)}${dot}`;
  });
  return parts.join("");
}

function areaPath(values, most) {
  if (values.length < 2 || values.includes(null)) return "";
  return `${linePath(values, most)}L${WIDTH} ${HEIGHT}L0 ${HEIGHT}Z`;
}

/** `values` with null where there is none, at the instants `times`; `say` puts a value into words. */
export function Chart({ title, times, values, say, emphasis = "" }) {
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
  const isPointing = at !== null && at < values.length;
  const x = isPointing && values.length > 1 ? (at * WIDTH) / (values.length - 1) : 0;
  const words = `${title}: now ${told(latest)}, at most ${told(known.length ? most : null)} since ${times.length ? clockTime(times[0]) : "the start"}`;
  return html`<figure class=${`chart ${emphasis}`}>
    <figcaption><span>${title}</span>
      <strong>${told(isPointing ? values[at] : latest)}</strong>
      <span class="faint">${isPointing ? clockTime(times[at]) : `at most ${told(known.length ? most : null)}`}</span></figcaption>
    <svg viewBox="0 0 ${WIDTH} ${HEIGHT}" preserveAspectRatio="none" role="img" aria-label=${words}
      onPointerMove=${point} onPointerLeave=${() => setAt(null)}>
      <path class="ground" d="M0 ${HEIGHT - 0.5}H${WIDTH}" />
      <path class="area" d=${areaPath(values, most)} />
      <path class="line" d=${linePath(values, most)} />
      ${isPointing && html`<path class="cursor" d="M${x} 0V${HEIGHT}" />`}
    </svg>
  </figure>`;
}
