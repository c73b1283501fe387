// A newer version of a stored model: fetched beside the one in use, tried before it counts, and gone again where it is broken, whatever is cut off.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { thorough } from "./chromium.mjs";
import { otherWeights, turnNorm } from "./other_weights.mjs";
import { CHUNK, names, pause, PROMPT, startStoreLab, totalBytes, weights } from "./store_lab.mjs";

const second = otherWeights("the second version, which answers otherwise", turnNorm);

let lab;
let server;
let close;
let page;
const expected = {};
before(async () => {
  ({ lab, server, close } = await startStoreLab());
  page = await openPage();
  for (const [version, bytes] of [["first", weights], ["second", second]]) {
    publish(bytes);
    expected[version] = (await load(page, { store: "none" })).text;
  }
  assert.notEqual(expected.first, expected.second);
});
after(() => close());

/** Puts weights on the server, and a fresh count. */
function publish(bytes) {
  server.reset();
  server.files.set("/nano/model.safetensors", bytes);
}

async function openPage(context) {
  const page = await (context ?? (await lab.browser.newContext())).newPage();
  page.on("pageerror", (error) => console.error("page error:", error.message));
  await page.goto(`${lab.app.origin}/`);
  await page.waitForFunction("window.ready");
  await page.evaluate(([origin, prompt]) => {
    window.address = `${origin}/nano/`;
    window.outcome = (promise) => promise.then((value) => ({ value }), ({ code, message, retryable }) => ({ error: { code, message, retryable } }));
    window.once = async (options) => {
      const eyas = await window.eyas.load({ model: window.address, device: "cpu", ...options });
      const { text } = await eyas.chat(prompt, { maxTokens: 40 });
      const { storage } = eyas.info;
      await eyas.dispose();
      return { text, storage };
    };
    window.update = (options) => window.outcome(window.eyas.models.update(window.address, { device: "cpu", ...options }));
  }, [server.origin, PROMPT]);
  return page;
}

/** Where the last request for the weights began. */
const resumedAt = () => server.requests.filter(({ name, method }) => name === "model.safetensors" && method === "GET").at(-1).start;
const load = (page, options = {}) => page.evaluate((options) => window.once(options), options);
const update = (page, options = {}) => page.evaluate((options) => window.update(options), options);
const stored = async (page) => (await page.evaluate(() => window.eyas.models.list()))[0];

/** Puts the first version into the store anew. */
async function startOver(page) {
  await page.evaluate(() => window.eyas.models.remove(window.address));
  publish(weights);
  assert.equal((await load(page)).text, expected.first);
}

/** Waits until the version before is gone: nobody waits for that otherwise. */
async function untilProven(page) {
  for (let tries = 0; (await stored(page)).hasPrevious; tries++) {
    assert.ok(tries < 100, "the version before is still kept");
    await pause(50);
  }
}

async function kill(page) {
  const session = await page.context().newCDPSession(page);
  const crashed = page.waitForEvent("crash");
  session.send("Page.crash").catch(() => {});
  await crashed;
  await page.close();
}

test("what is current costs a head for each file", async () => {
  await startOver(page);
  const { version } = await stored(page);
  server.reset();
  const { value } = await update(page);
  assert.deepEqual(value, { status: "current", version, previousVersion: null, fetchedBytes: 0 });
  assert.equal(server.servedBytes, 0);
  assert.ok(server.requests.every(({ method }) => method === "HEAD"), JSON.stringify(server.requests));
  const asked = server.requests.map(({ name }) => name);
  assert.equal(new Set(asked).size, asked.length, "none twice");
  assert.deepEqual(names.filter((name) => !asked.includes(name)), []);
});

