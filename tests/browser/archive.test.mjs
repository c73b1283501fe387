// A stored model as one file: out of one profile, into another one, and nothing of what was damaged on the way.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { PROMPT, startStoreLab, totalBytes } from "./store_lab.mjs";

let lab;
let server;
let close;
before(async () => {
  ({ lab, server, close } = await startStoreLab());
});
after(() => close());

/** A page in a profile of its own. */
async function openPage() {
  const page = await (await lab.browser.newContext()).newPage();
  page.on("pageerror", (error) => console.error("page error:", error.message));
  await page.goto(`${lab.app.origin}/`);
  await page.waitForFunction("window.ready");
  await page.evaluate(([origin, prompt]) => {
    window.address = `${origin}/nano/`;
    window.outcome = (promise) => promise.then((value) => ({ value }), (error) => ({ error: { code: error?.code, message: error?.message ?? String(error) } }));
    window.once = async () => {
      const eyas = await window.eyas.load({ model: window.address, device: "cpu" });
      const { text } = await eyas.chat(prompt, { maxTokens: 40 });
      const { storage } = eyas.info;
      await eyas.dispose();
      return { text, storage };
    };
  }, [server.origin, PROMPT]);
  return page;
}

test("what goes out of one profile comes into another, which then needs no network", async () => {
  const one = await openPage();
  const { text, storage } = await one.evaluate(() => window.once());
  const exported = await one.evaluate(async () => {
    const seen = [];
    const blob = await window.eyas.models.export(window.address, { onProgress: ({ loadedBytes, totalBytes }) => seen.push([loadedBytes, totalBytes]) });
    window.blob = blob;
    const bytes = new Uint8Array(await blob.arrayBuffer());
    let base64 = "";
    for (let at = 0; at < bytes.length; at += 0x8000) {
      base64 += String.fromCharCode(...bytes.subarray(at, at + 0x8000));
    }
    return { size: blob.size, last: seen.at(-1), base64: btoa(base64) };
  });
  assert.ok(exported.size > totalBytes && exported.size < totalBytes + 10_000);
  assert.deepEqual(exported.last, [exported.size, exported.size]);

  server.reset();
  server.fault = () => ({ status: 500 });
  const two = await openPage();
  const given = async (change = "") =>
    two.evaluate(
      async ([base64, change]) => {
        const bytes = Uint8Array.from(atob(base64), (char) => char.charCodeAt(0));
        const file = new File([change === "short" ? bytes.subarray(0, -1) : change === "flip" ? bytes.with(bytes.length - 9, bytes.at(-9) ^ 4) : change === "other" ? bytes.with(0, 0x20) : bytes], "m.eyas");
        const seen = await window.outcome(window.eyas.models.import(file, change === "wanted" ? { model: "https://bank.test/m/" } : {}));
        return { ...seen, listed: await window.eyas.models.list() };
      },
      [exported.base64, change],
    );
  for (const [change, code] of [["short", "bad-input"], ["flip", "integrity"], ["other", "bad-input"], ["wanted", "bad-input"]]) {
    const seen = await given(change);
    assert.equal(seen.error?.code, code, JSON.stringify(seen));
    console.log(`  ${change}: ${seen.error.message}`);
    assert.deepEqual(seen.listed, []);
    assert.deepEqual(await two.evaluate(async () => Array.fromAsync((await (await navigator.storage.getDirectory()).getDirectoryHandle("eyas-models")).keys())), [], "nothing stays");
  }
  const { value, listed } = await given();
  assert.deepEqual(value, { id: `${server.origin}/nano/`, version: storage.version });
  assert.equal(listed[0].complete, true);
  const there = await two.evaluate(() => window.once());
  assert.equal(there.text, text);
  assert.equal(there.storage.fetchedBytes, 0);
  assert.equal(server.requests.length, 0, "not one request");
  assert.equal((await given()).value?.version, storage.version, "once more changes nothing");

  // It can be updated like one that was fetched: bytes are compared, since an archive's word on versions is not taken.
  server.fault = () => undefined;
  const updated = await two.evaluate(() => window.outcome(window.eyas.models.update(window.address, { device: "cpu" })));
  assert.equal(updated.value?.status, "current", JSON.stringify(updated));
  server.reset();
  assert.equal((await two.evaluate(() => window.outcome(window.eyas.models.update(window.address, { device: "cpu" })))).value?.status, "current");
  assert.equal(server.servedBytes, 0);
  await two.context().close();
  await one.context().close();
});

test("what is not here can't go out, and an abort ends both ways", async () => {
  const page = await openPage();
  const seen = await page.evaluate(async () => {
    const missing = await window.outcome(window.eyas.models.export(window.address));
    await window.once();
    const controller = new AbortController();
    const going = window.outcome(window.eyas.models.export(window.address, { signal: controller.signal, onProgress: () => controller.abort(new Error("enough")) }));
    const wrong = await window.outcome(window.eyas.models.import("text"));
    return { missing, aborted: await going, wrong, after: await window.outcome(window.eyas.models.export(window.address).then(({ size }) => size)) };
  });
  assert.equal(seen.missing.error?.code, "model-not-found");
  assert.equal(seen.aborted.error?.message, "enough");
  assert.equal(seen.wrong.error?.code, "bad-input");
  assert.ok(seen.after.value > totalBytes);
  await page.context().close();
});
