// Every place where a sender, a forger or the app can write is looked at, with text that would run
// if the page made markup of it. `check` fails if anything ran or the policy had to stop it.

import assert from "node:assert/strict";

/** As the page shows it: what would not be seen is spelt out. */
const shown = (text) =>
  text.replace(/[\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g, (char) => `\\u{${char.codePointAt(0).toString(16)}}`);

const settle = (page) => page.evaluate(() => new Promise((done) => requestAnimationFrame(() => setTimeout(done))));

export async function injection(check, scene) {
  const { events } = scene;
  await control(check, scene);
  await check("in lists", "#/events", async (page) => {
    for (let loaded = 50; loaded < events.length; loaded += 50) {
      await page.getByRole("button", { name: "Load more" }).click();
      await page.locator("[data-row]").nth(Math.min(loaded + 50, events.length) - 1).waitFor();
    }
    const types = await page.locator("[data-row]").allTextContents();
    for (const { payload } of events) assert.ok(types.includes(shown(payload)), payload);
    await settle(page);
  });

  await check(`in ${events.length} events: type, id, headers, body, the app's answer`, "#/", async (page) => {
    for (const { id, payload } of events) {
      await page.evaluate((hash) => (location.hash = hash), `#/events/${id}`);
      await page.locator("h1", { hasText: shown(payload) }).waitFor();
      const body = page.locator("pre.body");
      for (const view of ["Pretty", "Raw", "Hex"]) {
        await page.getByRole("button", { name: view }).click();
        assert.ok((await body.textContent()).length > 0);
      }
      assert.ok((await page.locator(".answer").textContent()).includes(shown(payload)), "the app's answer");
      assert.ok((await page.locator(".headers").textContent()).includes("x-'-`$hit`-'|!#%&*"), "a header's name");
      await settle(page);
    }
  });

  await check("in dead letters", "#/dead", async (page) => {
    await page.locator("[data-row]").nth(49).waitFor();
    await page.locator(".groups a").first().waitFor();
    await settle(page);
  });

  await check("in rejections", "#/rejections", async (page) => {
    const all = page.locator(".rejections > li");
    await all.nth(Math.min(events.length, 50) - 1).waitFor();
    for (const summary of await page.locator("summary").all()) await summary.click();
    const text = await page.locator(".rejections").innerText();
    assert.ok(text.includes("'-hit()-'"), "the target");
    assert.ok(text.includes("x-'hit'"), "a header's name");
    await settle(page);
  });

  await check("in addresses", "#/", async (page) => {
    for (const { payload } of events) {
      const text = encodeURIComponent(payload);
      for (const hash of [`#/events/${text}`, `#/${text}`, `#/events?source=${text}&type=${text}&id=${text}&since=${text}`, `#/rejections?reason=${text}&source=${text}`]) {
        await page.evaluate((where) => (location.hash = where), hash);
        await settle(page);
      }
    }
  });
}

/** The same text as markup: the payloads are live, and what stops them is heard of. */
async function control(check, { events }) {
  await check("as markup they would be noticed", "#/", async (page) => {
    await page.locator("h1").waitFor();
    await page.evaluate((payloads) => {
      for (const payload of payloads) {
        const place = document.createElement("div");
        // Unlike with innerHTML, scripts in it would run.
        place.append(document.createRange().createContextualFragment(payload));
        document.body.append(place);
      }
    }, events.map(({ payload }) => payload));
    await page.waitForFunction(() => window.hits + window.violations.length >= 40);
  }, { complains: true });
}
