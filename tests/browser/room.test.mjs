// Room on the device: what goes for another model and what stays, what the browser is asked, and an import that finds none.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";

import { folder, names, startStoreLab, totalBytes } from "./store_lab.mjs";
import { loadOnce, openStorePage } from "./store_page.mjs";

let lab;
let server;
let close;
before(async () => {
  ({ lab, server, close } = await startStoreLab());
  for (const place of ["older", "old", "pinned"]) {
    for (const name of names) {
      server.files.set(`/${place}/${name}`, readFileSync(join(folder, name)));
    }
  }
});
after(() => close());

/** A page in a profile of its own; `limit(bytes)` sets its quota by the DevTools protocol, and without bytes takes it back. */
async function openPage() {
  const page = await openStorePage(lab, server.origin);
  const session = await page.context().newCDPSession(page);
  const limit = (quotaSize) => session.send("Storage.overrideQuotaForOrigin", { origin: lab.app.origin, ...(quotaSize ? { quotaSize } : {}) });
  const listed = async () => (await page.evaluate(() => window.eyas.models.list())).map(({ id }) => new URL(id).pathname).sort();
  const load = (place, options) => loadOnce(page, { model: `${server.origin}/${place}/`, ...options });
  return { page, limit, listed, load };
}

test("where the device is full, evictable models go, the one used the longest ago first, and no other", async () => {
  server.reset();
  const { page, limit, listed, load } = await openPage();
  await load("older", { evictable: true });
  await load("pinned");
  await load("old", { evictable: true });
  assert.deepEqual(await listed(), ["/old/", "/older/", "/pinned/"]);
  // Room for three and a half.
  await limit(Math.round(3.5 * totalBytes));
  const fourth = await load("nano");
  assert.equal(fourth.storage?.kept, true, JSON.stringify(fourth).slice(0, 300));
  assert.deepEqual(await listed(), ["/nano/", "/old/", "/pinned/"]);
  await limit(Math.round(2.5 * totalBytes));
  await page.evaluate(() => window.eyas.models.remove(window.address));
  const again = await load("nano");
  assert.equal(again.storage?.kept, true, JSON.stringify(again).slice(0, 300));
  assert.deepEqual(await listed(), ["/nano/", "/pinned/"]);
  // Nothing is left that may go.
  const passing = await load("old", { evictable: true });
  assert.equal(passing.storage?.kept, false, JSON.stringify(passing).slice(0, 300));
  assert.equal(passing.text, fourth.text);
  const complete = await page.evaluate(async () => (await window.eyas.models.list()).filter(({ complete }) => complete).map(({ id }) => new URL(id).pathname).sort());
  assert.deepEqual(complete, ["/nano/", "/pinned/"]);
  await page.context().close();
});

test("the browser is asked to keep what is not evictable, and only for that", async () => {
  server.reset();
  const { page, load } = await openPage();
  await page.evaluate(() => {
    window.asked = 0;
    StorageManager.prototype.persist = () => Promise.resolve((window.asked += 1) > 0);
  });
  const asked = () => page.evaluate(() => window.asked);
  await load("nano", { store: "none" });
  await load("nano", { evictable: true });
  assert.equal(await asked(), 0);
  await load("nano");
  assert.equal(await asked(), 1);
  assert.equal(await page.evaluate(() => window.eyas.models.persist()), true);
  await page.context().close();
});

test("an import that finds no room is storage-full, and nothing of it stays", async () => {
  server.reset();
  const { page, limit, listed, load } = await openPage();
  const { text } = await load("nano");
  await page.evaluate(async () => {
    // A Blob of the store's files ends with them.
    window.archive = new Blob([await (await window.eyas.models.export(window.address)).arrayBuffer()]);
    await window.eyas.models.remove(window.address);
  });
  for (const bytes of [1_000, 300_000, 2_500_000]) {
    await limit(bytes);
    const seen = await page.evaluate(() => window.outcome(window.eyas.models.import(window.archive)));
    assert.equal(seen.error?.code, "storage-full", `${bytes} bytes allowed: ${JSON.stringify(seen)}`);
    assert.deepEqual(await listed(), []);
  }
  await limit();
  assert.equal((await page.evaluate(() => window.outcome(window.eyas.models.import(window.archive)))).error, undefined);
  server.fault = () => ({ status: 500 });
  const seen = await load("nano");
  assert.deepEqual([seen.text, seen.storage?.fetchedBytes], [text, 0], JSON.stringify(seen).slice(0, 300));
  await page.context().close();
});
