// What the page does with answers that are hard to bring about on a real gate: a log-in, a token
// that may only read, a gate that is new, full or down, a long replay. The answers are made here, in
// the shapes of the API.

import assert from "node:assert/strict";

const now = () => new Date().toISOString();
const problem = (code, message) => ({ error: { code, message } });

export const STATUS = {
  version: "0.1.0", started_at: now(), ready: true, problem: null,
  app: { address: "unix:/run/app.sock", up: true }, listen: ["http://127.0.0.1:8080"],
  store: { used_bytes: 5e6, bytes_max: 1e10, ids: 7, durable: true, damaged: 0 }, access: "full", session: false,
};
const NONE = { stored: 0, duplicate: 0, conflict: 0, challenge: 0, rejected: 0, limited: 0, unavailable: 0 };
const SOURCE = {
  name: "stripe", provider: "stripe", title: "Stripe", docs: "https://docs.stripe.com/webhooks",
  secret_hint: "The endpoint's signing secret.", path: "/webhooks/stripe", public_url: null, mode: "enforce", held: false,
  pending: 0, delivered: 0, dead: 0, oldest_pending_at: null, requests: NONE, last_accepted_at: null, last_rejected_at: null,
  secrets: [{ label: "current", matched: 0, last_matched_at: null }],
  send: "hookgate send --provider stripe --secret '...' --to http://127.0.0.1:8080/webhooks/stripe",
};
const SAMPLE = { at: now(), stored: 20, duplicate: 0, rejected: 0, delivered: 20, failed: 0, pending: 3, dead: 0, ack_p99_ms: 4, delivery_p50_ms: 9, delivery_p99_ms: null, sources: { stripe: 20 } };

/** A gate that answers as told: `"GET status"` is a value or a function of the request. */
async function gate(page, answers) {
  const all = { "GET status": STATUS, "GET sources": { sources: [SOURCE] }, "GET history": { every_s: 10, samples: [SAMPLE, SAMPLE] }, "GET events": { events: [] }, ...answers };
  await page.route("**/api/v1/**", async (route) => {
    const request = route.request();
    const name = `${request.method()} ${new URL(request.url()).pathname.slice("/api/v1/".length)}`;
    const answer = typeof all[name] === "function" ? await all[name](request) : all[name];
    if (answer === undefined) return route.fulfill({ status: 404, json: problem("not_found", "not made up") });
    const isWhole = answer?.status && ("json" in answer || "body" in answer);
    return route.fulfill(isWhole ? answer : { json: answer });
  });
}

export const query = (request) => Object.fromEntries(new URL(request.url()).searchParams);

/** A view of such a gate. */
export async function show(page, hash, answers) {
  await gate(page, answers);
  await page.goto("about:blank");
  await page.goto(hash);
}

export async function contract(check, { base }) {
  await check("a new gate tells what to type", "#/", async (page) => {
    await show(page, `${base}/#/`, {});
    await page.getByRole("heading", { name: "Send your first event" }).waitFor();
    await page.getByRole("button", { name: "Copy the command for stripe" }).click();
    assert.equal(await page.evaluate(() => navigator.clipboard.readText()), SOURCE.send);
  });

  await check("a gate without a source tells how to add one", "#/", async (page) => {
    await show(page, `${base}/#/`, { "GET sources": { sources: [] } });
    await page.getByRole("heading", { name: "No source yet" }).waitFor();
  });

  await check("the overview says in words what the lines show", "#/", async (page) => {
    const busy = { ...SOURCE, held: true, dead: 2, pending: 3, oldest_pending_at: now(), requests: { ...NONE, stored: 40 } };
    await show(page, `${base}/#/`, { "GET sources": { sources: [busy] } });
    await page.getByRole("img", { name: /^Stored: latest 2\.0\/s, at most 2\.0\/s/ }).waitFor();
    await page.getByRole("img", { name: /^Delivery p99: latest none/ }).waitFor();
    assert.match(await page.locator("table.list tbody tr").innerText(), /stripe[^]*held[^]*2\.0\/s[^]*40/);
  });

  await check("a gate in trouble says which", "#/", async (page) => {
    const status = { ...STATUS, ready: false, problem: "the disk is full", app: { address: "unix:/a", up: false } };
    await show(page, `${base}/#/`, { "GET status": status });
    await page.getByText("the disk is full").waitFor();
    assert.match(await page.locator(".health").innerText(), /Not ready[^]*Down/);
  });

  await check("whoever has no session is asked for the token", "#/", logIn(base));

  await check("a token that may only read switches the buttons off", "#/", async (page) => {
    await show(page, `${base}/#/sources`, { "GET status": { ...STATUS, access: "read" } });
    await page.getByText("may only read").first().waitFor();
    const hold = page.getByRole("button", { name: "Hold stripe" });
    assert.ok(await hold.isDisabled());
    assert.equal(await hold.getAttribute("title"), "This token may only read.");
  });

  await check("a source is held and released", "#/", async (page) => {
    let held = false;
    const set = (value) => () => ({ held: (held = value) });
    await show(page, `${base}/#/sources`, {
      "GET sources": () => ({ sources: [{ ...SOURCE, held, docs: "javascript:hit()" }] }),
      "POST sources/stripe/hold": set(true), "POST sources/stripe/release": set(false),
    });
    await page.getByRole("button", { name: "Hold stripe" }).click();
    await page.getByRole("button", { name: "Release stripe" }).click();
    await page.getByRole("button", { name: "Hold stripe" }).waitFor();
    assert.equal(await page.getByText("Documentation").count(), 0, "only the web is linked to");
  });

  await check("all that a filter lets through is replayed after a dry run", "#/", bulk(base));
  await check("an event is erased only after a question", "#/", erase(base));
}