test("an engine goes on undisturbed while its model is updated, and the next load has the new version", async () => {
  await startOver(page);
  const { version } = await stored(page);
  publish(second);
  let goOn;
  const hold = new Promise((resolve) => (goOn = resolve));
  server.fault = ({ name, method }) => (name === "model.safetensors" && method === "GET" ? { hold } : undefined);
  await page.exposeFunction("letTheDownloadGoOn", () => goOn());
  const seen = await page.evaluate(async (prompt) => {
    const eyas = await window.eyas.load({ model: window.address, device: "cpu" });
    let isUpdating = true;
    const updating = window.update({}).finally(() => (isUpdating = false));
    const texts = [];
    let loads = 0;
    while (isUpdating) {
      texts.push((await eyas.chat(prompt, { maxTokens: 40 })).text);
      if (loads === 0) {
        // A load in the middle gets the version that counts, and does not wait for the download.
        const began = performance.now();
        const other = await window.once({});
        loads = { ms: performance.now() - began, text: other.text, isUpdating };
        await window.letTheDownloadGoOn();
      }
    }
    const updated = await updating;
    texts.push((await eyas.chat(prompt, { maxTokens: 40 })).text);
    await eyas.dispose();
    return { updated, texts, loads };
  }, PROMPT);
  assert.equal(seen.updated.value?.status, "updated", JSON.stringify(seen.updated));
  assert.equal(seen.updated.value.previousVersion, version);
  assert.equal(seen.updated.value.fetchedBytes, second.length);
  assert.equal(server.servedBytes, second.length, "only what differs was fetched");
  assert.ok(seen.texts.length >= 2 && seen.texts.every((text) => text === expected.first), "the engine in use answers as before");
  assert.ok(seen.loads.isUpdating && seen.loads.text === expected.first, JSON.stringify(seen.loads));
  console.log(`${seen.texts.length} answers while the model was updated; a load in the middle took ${Math.round(seen.loads.ms)} ms`);
  assert.equal((await stored(page)).hasPrevious, true, "an engine of the old version proves nothing of the new one");

  server.fault = () => ({ status: 500 });
  const next = await load(page);
  assert.equal(next.text, expected.second);
  assert.equal(next.storage.version, seen.updated.value.version);
  assert.equal(next.storage.fetchedBytes, 0);
  assert.equal(next.storage.previousKept, true);
  await untilProven(page);
  assert.equal((await stored(page)).bytes, totalBytes - weights.length + second.length, "the version before is gone");
});

const NAN = otherWeights("weights that are no numbers", (data, header) => {
  const { data_offsets: [begin, end] } = header["model.norm.weight"];
  data.fill(0xff, begin, end);
});
const BROKEN = [
  ["weights that end early", () => server.files.set("/nano/model.safetensors", second.subarray(0, 2_000_000)), ["bad-model"]],
  ["weights that are no numbers", () => server.files.set("/nano/model.safetensors", NAN), ["bad-model"]],
  ["a configuration that does not fit", () => server.files.set("/nano/config.json", Buffer.from('{"model_type":"llama","hidden_size":8}')), ["bad-model", "unsupported-model"]],
  ["weights that are gone", () => (server.fault = ({ name }) => (name === "model.safetensors" ? { status: 404 } : undefined)), ["model-not-found"]],
  ["a page in place of the weights", () => (server.fault = ({ name }) => (name === "model.safetensors" ? { html: true } : undefined)), ["model-not-found", "bad-model"]],
  ["weights of another sha256", () => server.files.set("/nano/model.safetensors", second), ["integrity"], { sha256: { "model.safetensors": "00".repeat(32) } }],
];
for (const [name, breakIt, codes, options] of BROKEN) {
  test(`${name}: ${codes.join(" or ")}, and everything is as it was`, async () => {
    await startOver(page);
    const was = await stored(page);
    breakIt();
    const { error } = await update(page, options);
    server.files.delete("/nano/config.json");
    assert.ok(codes.includes(error?.code), JSON.stringify(error));
    console.log(`  ${error.code}: ${error.message}`);
    const is = await stored(page);
    assert.deepEqual({ ...is, lastUsedMs: 0 }, { ...was, lastUsedMs: 0 });
    server.fault = () => ({ status: 500 });
    assert.equal((await load(page)).text, expected.first);
  });
}

test("a network that is lost in the middle: nothing changes, and the next update goes on", async () => {
  await startOver(page);
  publish(second);
  server.fault = ({ name, method, attempt }) => (name === "model.safetensors" && method === "GET" ? (attempt === 2 ? { cutAt: 2_500_000, sliceMs: 1 } : { status: 503 }) : undefined);
  const { error } = await update(page);
  assert.equal(error?.code, "download-failed", JSON.stringify(error));
  assert.equal(error.retryable, true);
  assert.equal((await load(page)).text, expected.first);
  server.fault = () => undefined;
  const { value } = await update(page);
  assert.equal(value?.status, "updated");
  assert.ok(resumedAt() > 0, "it went on with what was there");
  assert.equal((await load(page)).text, expected.second);
  await untilProven(page);
});

