// The page's words: how times, sizes, states and reasons are said.

const rules = new Intl.RelativeTimeFormat("en", { numeric: "always", style: "narrow" });
const UNITS = [["day", 86_400], ["hour", 3600], ["minute", 60], ["second", 1]];

/** "3m ago", "in 12s". */
export function relative(at, now = Date.now()) {
  const seconds = Math.round((Date.parse(at) - now) / 1000);
  if (Number.isNaN(seconds)) return "";
  if (Math.abs(seconds) < 2) return "just now";
  const [unit, size] = UNITS.find(([, size]) => Math.abs(seconds) >= size);
  return rules.format(Math.trunc(seconds / size), unit);
}

/** How old something is: "4m 10s". */
export function age(at, now = Date.now()) {
  return at ? duration(Math.max(0, now - Date.parse(at))) : "–";
}

export function duration(ms) {
  if (ms < 1000) return `${Math.round(ms)} ms`;
  const seconds = ms / 1000;
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  if (seconds < 60) return `${Math.round(seconds)} s`;
  const parts = [["d", 86_400], ["h", 3600], ["m", 60], ["s", 1]];
  const first = parts.findIndex(([, size]) => seconds >= size);
  const [[unit, size], lower] = [parts[first], parts[first + 1]];
  const more = lower ? Math.floor((seconds % size) / lower[1]) : 0;
  return `${Math.floor(seconds / size)}${unit}${more ? ` ${more}${lower[0]}` : ""}`;
}

export function absolute(at) {
  const time = new Date(at);
  if (Number.isNaN(time.getTime())) return String(at);
  const local = time.toLocaleString(undefined, { dateStyle: "medium", timeStyle: "long" });
  return `${local} (${at})`;
}

export function clockTime(at) {
  const time = new Date(at);
  return Number.isNaN(time.getTime()) ? String(at) : time.toLocaleTimeString();
}

export function size(bytes) {
  if (bytes < 1024) return `${bytes} B`;
  const units = ["KiB", "MiB", "GiB", "TiB"];
  let [value, unit] = [bytes / 1024, 0];
  while (value >= 1024 && unit < units.length - 1) [value, unit] = [value / 1024, unit + 1];
  return `${value < 10 ? value.toFixed(1) : Math.round(value)} ${units[unit]}`;
}

const numbers = new Intl.NumberFormat("en");
export const count = (number) => numbers.format(number);
export const several = (number, one, many) => `${count(number)} ${number === 1 ? one : many}`;

/** A rate that can be read at a glance: per second if that is at least one, else per minute. */
export function rate(perSecond) {
  if (!perSecond) return "0/s";
  if (perSecond >= 1) return `${perSecond >= 10 ? count(Math.round(perSecond)) : perSecond.toFixed(1)}/s`;
  const perMinute = perSecond * 60;
  return `${perMinute >= 10 ? Math.round(perMinute) : Number(perMinute.toFixed(1))}/min`;
}

// Characters that would not be seen, or would turn the text around them: bidirectional controls,
// zero-width characters, and control characters but tab and line feed.
const UNSEEN = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g;

/** What a sender wrote, with nothing hidden in it. */
export function visible(text) {
  return String(text ?? "").replace(UNSEEN, (char) => {
    const code = char.codePointAt(0).toString(16).padStart(2, "0");
    return `\\u{${code}}`;
  });
}

/** A word of the API, to be read in a sentence: `gave_up` is "gave up". */
export const spoken = (word) => visible(word).replaceAll("_", " ");

export const STATES = ["pending", "delivered", "dead"];

export const OUTCOMES = {
  delivered: "the app took it",
  failed_status: "the app answered with an error",
  final_status: "the app's answer was final",
  aborted: "the app asked not to get it again",
  timeout: "the app did not answer in time",
  disconnected: "the connection broke",
};

export const DEAD_REASONS = {
  gave_up: "The app did not take it for app.retry.give_up_after.",
  refused: "The app's answer was final, so it was not tried again.",
  unreadable: "Its record on disk is damaged; nothing of it was delivered.",
  erased: "Its body was erased before it was delivered.",
};

export const REASONS = {
  no_header: "no signature where the provider puts it",
  malformed: "signature in another form than the provider's",
  stale: "genuine, but signed too long ago",
  future: "genuine, but signed in the future",
  mismatch: "no configured secret makes this signature",
  check: "the signature is right, a value beside it is not",
  unknown_key: "signed with a key that is not known",
  key_unavailable: "the sender's key could not be fetched",
  expired: "every secret of the source has expired",
  address: "from an address that may not send",
  no_secret: "no secret has been captured yet",
};

export const CONTENT = {
  erased: "The body and headers of this event have been erased. Its id stays, so that repeats are recognised.",
  damaged: "The stored record is damaged. Nothing of it is shown or handed on.",
};
