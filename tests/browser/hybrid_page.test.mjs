// The demo's page of both tiers, as a person uses it: by keyboard, with a server and without, with things taken away.
import assert from "node:assert/strict";
import { mkdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { after, before, test } from "node:test";

import { launch, root } from "./chromium.mjs";
import { startFaultProxy } from "./fault_proxy.mjs";
import { startFileServer } from "./file_server.mjs";
import { startLiteLlm, TEXT } from "./litellm_server.mjs";

const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const pictures = join(root, ".eyas/screenshots");
const SURE = "will it rain in Oslo on friday";
const UNSURE = "my knee hurts since yesterday";
let browser;
let demo;
let server;
let proxy;
before(async () => {
  mkdirSync(pictures, { recursive: true });
  [browser, demo, server] = await Promise.all([launch(), startFileServer({ demo: join(root, "www/demo/dist") }), startLiteLlm()]);
  proxy = await startFaultProxy(server.origin ?? "http://127.0.0.1:9");
});
after(async () => {
  server.close?.();
  await Promise.all([browser.close(), demo.close(), proxy.close()]);
});

async function openPage(options = {}) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, ...options });
  const page = await context.newPage();
  page.origins = new Set();
  page.errors = [];
  context.on("request", (request) => page.origins.add(new URL(request.url()).origin));
  page.on("pageerror", (error) => page.errors.push(error.message));
  await page.goto(`${demo.origin}/demo/hybrid.html`);
  return page;
}

/** Asks, waits for the end, and returns what the page then says. */
async function ask(page, question) {
  await page.locator("#question").fill(question);
  await page.locator("#question").press("Enter");
  await page.waitForFunction(() => document.querySelector("#stop-answer").disabled && (document.querySelector("#verdict-facts").childElementCount > 0 || !document.querySelector("#hybrid-notice").hidden), undefined, { timeout: 60_000 });
  return page.evaluate(() => {
    const text = (id) => document.getElementById(id).textContent;
    const isShown = !document.getElementById("verdict").hidden;
    return {
      title: isShown ? text("verdict-title") : undefined,
      reason: text("verdict-reason"),
      detail: text("verdict-detail"),
      text: text("verdict-text"),
      facts: text("verdict-facts"),
      code: document.querySelector("#hybrid-notice code")?.textContent,
      total: text("ledger-total"),
    };
  });
}

const usePrivacy = async (page, value) => {
  await page.locator(`input[name=privacy][value=${value}]`).focus();
  await page.keyboard.press("Space");
};
const useServer = async (page, plan = "none") => {
  await page.locator("#endpoint").fill(`${proxy.origin}/${plan}/v1`);
  await page.locator("#cloud-model").fill("mock");
};

test("without a server this device answers everything, and nothing leaves", async () => {
  const page = await openPage();
  for (const question of [SURE, UNSURE]) {
    const seen = await ask(page, question);
    assert.deepEqual([seen.title, seen.reason, seen.total], ["This device answered", "may-not", "Nothing."], JSON.stringify(seen));
    assert.match(seen.text, /"intent"/);
    assert.match(seen.facts, /Confidence-\d\.\d+, at least -0\.0075 stays/, "the calibration is for exactly the model that the page has");
  }
  assert.deepEqual([...page.origins], [demo.origin]);
  assert.ok(await page.locator("#export-ledger").isDisabled());
  assert.deepEqual(page.errors, []);
  await page.context().close();
});

test("what is unsure goes to the server, if it may; the ledger is what arrived", async (t) => {
  if (server.why) return t.skip(server.why);
  const page = await openPage();
  await useServer(page);
  const before = { count: proxy.seen.length, bytes: proxy.bytes() };
  const sure = await ask(page, SURE);
  assert.deepEqual([sure.title, sure.reason, sure.total], ["This device answered", "may-not", "Nothing."], JSON.stringify(sure));
  const unsure = await ask(page, UNSURE);
  assert.deepEqual([unsure.title, unsure.reason, unsure.text], [`${new URL(proxy.origin).host} answered`, "should-not", TEXT], JSON.stringify(unsure));
  assert.match(unsure.detail, /This device should not: the confidence -\d.* is below the threshold/);
  await usePrivacy(page, "local-only");
  const never = await ask(page, UNSURE);
  assert.deepEqual([never.title, never.reason], ["This device answered", "may-not"]);
  assert.equal(proxy.seen.length, before.count + 1);
  assert.equal(unsure.total, `${proxy.bytes() - before.bytes} B in 1 request.`);
  assert.equal(never.total, unsure.total);
  await page.locator("#use-confidence").uncheck();
  await usePrivacy(page, "prefer-local");
  const uncalibrated = await ask(page, UNSURE);
  assert.deepEqual([uncalibrated.title, uncalibrated.total], ["This device answered", unsure.total]);
  assert.match(uncalibrated.facts, /uncalibrated/);
  const [download] = await Promise.all([page.waitForEvent("download"), page.locator("#export-ledger").press("Enter")]);
  const [entry] = readFileSync(await download.path(), "utf8").trim().split("\n").map((line) => JSON.parse(line));
  assert.deepEqual([entry.origin, entry.reason, entry.outcome], [proxy.origin, "should-not", "answered"]);
  await page.context().close();
});

