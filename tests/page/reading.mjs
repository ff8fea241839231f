// What the page shows: lists, filters, events, bodies, and that it fits everywhere.

import assert from "node:assert/strict";

const rows = (page) => page.locator("table.list tbody tr");
const title = (page, text) => page.locator("h1", { hasText: text }).waitFor();

/** Waits until the page has so many rows. */
const count = (page, number) =>
  page.waitForFunction((wanted) => document.querySelectorAll("table.list tbody tr").length === wanted, number);

const fits = (page) =>
  page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);

export async function reading(check, scene) {
  await lists(check, scene);
  await event(check, scene);
  await looks(check, scene);
}

async function lists(check, scene) {
  await check("the list shows the newest events, and older ones on demand", "#/events", async (page) => {
    await count(page, 50);
    const first = await rows(page).first().innerText();
    assert.match(first, /invoice\.retried/);
    assert.match(first, /delivered/);
    assert.match(await rows(page).nth(2).innerText(), /dead\b[^]*410, refused/);
    await page.getByRole("button", { name: "Load more" }).click();
    await count(page, scene.filling + 6);
    await page.getByText("no older ones").waitFor();
  });

  await check("a filter in the URL is applied, and a chosen one goes into it", "#/events?source=stripe&state=dead", async (page) => {
    await count(page, 1);
    assert.equal(await page.getByRole("combobox", { name: "Source" }).inputValue(), "stripe");
    await page.locator(".tabs").getByText("delivered").click();
    await count(page, 5);
    assert.match(page.url(), /#\/events\?source=stripe&state=delivered$/);
    await page.getByLabel("Type").fill("invoice.retried");
    await count(page, 1);
    assert.match(page.url(), /type=invoice\.retried/);
    await page.getByText("Clear").click();
    await count(page, 50);
    await page.getByLabel(/^Id/).fill("evt_retried");
    await count(page, 1);
    await page.goBack();
  });

  await check("pages that come empty are passed over", "#/", async (page) => {
    let asked = 0;
    await page.route("**/api/v1/events?*", (route) => {
      asked += 1;
      const json = asked < 5 ? { events: [], next: `c${asked}` } : { events: [] };
      return route.fulfill({ json });
    });
    await page.evaluate(() => (location.hash = "#/events?type=rare"));
    await page.getByText("Nothing matches").waitFor();
    assert.ok(asked >= 5, `${asked} pages`);
  });

  await check("dead letters are counted by reason and source", "#/dead", async (page) => {
    await count(page, 1);
    assert.match(await page.locator(".groups").innerText(), /1[^]*stripe[^]*refused/);
  });

  await check("refusals are streamed only where they are shown", "#/", async (page) => {
    for (const [hash, told] of [["#/events", "false"], [`#/events/${scene.retried}`, "false"], ["#/dead", "false"], ["#/rejections", null]]) {
      const asked = page.waitForRequest("**/api/v1/stream*");
      await page.evaluate((to) => (location.hash = to), hash);
      assert.equal(new URL((await asked).url()).searchParams.get("rejections"), told, hash);
    }
  });

  await check("a rejection says what is wrong and the way out", "#/rejections", async (page) => {
    const one = page.locator(".rejections > li");
    await one.first().waitFor();
    assert.match(await one.innerText(), /mismatch[^]*no secret of this source matches/);
    await page.getByRole("combobox", { name: "Reason" }).selectOption("stale");
    await page.getByText("Nothing was refused").waitFor();
    assert.match(page.url(), /reason=stale/);
  });
}

async function event(check, scene) {
  await check("an event is told with facts, headers, attempts and body", `#/events/${scene.retried}`, async (page) => {
    await title(page, "invoice.retried");
    const text = await page.locator("main").innerText();
    for (const told of ["hmac-sha256", "evt_retried", scene.retried, "POST /webhooks/stripe", "not today", "503", "stripe-signature"]) {
      assert.ok(text.includes(told), told);
    }
    const attempts = await page.locator(".attempts > li").allInnerTexts();
    assert.equal(attempts.length, 2);
    assert.match(attempts[0], /^2[^]*200/);
  });

  await check("a body is laid out, raw and in hex, digit for digit", `#/events/${scene.tricky}`, async (page) => {
    const body = page.locator("pre.body");
    await body.waitFor();
    const pretty = await body.innerText();
    assert.match(pretty, /^\{\n {2}"id": "it's",\n/);
    assert.match(pretty, /"big": 12345678901234567890,/);
    assert.equal(pretty.match(/"a": [12]/g).length, 2);
    await page.getByRole("button", { name: "Raw" }).click();
    assert.match(await body.innerText(), /^\{"id":"it's","type":"quoted"/);
    await page.getByRole("button", { name: "Hex" }).click();
    assert.match(await body.innerText(), /^00000000 {2}7b 22 69 64 22 3a 22 69 {2}74 27 73 22/);
    assert.match(await page.locator(".headers").innerText(), /authorization\s+\(not shown\)/);
  });

  await check("bytes that are no text are shown as bytes", `#/events/${scene.binary}`, async (page) => {
    await page.getByText("not valid UTF-8").waitFor();
    assert.match(await page.locator("pre.body").innerText(), /^00000000 {2}ff fe 7b 00 27 22 80/);
    assert.equal(await page.getByRole("button", { name: "Raw" }).count(), 0);
  });

  await check("a long body is cut, with a way to all of it", `#/events/${scene.long}`, async (page) => {
    await page.getByText("The first 256 KiB are shown").waitFor();
    assert.ok((await page.locator("pre.body").innerText()).length <= 256 * 1024);
    const [download] = await Promise.all([page.waitForEvent("download"), page.locator("a[download]").click()]);
    const { size } = (await import("node:fs")).statSync(await download.path());
    assert.equal(size, 5 * 1024 * 1024);
  });

  const changed = (change) => async (route) => {
    const response = await route.fetch();
    return route.fulfill({ json: { ...(await response.json()), ...change } });
  };
  for (const [content, words] of [["erased", "have been erased"], ["damaged", "is damaged"]]) {
    await check(`content that is ${content} is said to be`, "#/", async (page) => {
      await page.route(`**/api/v1/events/${scene.dead}`, changed({ content, headers: [], method: null }));
      await page.evaluate((id) => (location.hash = `#/events/${id}`), scene.dead);
      await page.getByText(words).waitFor();
      assert.ok(await page.getByRole("button", { name: "Replay" }).isDisabled());
    });
  }

  await check("of many attempts the newest are shown", `#/events/${scene.often}`, async (page) => {
    await page.getByText("Older attempts are not kept.").waitFor();
    const attempts = await page.locator(".attempts > li").allInnerTexts();
    assert.equal(attempts.length, 33);
    assert.match(attempts[0], /^40[^]*200/);
    assert.match(attempts[32], /^8[^]*503[^]*not now/);
  });

  await check("an address that names no event says so", "#/", async (page) => {
    for (const [id, words] of [["evt_00000000000070008000000000000000", /no event evt_0+70008.* may have been pruned/], ["nonsense", /followed by 32 hex digits/], ["%2F..%2F", /followed by 32 hex digits/]]) {
      await page.evaluate((to) => (location.hash = `#/events/${to}`), id);
      await page.getByRole("alert").getByText(words).waitFor();
    }
  });
}

/** The contrast of every text with what it stands on, as WCAG counts it; those below 4.5. */
function faintTexts() {
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const rgb = (colour) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const light = (channels) => {
    const [r, g, b] = channels.map((value) => (value / 255 <= 0.04045 ? value / 3294.6 : ((value / 255 + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const colour = rgb(getComputedStyle(at).backgroundColor);
      if (colour[3] === 255) return colour;
    }
    return [255, 255, 255];
  };
  const faint = [];
  for (const element of document.querySelectorAll("body *")) {
    const hasText = [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
    if (!hasText || !element.checkVisibility() || element.closest(":disabled, option")) continue;
    const [one, other] = [rgb(getComputedStyle(element).color), ground(element)].map((colour) => light(colour.slice(0, 3)));
    const contrast = (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
    if (contrast < 4.5) faint.push(`${element.className || element.tagName} ${contrast.toFixed(2)}: ${element.textContent.slice(0, 30)}`);
  }
  return faint;
}

export const views = (scene) => ["#/", "#/events", `#/events/${scene.retried}`, "#/dead", "#/rejections", "#/sources", "#/nowhere"];

/** Waits until a view has what it shows. */
export async function settled(page) {
  await page.locator("main h1, main h2").first().waitFor();
  await page.waitForFunction(() => !/(Looking|Loading) …/.test(document.querySelector("main").textContent));
}

async function looks(check, scene) {
  const all = async (page, look) => {
    for (const view of views(scene)) {
      await page.evaluate((hash) => (location.hash = hash), view);
      await settled(page);
      await look(view);
    }
  };
  for (const colorScheme of ["light", "dark"]) {
    await check(`every text can be read on ${colorScheme} ground`, "#/", async (page) => {
      await all(page, async (view) => assert.deepEqual(await page.evaluate(faintTexts), [], view));
      const ground = await page.evaluate(() => getComputedStyle(document.body).backgroundColor);
      const isDark = Number(ground.match(/\d+/)[0]) < 128;
      assert.equal(isDark, colorScheme === "dark", ground);
    }, { colorScheme });
  }
  await check("nothing is wider than a screen of 360 pixels", "#/", async (page) => {
    await all(page, async (view) => assert.equal(await fits(page), 0, view));
  }, { viewport: { width: 360, height: 740 }, hasTouch: true });
}
