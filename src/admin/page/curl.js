// A stored request as a command for a POSIX shell. Everything in it was written by a sender, so
// nothing reaches the shell but between single quotes, and names of headers in a comment: those
// cannot hold a line break.

import { CONTENT } from "./words.js";

const NOT_SHOWN = "(not shown)";
/** What curl writes itself, or what belonged to the sender's connection. */
const CURLS_OWN = ["host", "content-length", "connection", "transfer-encoding", "expect"];

/** One word of a POSIX shell. */
export function quote(text) {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

/** The command that sends this body to standard output or, if it is plain text, to curl itself. */
function sending(bytes) {
  const text = plainText(bytes);
  if (text !== null) return { before: "", data: `--data-raw ${quote(text)}` };
  const octal = Array.from(bytes, (byte) => {
    const char = String.fromCharCode(byte);
    return /[A-Za-z0-9 ,.:;=_{}[\]"<>/+-]/.test(char) ? char : `\\0${byte.toString(8).padStart(3, "0")}`;
  });
  return { before: `printf '%b' ${quote(octal.join(""))} | `, data: "--data-binary @-" };
}

/** The text, if a terminal takes it as it is: no control characters but tab and line feed. */
function plainText(bytes) {
  try {
    const text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
    return /[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/.test(text) ? null : text;
  } catch {
    return null;
  }
}

/** Where senders reach the gate, in curl's words. */
function address(listen) {
  const [first = "http://127.0.0.1:8080"] = listen ?? [];
  const socket = first.startsWith("unix:") ? first.slice("unix:".length) : null;
  return socket
    ? { base: "http://localhost", options: [`--unix-socket ${quote(socket)}`] }
    : { base: first.replace(/\/$/, ""), options: [] };
}

/** `listen` is the gate's addresses as its status tells them. */
export function curl(event, bytes, listen) {
  if (event.content !== "whole") return `# ${CONTENT[event.content]}`;
  const hidden = event.headers.filter(([, value]) => value === NOT_SHOWN).map(([name]) => name);
  const sent = event.headers.filter(([name, value]) => value !== NOT_SHOWN && !CURLS_OWN.includes(name));
  const { before, data } = sending(bytes);
  const { base, options } = address(listen);
  const lines = [
    `${before}curl --request ${quote(event.method)} --globoff --path-as-is`,
    ...options,
    // A header without a value is written with a semicolon.
    ...sent.map(([name, value]) => `--header ${quote(value === "" ? `${name};` : `${name}: ${value}`)}`),
    ...(sent.some(([name]) => name === "content-type") ? [] : [`--header 'content-type:'`]),
    data,
    quote(base + event.target),
  ];
  const comment = hidden.length ? `# Not shown by the gate, so left out: ${hidden.join(", ")}\n` : "";
  return comment + lines.join(" \\\n  ");
}
