// Small pictures, all drawn on a grid of 16. They stand beside words and say nothing of their own.

import { html } from "./vendor/htm-preact.js";

const PATHS = {
  overview: "M2.5 9.5 6 6l2.5 2.5 5-5M10.5 3.5h3v3M2.5 13.5h11",
  events: "M3 4h10M3 8h10M3 12h6",
  dead: "M8 2 2 13.5h12zM8 6.5v3M8 11.4v.2",
  rejections: "M8 1.8 13 4v4c0 3-2 5.2-5 6.2C5 13.2 3 11 3 8V4zM6.2 6.2l3.6 3.6M9.8 6.2 6.2 9.8",
  sources: "M5 2v4M11 2v4M3.5 6h9v2a4.5 4.5 0 0 1-9 0zM8 12.5V15",
  delivered: "M5 8.3l2.2 2.2L11.2 6",
  pending: "M8 4.8V8l2.2 1.5",
  dead_state: "M5.8 5.8l4.4 4.4M10.2 5.8l-4.4 4.4",
  copy: "M5.5 5.5v-3h8v8h-3M2.5 5.5h8v8h-8z",
  replay: "M3 8a5 5 0 1 0 1.6-3.7L3 5.7M3 2.5v3.2h3.2",
  download: "M8 2.5v7.5M5 7.2l3 3 3-3M3 13.5h10",
  pause: "M6 4v8M10 4v8",
  play: "M5.5 3.5v9l7-4.5z",
  back: "M9.5 3.5 5 8l4.5 4.5",
  search: "M7 3a4 4 0 1 0 0 8 4 4 0 0 0 0-8zM10 10l3.5 3.5",
  keys: "M2 4.5h12v7H2zM5 9.2h6M4.5 7h.1M7 7h.1M9.5 7h.1M11.8 7h.1",
  out: "M6.5 3h-3.5v10h3.5M10 5l3 3-3 3M13 8H6.5",
  external: "M9 3h4v4M13 3 7.5 8.5M11 9.5V13H3V5h3.5",
};

export function Icon({ name }) {
  return html`<svg class="icon" viewBox="0 0 16 16" aria-hidden="true" focusable="false">
    <path d=${PATHS[name]} />
  </svg>`;
}

/** The state's own shape, so that colour is not the only sign: a ring, a disc, an octagon. */
export function Shape({ state }) {
  const outline = {
    delivered: html`<circle cx="8" cy="8" r="6.5" />`,
    pending: html`<circle cx="8" cy="8" r="6.5" stroke-dasharray="2.5 1.58" />`,
    dead: html`<path d="M5.5 1.5h5l4 4v5l-4 4h-5l-4-4v-5z" />`,
  };
  return html`<svg class="icon" viewBox="0 0 16 16" aria-hidden="true" focusable="false">
    ${outline[state]}<path d=${PATHS[state === "dead" ? "dead_state" : state]} />
  </svg>`;
}
