// Drives Chromium over the page: `page.mjs CHECKS PACKAGES CHROMIUM`. The first line of its input
// says what there is to see; it prints `ok NAME` or `failed NAME: WHY` for each check, and
// `ask WHAT` where the sender has to do something, answered by a line of JSON.

import { createRequire } from "node:module";
import readline from "node:readline";
import { contract } from "./contract.mjs";
import { injection } from "./injection.mjs";
import { logIn, operation } from "./operation.mjs";
import { pace } from "./pace.mjs";
import { reading } from "./reading.mjs";
import { wcag } from "./wcag.mjs";

const [checks, packages, executablePath] = process.argv.slice(2);
const require = createRequire(`${packages}/`);
const { chromium } = require("playwright-core");
const PATIENCE_MS = 20_000;
const ARGUMENTS = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

const input = readline.createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const line = async () => JSON.parse((await input.next()).value);
const scene = await line();
scene.ask = async (what) => {
  console.log(`ask ${what}`);
  return line();
};

const browser = await chromium.launch({ executablePath, args: ARGUMENTS });

/** A page of its own, and all that the browser complains about in it. */
async function open(hash, options = {}) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, ...options });
  context.setDefaultTimeout(PATIENCE_MS);
  await context.grantPermissions(["clipboard-read", "clipboard-write"]);
  const page = await context.newPage();
  const complaints = [];
  page.on("pageerror", (error) => complaints.push(`an exception: ${error.stack}`));
  page.on("dialog", (dialog) => {
    complaints.push(`a dialog: ${dialog.message()}`);
    dialog.dismiss();
  });
  page.on("console", (message) => {
    // Chromium's own line about an answer with an error status, which the page expects and shows.
    const isAnswer = message.text().startsWith("Failed to load resource") && message.location().url.includes("/api/v1/");
    if (["error", "warning"].includes(message.type()) && !isAnswer) complaints.push(`the console: ${message.text()}`);
  });
  page.on("request", (request) => {
    const { origin } = new URL(request.url());
    if (origin !== scene.base && !request.url().startsWith("data:")) complaints.push(`a request to ${request.url()}`);
  });
  await page.addInitScript(() => {
    window.hits = 0;
    window.hit = () => (window.hits += 1);
    window.violations = [];
    document.addEventListener("securitypolicyviolation", (event) =>
      window.violations.push(`${event.violatedDirective} ${event.blockedURI} ${event.sample}`),
    );
  });
  await page.goto(`${scene.base}/${hash}`);
  return { page, complaints };
}

/**
 * Runs one check on a page of its own; it fails on anything the browser complains about, too. With
 * `complains` it is the other way round, which shows that complaints are heard.
 */
async function check(name, hash, look, { complains = false, ...options } = {}) {
  const { page, complaints } = await open(hash, options);
  try {
    await look(page);
    const { hits, violations } = await page.evaluate(() => ({ hits: window.hits, violations: window.violations }));
    const all = [...complaints, ...violations, ...(hits ? [`${hits} scripts ran`] : [])];
    if (complains !== all.length > 0) throw new Error(all.join("; ") || "the browser did not complain");
    console.log(`ok ${name}`);
  } catch (error) {
    console.log(`failed ${name}: ${String(error.stack ?? error).replaceAll("\n", " | ").slice(0, 2000)}`);
  } finally {
    await page.context().close();
  }
}

try {
  if (checks === "injection") await injection(check, scene);
  else if (checks === "log-in") await logIn(check, scene);
  else if (checks === "wcag") await wcag(check, scene, require("axe-core").source);
  else {
    await reading(check, scene);
    await operation(check, scene);
    await contract(check, scene);
    await pace(check, scene);
  }
} finally {
  await browser.close();
  input.return?.();
  process.stdin.destroy();
}
