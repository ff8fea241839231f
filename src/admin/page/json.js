// JSON laid out for reading. The text is never parsed into values, so numbers keep every digit and
// repeated keys stay.

/** Text that is nested deeper than this would be mostly indentation. */
const DEPTH_MAX = 64;
const TOKEN = /"(?:[^"\\]|\\.)*"|[{}[\],:]|[^\s{}[\],:"]+/g;

/**
 * The pieces of a JSON text with line breaks and indentation between them, each `[kind, text]` with
 * a kind of `key`, `text`, `number`, `word` or `mark`; null if it is no JSON or nested too deep.
 */
export function layOut(text) {
  if (!isJson(text)) return null;
  const tokens = text.match(TOKEN) ?? [];
  const pieces = [];
  let depth = 0;
  const newLine = () => pieces.push(["mark", `\n${"  ".repeat(depth)}`]);
  for (let at = 0; at < tokens.length; at++) {
    const token = tokens[at];
    const next = tokens[at + 1];
    if (token === "{" || token === "[") {
      depth += 1;
      if (depth > DEPTH_MAX) return null;
      pieces.push(["mark", token]);
      if (next !== "}" && next !== "]") newLine();
    } else if (token === "}" || token === "]") {
      depth -= 1;
      const isEmpty = tokens[at - 1] === "{" || tokens[at - 1] === "[";
      if (!isEmpty) newLine();
      pieces.push(["mark", token]);
    } else if (token === ",") {
      pieces.push(["mark", token]);
      newLine();
    } else if (token === ":") {
      pieces.push(["mark", ": "]);
    } else {
      pieces.push([kindOf(token, next), token]);
    }
  }
  return pieces;
}

function isJson(text) {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

function kindOf(token, next) {
  if (token.startsWith('"')) return next === ":" ? "key" : "text";
  return /^[-\d]/.test(token) ? "number" : "word";
}
