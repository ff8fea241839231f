// Every view and every dialog as axe-core judges it: WCAG 2.2, levels A and AA, and its best
// practices, in light and dark, on a large and on a small screen.

import assert from "node:assert/strict";
import { DEAD, show, STATUS } from "./contract.mjs";
import { settled, views } from "./reading.mjs";

/** All but those for level AAA, and what is tried out. */
const RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22a", "wcag22aa", "best-practice"];
const SCREENS = { large: { viewport: { width: 1280, height: 800 } }, small: { viewport: { width: 360, height: 740 }, hasTouch: true } };

export async function wcag(check, scene, source) {
  /** What is wrong, in words; `source` is axe's script. */
  const faults = async (page, where) => {
    await page.evaluate(`window.axe || (() => {${source}})()`);
    const { violations, incomplete } = await page.evaluate((rules) => axe.run({ runOnly: rules, resultTypes: ["violations", "incomplete"] }), RULES);
    // Where it cannot tell what a text stands on, the check in reading.mjs can.
    const open = incomplete.filter(({ id }) => id !== "color-contrast");
    return [...violations, ...open].flatMap(({ id, nodes }) => nodes.map((node) => `${where}: ${id}: ${node.target}`));
  };
  for (const [size, screen] of Object.entries(SCREENS)) {
    for (const colorScheme of ["light", "dark"]) {
      await check(`every view is accessible: ${colorScheme}, ${size} screen`, "#/", async (page) => {
        const all = [];
        await states(page, scene, async (where) => all.push(...(await faults(page, where))));
        assert.equal(all.join("\n"), "");
      }, { colorScheme, ...screen });
    }
  }
}

/** Calls `look` in every view, with every dialog, and in states that a well gate is not in. */
async function states(page, scene, look) {
  for (const view of views(scene)) {
    await page.evaluate((hash) => (location.hash = hash), view);
    await settled(page);
    await look(view);
  }
  await page.evaluate((id) => (location.hash = `#/events/${id}`), scene.dead);
  await page.locator("pre.body").waitFor();
  for (const [key, name] of [["?", "Keys"], ["r", "Replay this event?"]]) {
    await page.keyboard.press(key);
    await page.getByRole("dialog", { name }).waitFor();
    await look(name);
    await page.keyboard.press("Escape");
    await page.locator("dialog").waitFor({ state: "detached" });
  }
  await page.getByRole("button", { name: "Hex" }).click();
  await look("bytes in hex");
  await page.evaluate(() => (location.hash = "#/rejections"));
  await page.locator(".rejections summary").first().click();
  await look("a rejection in full");

  const unauthorized = { status: 401, json: { error: { code: "unauthorized", message: "no" } } };
  const broken = { status: 503, json: { error: { code: "store_unavailable", message: "the disk is full" } } };
  for (const [where, hash, answers, text] of [
    ["the log-in", "#/", { "GET status": unauthorized, "GET sources": unauthorized }, "Token"],
    ["a new gate", "#/", {}, "Send your first event"],
    ["a gate in trouble", "#/events", { "GET events": broken, "GET status": { ...STATUS, ready: false } }, "the disk is full"],
    ["a reader who may only look", "#/events", { "GET status": { ...STATUS, access: "read", session: true }, "GET events": { events: [DEAD] } }, "may only read"],
  ]) {
    await show(page, `${scene.base}/${hash}`, answers);
    await page.getByText(text).first().waitFor();
    await look(where);
    await page.unrouteAll();
  }
}
