// The pictures of the README: `screenshots.mjs PACKAGES CHROMIUM BASE DIRECTORY`, for
// `scripts/screenshots`, which shows a gate at work at BASE.

import { createRequire } from "node:module";

const [packages, executablePath, base, directory] = process.argv.slice(2);
const { chromium } = createRequire(`${packages}/`)("playwright-core");
const browser = await chromium.launch({ executablePath, args: ["--no-sandbox", "--disable-gpu"] });

async function picture(name, colorScheme, hash, ready) {
  const page = await browser.newPage({ viewport: { width: 1280, height: 800 }, colorScheme });
  await page.goto(`${base}/${hash}`);
  await ready(page);
  await page.screenshot({ path: `${directory}/${name}.png`, animations: "disabled" });
  await page.close();
}

/** The event of the demo that the app refused at first. */
async function retried() {
  let next = "";
  do {
    const page = await (await fetch(`${base}/api/v1/events?limit=500${next && `&cursor=${next}`}`)).json();
    const found = page.events.find((event) => event.attempts > 1);
    if (found) return found.id;
    next = page.next;
  } while (next);
  throw new Error("no event was tried twice");
}

try {
  await picture("overview", "light", "#/", (page) => page.locator("figure.chart").nth(5).waitFor());
  await picture("event", "dark", `#/events/${await retried()}`, (page) => page.locator("pre.body").waitFor());
} finally {
  await browser.close();
}
