// What can be done on the page: replay, copy, follow, and all of it by keyboard.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";

const focused = (page) => page.evaluate(() => document.activeElement?.dataset?.row ?? "");
const at = (page, hash) => page.waitForFunction((wanted) => location.hash === wanted, hash);
const clipboard = (page) => page.evaluate(() => navigator.clipboard.readText());

export async function operation(check, scene) {
  await check("a replay is asked for and seen to arrive", `#/events/${scene.dead}`, async (page) => {
    await page.getByRole("button", { name: "Replay" }).click();
    await page.locator(".said", { hasText: "Replay asked for" }).waitFor();
    await page.locator(".attempts > li").nth(1).waitFor();
    const event = await scene.ask(`deliveries ${scene.dead}`);
    assert.equal(event.attempts, 2);
  });

  await check("a request is copied as a command that a shell takes whole", `#/events/${scene.tricky}`, async (page) => {
    await page.getByRole("button", { name: /curl/ }).click();
    await page.getByText("Copied", { exact: true }).waitFor();
    const words = await commandWords(page);
    const sent = words[words.indexOf("--data-raw") + 1];
    assert.equal(sent, String.raw`{"id":"it's","type":"quoted","big":12345678901234567890,"text":"@'$(hit)` + "`hit`" + String.raw`\n\"%s","a":1,"a":2}`);
    assert.ok(words.includes("x-quote: it's $HOME `id`"));
    assert.ok(!words.some((word) => word.startsWith("authorization")));
    assert.match(await clipboard(page), /^# Not shown by the gate, so left out: authorization\n/);
  });

  await check("bytes are copied as a command that sends the same bytes", `#/events/${scene.binary}`, async (page) => {
    await page.getByRole("button", { name: /curl/ }).click();
    await page.getByText("Copied", { exact: true }).waitFor();
    const command = await clipboard(page);
    const bytes = execFileSync("sh", ["-c", command.slice(0, command.indexOf(" | "))]);
    assert.deepEqual([...bytes], [0xff, 0xfe, 0x7b, 0, 0x27, 0x22, 0x80]);
  });

  await check("new events show by themselves, but wait for whoever reads", "#/events?source=stripe", async (page) => {
    await page.locator("[data-row]").first().waitFor();
    await page.locator(".live .pulse.live").waitFor();
    const { id } = await scene.ask("send live-1");
    await page.locator(`[data-row="${id}"]`).waitFor();
    await page.getByRole("button", { name: "Pause" }).click();
    const later = await scene.ask("send live-2");
    await page.getByRole("button", { name: /^1 new/ }).waitFor();
    assert.equal(await page.locator(`[data-row="${later.id}"]`).count(), 0);
    await page.getByRole("button", { name: /^1 new/ }).click();
    assert.equal(await page.locator("[data-row]").first().getAttribute("data-row"), later.id);
  });

  await gate(check, scene);
  await check("all of it goes by keyboard", "#/", keyboard(scene));
}

async function gate(check, scene) {
  await check("the overview shows gate, app, store and sources", "#/", async (page) => {
    await page.locator(".health", { hasText: "Taking webhooks" }).waitFor();
    const stripe = await page.locator("table.list tbody tr", { hasText: "stripe" }).innerText();
    assert.match(stripe, /^stripe\s+[^]*\b1\b/, "its dead letter");
    assert.equal(await page.locator("figure.chart").count(), 6);
  });

  await check("a source is held: its events wait until it is released", "#/sources", async (page) => {
    await page.getByRole("button", { name: "Hold stripe" }).click();
    await page.getByRole("button", { name: "Release stripe" }).waitFor();
    const { id } = await scene.ask("send held-1");
    assert.equal((await scene.ask(`deliveries ${id}`)).state, "pending");
    await page.getByRole("button", { name: "Release stripe" }).click();
    await page.getByRole("button", { name: "Hold stripe" }).waitFor();
    await page.evaluate((to) => (location.hash = `#/events/${to}`), id);
    await page.locator(".title .state.delivered").waitFor();
  });

  await check("an event is erased, and says so", `#/events/${scene.long}`, async (page) => {
    await page.getByRole("button", { name: "Erase …" }).click();
    await page.getByRole("button", { name: "Erase for good" }).click();
    await page.getByText("have been erased").waitFor();
    assert.equal(await page.getByRole("link", { name: "Body" }).count(), 0);
  });

  await check("the dead letters of a filter are replayed", "#/dead?source=stripe", async (page) => {
    const before = (await scene.ask(`deliveries ${scene.dead}`)).attempts;
    await page.getByRole("button", { name: "Replay all" }).click();
    await page.getByRole("button", { name: "Replay", exact: true }).click();
    await page.getByText("Last replay: done").waitFor();
    await page.evaluate((to) => (location.hash = `#/events/${to}`), scene.dead);
    await page.locator(".attempts > li").nth(before).waitFor();
  });
}

/** Needs a gate with the token `open sesame`. */
export async function logIn(check, { base }) {
  await check("the token opens a session, which ends with logging out", "#/", async (page) => {
    const token = page.getByLabel("Token");
    await token.fill("open says me");
    await page.keyboard.press("Enter");
    await page.getByText("This is not the token.").waitFor();
    await token.fill("open sesame");
    await page.keyboard.press("Enter");
    await page.locator(".health").waitFor();
    const [cookie] = await page.context().cookies(base);
    assert.ok(cookie.httpOnly && cookie.sameSite === "Strict");
    await page.reload();
    await page.getByRole("button", { name: "Log out" }).click();
    await token.waitFor();
    assert.equal((await page.request.get(`${base}/api/v1/status`)).status(), 401);
  });

  await check("a token for looking only switches the buttons off", "#/sources", async (page) => {
    await page.getByLabel("Token").fill("look at me");
    await page.keyboard.press("Enter");
    await page.getByText("may only read").first().waitFor();
    assert.ok(await page.getByRole("button", { name: "Hold stripe" }).isDisabled());
  });
}

/** The words that curl would get from the command on the clipboard, by a real shell. */
async function commandWords(page) {
  const shell = `curl() { for word; do printf '%s\\0' "$word"; done; }\n${await clipboard(page)}`;
  return execFileSync("sh", ["-c", shell], { env: { HOME: "/nowhere" } }).toString().split("\0");
}

const keyboard = (scene) => async (page) => {
  const press = (...keys) => keys.reduce((done, key) => done.then(() => page.keyboard.press(key)), Promise.resolve());
  await page.locator("h1").waitFor();
  await press("Tab");
  assert.equal(await page.evaluate(() => document.activeElement.textContent), "Skip to the content");
  await press("Enter");
  assert.equal(await page.evaluate(() => document.activeElement.id), "main");

  for (const [letter, hash] of [["d", "#/dead"], ["r", "#/rejections"], ["s", "#/sources"], ["o", "#/"], ["e", "#/events"]]) {
    await press("g", letter);
    await at(page, hash);
  }
  await page.locator("[data-row]").first().waitFor();
  await press("j", "j", "ArrowDown", "k");
  const row = await focused(page);
  assert.equal(row, await page.locator("[data-row]").nth(1).getAttribute("data-row"));
  const outline = await page.evaluate(() => getComputedStyle(document.activeElement, "::after").outlineStyle);
  assert.equal(outline, "solid", "the row in focus is marked");
  await press("r");
  await page.getByRole("dialog", { name: "Replay this event?" }).getByRole("button", { name: "Replay" }).click();
  await page.locator(".said", { hasText: row }).waitFor();
  await page.locator("dialog").waitFor({ state: "detached" });
  assert.equal(await focused(page), row, "the focus goes back to the row");
  await press("Enter");
  await at(page, `#/events/${row}`);
  await page.locator("pre.body").waitFor();
  await press("Escape");
  await at(page, "#/events");
  await page.locator("[data-row]").first().waitFor();

  await press("/");
  await page.keyboard.type("evt_dead");
  await at(page, "#/events?id=evt_dead");
  await press("Escape", "?");
  await page.getByRole("dialog", { name: "Keys" }).waitFor();
  await press("Escape");
  await page.locator("dialog").waitFor({ state: "detached" });
};