test("what is taken away is gone: memory, network, GPU", async (t) => {
  if (server.why) return t.skip(server.why);
  const page = await openPage();
  await useServer(page);
  const before = proxy.seen.length;
  await page.locator("#no-memory").check();
  const escalated = await ask(page, SURE);
  assert.deepEqual([escalated.title, escalated.reason, escalated.text], [`${new URL(proxy.origin).host} answered`, "cannot", TEXT], JSON.stringify(escalated));
  assert.match(escalated.detail, /over-budget/);
  await usePrivacy(page, "local-only");
  const nobody = await ask(page, SURE);
  assert.deepEqual([nobody.title, nobody.code], [undefined, "local-only"], JSON.stringify(nobody));
  await usePrivacy(page, "prefer-local");
  await page.locator("#no-network").check();
  const unplugged = await ask(page, SURE);
  assert.equal(unplugged.code, "cloud-http", JSON.stringify(unplugged));
  assert.equal(proxy.seen.length, before + 1);
  await page.locator("#no-memory").uncheck();
  await page.locator("#no-gpu").check();
  const alone = await ask(page, UNSURE);
  assert.deepEqual([alone.title, alone.reason], ["This device answered", "cannot"], JSON.stringify(alone));
  assert.match(alone.facts, /no WebGPU adapter/);
  assert.deepEqual(page.errors, []);
  await page.context().close();
});

test("the network is taken away in the middle of an answer too", async () => {
  const page = await openPage();
  await useServer(page, "stall");
  await usePrivacy(page, "prefer-cloud");
  await page.locator("#question").fill(SURE);
  await page.locator("#question").press("Enter");
  await page.waitForFunction(() => document.querySelector("#verdict-text").textContent === "half", undefined, { timeout: 60_000 });
  await page.locator("#no-network").check();
  await page.waitForFunction(() => !document.querySelector("#hybrid-notice").hidden, undefined, { timeout: 60_000 });
  // Not the timeout by which the engine gives up a silent server: the connection broke.
  assert.equal(await page.locator("#hybrid-notice code").textContent(), "cloud-truncated");
  const { ended } = proxy.seen.at(-1);
  assert.equal(await ended, true, "the server saw its connection go");
  await page.locator("#no-network").uncheck();
  await page.context().close();
});

test("the slider tells what a risk costs, by keyboard", async () => {
  const page = await openPage();
  const words = () => page.locator("#risk-words").textContent();
  const begin = await words();
  assert.equal(await page.locator("#risk-value").textContent(), "5.0%");
  await page.locator("#risk").press("ArrowLeft");
  assert.equal(await page.locator("#risk-value").textContent(), "4.5%");
  const next = await words();
  const deferred = (text) => Number(/: ([\d.]+)% of the requests/.exec(text)[1]);
  assert.ok(deferred(next) > deferred(begin), `${next} ${begin}`);
  await page.context().close();
});

for (const colorScheme of ["light", "dark"]) {
  for (const width of [1280, 390]) {
    test(`axe-core finds nothing serious at ${width} px in ${colorScheme}; nothing is cut off`, async () => {
      const page = await openPage({ colorScheme, viewport: { width, height: width === 390 ? 844 : 900 } });
      await useServer(page);
      await page.locator("#no-network").check();
      await ask(page, UNSURE); // one answer, and a row in the ledger
      await page.evaluate(axe);
      const { violations } = await page.evaluate(() => window.axe.run(document));
      const serious = violations.filter(({ impact }) => ["serious", "critical"].includes(impact));
      assert.deepEqual(serious.map(({ id, nodes }) => `${id}: ${nodes.map(({ target }) => target).join(" ")}`), []);
      assert.equal(await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth), 0);
      await page.screenshot({ path: join(pictures, `hybrid-${width}-${colorScheme}.png`), fullPage: true });
      await page.context().close();
    });
  }
}
