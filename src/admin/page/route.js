// Where the reader is: the hash of the URL, such as `#/events?source=stripe&state=dead`, so that a
// view with its filters can be shared and the browser's "back" works.

import { useEffect, useState } from "./vendor/htm-preact.js";

/** The route that a hash names: its words, and its query as an object. */
export function parse(hash) {
  const [where, search = ""] = hash.replace(/^#?\/?/, "").split(/\?(.*)/s);
  const words = where.split("/").filter(Boolean).map(decoded);
  return { words, query: Object.fromEntries(new URLSearchParams(search)) };
}

function decoded(word) {
  try {
    return decodeURIComponent(word);
  } catch {
    return word;
  }
}

/** The link to a route; what is empty in the query is left out. */
export function link(words, query = {}) {
  const search = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) if (value) search.set(name, value);
  const text = search.toString();
  return `#/${words.map(encodeURIComponent).join("/")}${text ? `?${text}` : ""}`;
}

export function go(words, query) {
  location.hash = link(words, query);
}

/** The same place with another query, without a new entry in the history. */
export function refine(words, query) {
  history.replaceState(null, "", link(words, query));
  window.dispatchEvent(new HashChangeEvent("hashchange"));
}

const LISTS = /^#\/(events|dead)(\?|$)/;
let list = LISTS.test(location.hash) ? location.hash : "#/events";

/** The list of events that was shown last, with its filters. */
export const lastList = () => list;

export function useRoute() {
  const [hash, setHash] = useState(location.hash);
  useEffect(() => {
    const changed = () => {
      if (LISTS.test(location.hash)) list = location.hash;
      setHash(location.hash);
    };
    window.addEventListener("hashchange", changed);
    return () => window.removeEventListener("hashchange", changed);
  }, []);
  return parse(hash);
}
