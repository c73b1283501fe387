// The demo as an application: installable, there without a network and without a server, and updated only when a person says so.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";

import { launch, root } from "./chromium.mjs";
import { startFileServer } from "./file_server.mjs";

const pictures = join(root, ".eyas/screenshots");
let browser;
let folder;
before(async () => {
  mkdirSync(pictures, { recursive: true });
  folder = mkdtempSync(join(tmpdir(), "eyas-demo-"));
  cpSync(join(root, "www/demo/dist"), join(folder, "demo"), { recursive: true });
  browser = await launch();
});
after(async () => {
  await browser.close();
  rmSync(folder, { recursive: true, force: true });
});

const status = (page) => page.locator("#shell-status").textContent();
const ready = (page) => page.waitForFunction(() => /memory/.test(document.querySelector("#nano-status").textContent), undefined, { timeout: 60_000 });
const sha256 = (bytes) => createHash("sha256").update(bytes).digest("hex");

async function ask(page, request = "play some jazz by miles davis") {
  await page.locator("#request").fill(request);
  await page.waitForFunction(() => document.querySelector("#raw").textContent.trim().endsWith("]}"), undefined, { timeout: 30_000 });
  return page.locator("#intent").textContent();
}

async function open(context, origin) {
  const page = await context.newPage();
  page.errors = [];
  page.on("pageerror", (error) => page.errors.push(error.message));
  await page.goto(`${origin}/demo/`);
  return page;
}

const offlineReady = (page) => page.waitForFunction(() => /works without a network/.test(document.querySelector("#shell-status").textContent), undefined, { timeout: 60_000 });

/** Publishes a next version: a file changes, and the service worker's list with it, or not (`broken`). */
function publish(text, { broken = false } = {}) {
  const page = join(folder, "demo/index.html");
  const html = readFileSync(page, "utf8").replace(/No server answers here\..*?<\/p>/, `No server answers here. ${text}</p>`);
  const worker = join(folder, "demo/service_worker.js");
  const source = readFileSync(worker, "utf8");
  const listed = /const SHELL = (\[\[.*?\]\]);/.exec(source);
  const shell = JSON.parse(listed[1]).map(([path, hash]) => [path, path === "index.html" ? sha256(html) : hash]);
  const version = sha256(JSON.stringify(shell)).slice(0, 16);
  writeFileSync(worker, source.replace(listed[0], `const SHELL = ${JSON.stringify(shell)};`).replace(/const VERSION = "\w+";/, `const VERSION = "${version}";`));
  if (!broken) {
    writeFileSync(page, html);
  }
}

test("Chromium finds nothing that keeps it from being installed", async () => {
  const server = await startFileServer({ demo: join(folder, "demo") });
  const context = await browser.newContext();
  const page = await open(context, server.origin);
  await offlineReady(page);
  const session = await context.newCDPSession(page);
  const manifest = await session.send("Page.getAppManifest");
  assert.deepEqual(manifest.errors, []);
  assert.equal(JSON.parse(manifest.data).icons.length, 3);
  const { installabilityErrors } = await session.send("Page.getInstallabilityErrors");
  // A profile that leaves no traces is never offered an installation; that is the test's, not the page's.
  assert.deepEqual(installabilityErrors.map(({ errorId }) => errorId).filter((id) => id !== "in-incognito"), []);
  await context.close();
  await server.close();
});

test("after one visit it loads and answers with the network off and the server stopped", async () => {
  const server = await startFileServer({ demo: join(folder, "demo") });
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 } });
  const page = await open(context, server.origin);
  await ready(page);
  await offlineReady(page);
  const online = await ask(page);
  await context.setOffline(true);
  await server.close();
  const began = Date.now();
  await page.reload();
  await ready(page);
  const readyMs = Date.now() - began;
  assert.equal(await ask(page), online);
  await page.locator("#shell-status").scrollIntoViewIfNeeded();
  await page.screenshot({ path: join(pictures, "offline.png"), fullPage: true });
  // A tab that was not there at the first visit.
  const second = await open(context, server.origin);
  await ready(second);
  assert.equal(await ask(second, "will it rain in oslo tomorrow"), "Get weather");
  assert.deepEqual([...page.errors, ...second.errors], []);
  console.log(`offline: loaded and ready in ${readyMs} ms`);
  await context.close();
});

test("a newer version waits until it is asked for, and a broken one never comes", async () => {
  const server = await startFileServer({ demo: join(folder, "demo") });
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 } });
  const page = await open(context, server.origin);
  await offlineReady(page);

  // A version whose files are not those of its list: the old one stays.
  const [oldPage, oldWorker] = ["index.html", "service_worker.js"].map((name) => readFileSync(join(folder, "demo", name)));
  publish("Broken.", { broken: true });
  await page.evaluate(async () => (await navigator.serviceWorker.ready).update());
  await page.waitForTimeout(1500);
  assert.equal(await page.locator("button.update").count(), 0);
  writeFileSync(join(folder, "demo/service_worker.js"), oldWorker);
  writeFileSync(join(folder, "demo/index.html"), oldPage);

  publish("Second edition.");
  await ready(page);
  // An answer is under way while the new version is fetched.
  const answering = ask(page);
  await page.evaluate(async () => (await navigator.serviceWorker.ready).update());
  assert.ok((await answering).length > 0);
  await page.waitForSelector("button.update", { timeout: 30_000 });
  assert.match(await status(page), /newer version/);
  await page.locator("#shell-status").scrollIntoViewIfNeeded();
  await page.screenshot({ path: join(pictures, "update-ready.png"), fullPage: true });
  assert.doesNotMatch(await page.locator("footer").textContent(), /Second edition/);
  await Promise.all([page.waitForNavigation(), page.locator("button.update").click()]);
  await page.waitForFunction(() => /Second edition/.test(document.querySelector("footer").textContent));
  await ready(page);

  await context.setOffline(true);
  await server.close();
  await page.reload();
  await ready(page);
  assert.match(await page.locator("footer").textContent(), /Second edition/);
  assert.ok((await ask(page)).length > 0);
  await context.close();
});