const logIn = (base) => async (page) => {
  let isIn = false;
  const wall = (value) => () => (isIn ? value : { status: 401, json: problem("unauthorized", "a token is needed") });
  await show(page, `${base}/#/sources`, {
    "GET status": wall({ ...STATUS, session: true }), "GET sources": wall({ sources: [SOURCE] }),
    "POST session": (request) => {
      isIn = request.postDataJSON().token === "right";
      return isIn ? { status: 204, json: null } : { status: 401, json: problem("unauthorized", "no") };
    },
    "DELETE session": () => ({ status: ((isIn = false), 204), json: null }),
  });
  const token = page.getByLabel("Token");
  await token.fill("wrong");
  await page.keyboard.press("Enter");
  await page.getByText("This is not the token.").waitFor();
  await token.fill("right");
  await page.keyboard.press("Enter");
  await page.getByRole("heading", { name: "stripe" }).waitFor();
  await page.getByRole("button", { name: "Log out" }).click();
  await token.waitFor();
};

export const DEAD = { id: "evt_1", source: "stripe", state: "dead", received_at: now(), provider_event_id: null, type: "a.b", attempts: 1, next_attempt_at: null, last_outcome: "final_status", last_status: 410, dead_reason: "refused", body_bytes: 2 };

const bulk = (base) => async (page) => {
  let replay = null;
  const asked = [];
  const counted = now();
  // What is asked about leaves the list while the question stands: the list is looked at again.
  const isAsked = () => asked.length > 0;
  await show(page, `${base}/#/dead?source=stripe`, {
    "GET events": () => ({ events: isAsked() ? [] : [DEAD] }),
    "GET replay": () => replay ?? { status: 404, json: problem("not_found", "none") },
    "DELETE replay": () => (replay = { ...replay, state: "stopped" }),
    "POST replay": (request) => {
      asked.push(query(request));
      const started = { state: "running", matched: 12, replayed: 12, skipped: 0, started_at: now(), error: null };
      return query(request).dry_run ? { ...started, state: "dry_run", matched: 1204, started_at: counted } : (replay = started);
    },
  });
  await page.getByRole("button", { name: "Replay all" }).click();
  await page.getByRole("heading", { name: "Replay 1,204 events?" }).waitFor();
  await page.locator("[data-row]").waitFor({ state: "detached" });
  await page.getByRole("spinbutton").fill("10");
  await page.getByRole("button", { name: "Replay", exact: true }).click();
  await page.getByText("12 of 1,204").waitFor();
  await page.getByRole("button", { name: "Stop" }).click();
  await page.getByText("Last replay: stopped").waitFor();
  assert.deepEqual(asked, [{ source: "stripe", state: "dead", dry_run: "true" }, { source: "stripe", state: "dead", until: counted, rate: "10" }]);
};

const erase = (base) => async (page) => {
  let content = "whole";
  const event = () => ({ ...DEAD, content, method: "POST", target: "/x", verified: "token", headers: [], attempts_made: [], replay: false });
  await show(page, `${base}/#/events/evt_1`, {
    "GET events/evt_1": event, "GET events/evt_1/body": {},
    "DELETE events/evt_1": () => ((content = "erased"), { erased: true }),
  });
  const button = page.getByRole("button", { name: "Erase …" });
  await button.click();
  await page.getByRole("dialog").waitFor(); // or else the key would come before the question
  await page.keyboard.press("Escape");
  await page.locator("dialog").waitFor({ state: "detached" });
  assert.equal(content, "whole");
  await button.click();
  await page.getByRole("button", { name: "Erase for good" }).click();
  await page.getByText("have been erased").waitFor();
};
