// How the page behaves when much happens at once: floods on the stream, a proxy that hangs up, keys
// that are held down, filters that are set in a hurry.

import assert from "node:assert/strict";
import { DEAD, query, show, STATUS } from "./contract.mjs";

const stream = (body) => ({ status: 200, contentType: "text/event-stream", body });
const EVENT = { ...DEAD, content: "whole", method: "POST", target: "/x", verified: "token", headers: [], attempts_made: [], replay: false };
const FLOOD = stream("event: missed\ndata: {}\n\n".repeat(200));
/** What a browser's timer may come too early by. */
const EARLY_MS = 5;

/** Notes when the page asks for what, and in `asked.open` how many of it are under way. */
function watch(page, path) {
  const asked = Object.assign([], { open: 0, most: 0 });
  const isMeant = (request) => new URL(request.url()).pathname === `/api/v1/${path}`;
  page.on("request", (request) => {
    if (!isMeant(request)) return;
    asked.push(performance.now());
    asked.most = Math.max(asked.most, (asked.open += 1));
  });
  page.on("requestfinished", (request) => (asked.open -= isMeant(request) ? 1 : 0));
  return asked;
}

/** Waits until there are so many. */
async function times(page, asked, number) {
  while (asked.length < number) await page.waitForEvent("request");
  return asked.slice(1).map((at, n) => at - asked[n]);
}

/** Waits until the page has drawn what it was last told. */
const drawn = (page) => page.evaluate(() => new Promise((done) => requestAnimationFrame(() => setTimeout(done))));

export async function pace(check, { base }) {
  await check("a flood of gaps is answered one look at a time", "#/", async (page) => {
    const asked = watch(page, "events");
    await show(page, `${base}/#/events`, { "GET stream": FLOOD, "GET events": { events: [DEAD] } });
    const [, ...pauses] = await times(page, asked, 4);
    assert.ok(pauses.every((pause) => pause > 1000 - EARLY_MS), `after the list itself a look a second: ${pauses}`);
    assert.ok(asked.most <= 2, `${asked.most} at once: the list itself and one look`);
  });

  await check("a flood of gaps does not keep an event from loading", "#/", async (page) => {
    let reads = 0;
    const floods = watch(page, "stream");
    const slow = async () => {
      reads += 1;
      // A whole flood comes while it is read.
      if (reads > 1) await times(page, floods, floods.length + 2);
      return { ...EVENT, type: `read.${reads}` };
    };
    const all = { "GET stream": FLOOD, "GET events/evt_1": slow, "GET events/evt_1/body": {} };
    await show(page, `${base}/#/events/evt_1`, all);
    await page.getByRole("heading", { name: /^read.[3-9]/ }).waitFor();
    await page.unrouteAll({ behavior: "ignoreErrors" }); // one may be held
  });

  await check("a stream that closes at once is asked for less and less often", "#/", async (page) => {
    const asked = watch(page, "stream");
    await show(page, `${base}/#/events`, { "GET stream": stream("") });
    const pauses = await times(page, asked, 4);
    [250, 500, 1000].forEach((least, n) => assert.ok(pauses[n] > least - EARLY_MS, `${pauses}`));
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
    const filter = () => page.evaluate(() => location.hash.split("?")[1]?.split("&").sort().join());
    await page.clock.install();
    await show(page, `${base}/#/events`, {});
    await page.getByText("stripe").first().waitFor({ state: "attached" });
    await page.clock.pauseAt(Date.now() + 60_000);
    await page.evaluate(() => {
      window.changes = 0;
      window.addEventListener("hashchange", () => (window.changes += 1));
    });
    await page.getByLabel("Type", { exact: true }).fill("a.b");
    await page.getByLabel("Source").selectOption("stripe");
    assert.equal(await filter(), "source=stripe", "what is typed waits for more");
    await page.clock.runFor(1000);
    assert.equal(await filter(), "source=stripe,type=a.b");
    await page.getByLabel("Type", { exact: true }).fill("c.d");
    await page.keyboard.press("Enter");
    assert.equal(await filter(), "source=stripe,type=c.d", "but Enter for nothing");
    await page.clock.runFor(1000);
    assert.equal(await page.evaluate(() => window.changes), 3, "nor is it applied once more");
  });

  await check("the key r asks first, and is off where the button is", "#/", replayKey(base));

  await check("a key that is held down acts once", "#/", async (page) => {
    await show(page, `${base}/#/events`, {});
    await page.getByRole("button", { name: "Pause" }).waitFor();
    for (const _ of [1, 2, 3, 4]) await page.keyboard.down("p");
    await drawn(page);
    assert.equal(await page.getByRole("button", { name: "Resume" }).count(), 1);
  });
}

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
  // A dialog that is closed has no role any more, and may still be there.
  const question = page.getByRole("dialog", { name: "Replay this event?" });
  await open();
  await question.waitFor();
  await page.keyboard.press("Enter");
  await page.locator("dialog").waitFor({ state: "detached" });
  assert.equal(replays, 0, "the focus is on Cancel");
  await page.keyboard.press("r");
  await question.getByRole("button", { name: "Replay" }).click();
  await page.locator("dialog").waitFor({ state: "detached" });
  assert.equal(replays, 1);
  for (const change of [() => (content = "erased"), () => ([content, access] = ["whole", "read"])]) {
    change();
    await open();
    await drawn(page);
    assert.equal(await question.count(), 0);
  }
};
