// How the page behaves when much happens at once: floods on the stream, a proxy that hangs up, keys
// that are held down, filters that are set in a hurry.

import assert from "node:assert/strict";
import { DEAD, query, show, STATUS } from "./contract.mjs";

const stream = (body) => ({ status: 200, contentType: "text/event-stream", body });
const EVENT = { ...DEAD, content: "whole", method: "POST", target: "/x", verified: "token", headers: [], attempts_made: [], replay: false };
const later = (page, milliseconds) => page.waitForTimeout(milliseconds);

export async function pace(check, { base }) {
  await check("a flood of gaps is answered one look at a time", "#/", async (page) => {
    let [reads, open, most] = [0, 0, 0];
    page.on("requestfinished", (request) => (open -= isList(request) ? 1 : 0));
    page.on("request", (request) => {
      if (!isList(request)) return;
      reads += 1;
      most = Math.max(most, (open += 1));
    });
    await show(page, `${base}/#/events`, { "GET stream": stream("event: missed\ndata: {}\n\n".repeat(200)), "GET events": { events: [DEAD] } });
    await page.locator("[data-row]").waitFor();
    await later(page, 2500);
    assert.ok(reads <= 6, `${reads} reads`);
    assert.ok(most <= 2, `${most} at once: the list itself and one look`);
  });

  await check("a flood of gaps does not keep an event from loading", "#/", async (page) => {
    let reads = 0;
    const slow = async () => {
      reads += 1;
      if (reads > 1) await new Promise((done) => setTimeout(done, 600));
      return { ...EVENT, type: `read.${reads}` };
    };
    const all = { "GET stream": stream("event: missed\ndata: {}\n\n".repeat(200)), "GET events/evt_1": slow, "GET events/evt_1/body": {} };
    await show(page, `${base}/#/events/evt_1`, all);
    await page.getByRole("heading", { name: /^read.[3-9]/ }).waitFor();
  });

  await check("a stream that closes at once is asked for less and less often", "#/", async (page) => {
    let asked = 0;
    await show(page, `${base}/#/events`, { "GET stream": () => ((asked += 1), stream("")) });
    await page.getByRole("heading", { name: "No events yet" }).waitFor();
    await later(page, 3000);
    assert.ok(asked >= 2 && asked <= 6, `${asked} times`);
  });

  await check("what left a state leaves its list", "#/", async (page) => {
    const rows = ["evt_3", "evt_2", "evt_1"].map((id, at) => ({ ...DEAD, id, received_at: `2026-01-01T00:00:0${3 - at}.000Z` }));
    let isGone = false;
    const left = (row) => !isGone || row.id === "evt_2";
    await show(page, `${base}/#/events?state=dead`, { "GET events": (request) => (query(request).cursor ? { events: [] } : { events: rows.filter(left), next: "on" }) });
    await page.locator("[data-row]").nth(2).waitFor();
    isGone = true;
    await page.locator("[data-row=evt_3]").waitFor({ state: "detached" });
    assert.equal(await page.locator("[data-row=evt_2]").count(), 1);
    assert.equal(await page.locator("[data-row=evt_1]").count(), 1, "it is older than what was looked at");
  });

  await check("filters that are set in a hurry all hold", "#/", async (page) => {
    await show(page, `${base}/#/events`, {});
    await page.getByText("stripe").first().waitFor({ state: "attached" });
    await page.evaluate(() => {
      window.changes = 0;
      window.addEventListener("hashchange", () => (window.changes += 1));
    });
    await page.getByLabel("Type", { exact: true }).fill("a.b");
    await page.getByLabel("Source").selectOption("stripe");
    await later(page, 600);
    assert.deepEqual(await page.evaluate(() => [location.hash.split("?")[1].split("&").sort().join(), window.changes]), ["source=stripe,type=a.b", 2]);
    await page.getByLabel("Type", { exact: true }).fill("c.d");
    await page.keyboard.press("Enter");
    await later(page, 600);
    assert.equal(await page.evaluate(() => window.changes), 3, "Enter applies it, and the timer not once more");
  });

  await check("the key r asks first, and is off where the button is", "#/", replayKey(base));

  await check("a key that is held down acts once", "#/", async (page) => {
    await show(page, `${base}/#/events`, {});
    await page.getByRole("button", { name: "Pause" }).waitFor();
    for (const _ of [1, 2, 3, 4]) await page.keyboard.down("p");
    await later(page, 100);
    assert.equal(await page.getByRole("button", { name: "Resume" }).count(), 1);
  });
}

const isList = (request) => new URL(request.url()).pathname === "/api/v1/events";

const replayKey = (base) => async (page) => {
  let [replays, content, access] = [0, "whole", "full"];
  const answers = {
    "GET status": () => ({ ...STATUS, access }), "GET events/evt_1": () => ({ ...EVENT, content }), "GET events/evt_1/body": {},
    "POST events/evt_1/replay": () => ((replays += 1), {}),
  };
  const open = async () => {
    await show(page, `${base}/#/events/evt_1`, answers);
    await page.getByRole("heading", { name: "a.b" }).waitFor();
    if (access === "read") await page.getByText("may only read").first().waitFor();
    await page.keyboard.press("r");
  };
  const question = page.getByRole("dialog", { name: "Replay this event?" });
  await open();
  await question.waitFor();
  await page.keyboard.press("Enter");
  await question.waitFor({ state: "detached" });
  assert.equal(replays, 0, "the focus is on Cancel");
  await page.keyboard.press("r");
  await question.getByRole("button", { name: "Replay" }).click();
  await question.waitFor({ state: "detached" });
  assert.equal(replays, 1);
  for (const change of [() => (content = "erased"), () => ([content, access] = ["whole", "read"])]) {
    change();
    await open();
    await later(page, 200);
    assert.equal(await question.count(), 0);
  }
};