test("a quota that ends in the middle of an update is storage-full: the old version stays, and the next update goes on", async () => {
  await startOver(page);
  const was = await stored(page);
  const session = await page.context().newCDPSession(page);
  const quota = (quotaSize) => session.send("Storage.overrideQuotaForOrigin", { origin: lab.app.origin, ...(quotaSize ? { quotaSize } : {}) });
  publish(second);
  try {
    for (const more of [1_200_000, 2_400_000]) {
      await quota(was.bytes + more);
      const { error } = await update(page);
      assert.equal(error?.code, "storage-full", JSON.stringify(error));
      await quota(1000);
      assert.equal((await load(page)).text, expected.first, "which needs no room at all");
      assert.equal((await stored(page)).version, was.version);
      console.log(`  ${more} bytes more: ${error.message}`);
    }
  } finally {
    await quota();
  }
  assert.equal((await update(page)).value?.status, "updated");
  assert.ok(resumedAt() > 0, "it went on with what was there");
  assert.equal((await load(page)).text, expected.second);
  await untilProven(page);
});

test("an aborted update rejects with the signal's reason, and can be gone on with", async () => {
  await startOver(page);
  publish(second);
  server.fault = ({ name, method, attempt }) => (name === "model.safetensors" && method === "GET" && attempt === 2 ? { stallAt: 2_500_000 } : undefined);
  const reason = await page.evaluate(() => {
    const controller = new AbortController();
    const onProgress = ({ phase, loadedBytes }) => phase !== "start" && loadedBytes > 2_000_000 && controller.abort("enough");
    return window.eyas.models.update(window.address, { device: "cpu", signal: controller.signal, onProgress }).then(() => "updated", (reason) => reason);
  });
  assert.equal(reason, "enough");
  assert.equal((await update(page)).value?.status, "updated");
  assert.ok(resumedAt() >= 2 * CHUNK, `it went on at ${resumedAt()}`);
});

test("a new version that is damaged before it has answered makes way for the one before", async () => {
  await startOver(page);
  publish(second);
  assert.equal((await update(page)).value?.status, "updated");
  server.fault = () => ({ status: 500 });
  await page.evaluate(async (size) => {
    const root = await (await navigator.storage.getDirectory()).getDirectoryHandle("eyas-models");
    for await (const folder of root.values()) {
      for await (const file of folder.values()) {
        if ((await file.getFile()).size === size) {
          const writer = await file.createWritable({ keepExistingData: true });
          await writer.write({ type: "write", position: size - 5000, data: new Uint8Array(64) });
          await writer.close();
        }
      }
    }
  }, second.length);
  const seen = await load(page);
  assert.equal(seen.text, expected.first);
  assert.match(seen.storage.rolledBack, /integrity|damaged/);
  console.log(`  ${seen.storage.rolledBack}`);
  assert.equal((await load(page)).storage.rolledBack, null, "that is said once");
});

const KILLS = thorough ? 20 : 8;
test(`a tab whose process is killed at ${KILLS} points of an update: the next visit has one version or the other`, async () => {
  const context = await lab.browser.newContext();
  const seen = { first: 0, second: 0 };
  const extras = [];
  // How long an update takes here, undisturbed.
  let visit = await openPage(context);
  await startOver(visit);
  const slowly = ({ name, method }) => (name === "model.safetensors" && method === "GET" ? { sliceMs: 1 } : undefined);
  publish(second);
  server.fault = slowly;
  const began = Date.now();
  await update(visit);
  const updateMs = Date.now() - began;
  for (let run = 0; run < KILLS; run++) {
    await startOver(visit);
    publish(second);
    server.fault = slowly;
    void visit.evaluate(() => void window.update({}));
    await pause(((run + 0.5) / KILLS) * updateMs * 1.1); // through the download, the trial and the switch
    await kill(visit);
    visit = await openPage(context);
    const { text } = await load(visit);
    const version = Object.keys(expected).find((version) => expected[version] === text);
    assert.ok(version, `run ${run}: ${text}`);
    seen[version] += 1;
    const { value, error } = await update(visit);
    assert.ok(value, JSON.stringify(error));
    assert.equal((await load(visit)).text, expected.second, `run ${run}`);
    extras.push(server.servedBytes - second.length);
    await untilProven(visit);
    assert.equal((await stored(visit)).bytes, totalBytes - weights.length + second.length);
  }
  extras.sort((a, b) => a - b);
  console.log(`${KILLS} kills within ${updateMs} ms: the old version ${seen.first} times, the new one ${seen.second} times; fetched twice: median ${extras[KILLS / 2]} bytes, most ${extras.at(-1)}`);
  await context.close();
});
