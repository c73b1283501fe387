// A publisher's manifest: files are held against it, a pinned key is demanded before any weight is fetched, and an update goes by it.
import assert from "node:assert/strict";
import { createHash, generateKeyPairSync, sign } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";

import { folder, names, PROMPT, startStoreLab } from "./store_lab.mjs";

const files = new Map(names.map((name) => [name, readFileSync(join(folder, name))]));
const MANIFEST = "/nano/eyas.manifest.json";

const { publicKey, privateKey } = generateKeyPairSync("ed25519");
const KEY = Buffer.from(publicKey.export({ format: "jwk" }).x, "base64url").toString("base64");
const OTHER_KEY = Buffer.from(generateKeyPairSync("ed25519").publicKey.export({ format: "jwk" }).x, "base64url").toString("base64");

let lab;
let server;
let close;
let expected;
before(async () => {
  ({ lab, server, close } = await startStoreLab());
  const page = await openPage();
  expected = (await load(page, { store: "none", manifest: false })).value.text;
  await page.context().close();
});
after(() => close());

/** A page in a profile of its own, whose worker may be changed by a line of script before its own. */
async function openPage(script = "") {
  const page = await (await lab.browser.newContext()).newPage();
  page.on("pageerror", (error) => console.error("page error:", error.message));
  await page.goto(`${lab.app.origin}/`);
  await page.waitForFunction("window.ready");
  await page.evaluate(async ([origin, prompt, script]) => {
    window.address = `${origin}/nano/`;
    const source = await (await fetch("/eyas/worker.js")).text();
    const worker = URL.createObjectURL(new Blob([`${script}\n`, source], { type: "text/javascript" }));
    const assets = { worker, gpuWasm: "/eyas/eyas_gpu_bg.wasm", cpuWasm: "/eyas/eyas_cpu_bg.wasm" };
    const outcome = (promise) => promise.then((value) => ({ value }), ({ code, message }) => ({ error: { code, message } }));
    const once = async (options) => {
      const eyas = await window.slim.load({ model: window.address, device: "cpu", assets, ...options });
      const { text, provenance } = await eyas.chat(prompt, { maxTokens: 40 });
      const { storage, fingerprint, quantize } = eyas.info;
      await eyas.dispose();
      return { text, provenance, storage, fingerprint, quantize };
    };
    window.once = (options) => outcome(once(options));
    window.plan = (options) => outcome(window.slim.plan({ model: window.address, device: "cpu", assets, ...options }));
    const models = window.slim.storedModels({ assets });
    window.update = (options) => outcome(models.update(window.address, { device: "cpu", ...options }));
    window.stored = () => models.list();
  }, [server.origin, PROMPT, script]);
  return page;
}

const load = (page, options = {}) => page.evaluate((options) => window.once(options), options);

/** Puts a signed manifest on the server; `change` alters what it says. */
function publish(change = () => {}) {
  server.reset();
  server.files.clear();
  const manifest = {
    format: 1,
    name: "eyas-nano",
    licence: "MIT OR Apache-2.0",
    minimumVersion: "0.1.0",
    files: names.map((name) => ({ name, bytes: files.get(name).length, sha256: createHash("sha256").update(files.get(name)).digest("hex") })),
  };
  change(manifest);
  const text = Buffer.from(`${JSON.stringify(manifest, null, 2)}\n`);
  server.files.set(MANIFEST, text);
  server.files.set(`${MANIFEST}.sig`, Buffer.from(`${sign(null, text, privateKey).toString("base64")}\n`));
}

/** Bytes of weights that the server sent. */
const weightRequests = () => server.requests.filter(({ name, method }) => name === "model.safetensors" && method === "GET").length;

test("files are held against a signed manifest, also without a network and where nothing is kept", async () => {
  publish();
  const page = await openPage();
  const first = await load(page, { publicKey: KEY });
  assert.equal(first.value?.text, expected, JSON.stringify(first));
  assert.deepEqual(first.value.storage.manifest, { name: "eyas-nano", licence: "MIT OR Apache-2.0", signed: true });
  const asked = new Set(server.requests.map(({ name }) => name));
  assert.deepEqual([...asked].filter((name) => !files.has(name) && !name.startsWith("eyas.manifest")), [], "what is not listed is not asked for");
  server.fault = () => ({ status: 500 });
  const again = await load(page, { publicKey: KEY });
  assert.equal(again.value?.text, expected, JSON.stringify(again));
  assert.equal((await load(page, { publicKey: OTHER_KEY })).error?.code, "integrity", "another key than the one it was stored with");
  assert.equal((await load(page, { publicKey: KEY })).value?.text, expected, "that took nothing away");
  server.fault = () => undefined;
  const passing = await load(page, { publicKey: KEY, store: "none" });
  assert.equal(passing.value?.text, expected, JSON.stringify(passing));
  assert.equal(passing.value.storage.kept, false);
  await page.context().close();
});

const REFUSALS = [
  ["no manifest", () => server.files.delete(MANIFEST)],
  ["no signature", () => server.files.delete(`${MANIFEST}.sig`)],
  ["a signature of another manifest", () => server.files.set(MANIFEST, Buffer.from(server.files.get(MANIFEST).toString().replace("MIT", "GPL")))],
  ["no signature at all", () => server.files.set(`${MANIFEST}.sig`, Buffer.from("<html>"))],
];
for (const [name, change] of REFUSALS) {
  test(`${name} where a key is pinned: integrity, before any weight`, async () => {
    publish();
    change();
    const page = await openPage();
    for (const store of ["device", "none"]) {
      const { error } = await load(page, { publicKey: KEY, store });
      assert.equal(error?.code, "integrity", JSON.stringify(error));
      assert.match(error.message, /signed/);
    }
    const { code, answerer, detail } = (await page.evaluate((publicKey) => window.plan({ publicKey }), KEY)).value;
    assert.deepEqual([code, answerer], ["integrity", "nobody"], detail);
    assert.equal(weightRequests(), 0);
    assert.deepEqual(await page.evaluate(() => window.stored()), []);
    await page.context().close();
  });
}

test("a browser without Ed25519 says so", async () => {
  publish();
  const page = await openPage(`SubtleCrypto.prototype.importKey = async () => { throw new DOMException("Unrecognized name.", "NotSupportedError"); };`);
  const { error } = await load(page, { publicKey: KEY });
  assert.equal(error?.code, "integrity", JSON.stringify(error));
  assert.match(error.message, /Ed25519.*NotSupportedError/);
  assert.equal(weightRequests(), 0);
  assert.equal((await load(page)).value?.text, expected, "without a key it loads");
  await page.context().close();
});

test("a wrong size, a wrong hash and a version that is too new are refused", async () => {
  const page = await openPage();
  const weights = (manifest) => manifest.files.find(({ name }) => name === "model.safetensors");
  publish((manifest) => (weights(manifest).bytes += 1));
  const size = await load(page);
  assert.equal(size.error?.code, "integrity", JSON.stringify(size));
  assert.match(size.error.message, /the manifest says \d+ bytes/);
  for (const store of ["device", "none"]) {
    publish((manifest) => (weights(manifest).sha256 = "00".repeat(32)));
    assert.equal((await load(page, { store })).error?.code, "integrity", store);
  }
  publish((manifest) => (manifest.minimumVersion = "99.0.0"));
  const { error } = await load(page);
  assert.equal(error?.code, "unsupported-model", JSON.stringify(error));
  assert.match(error.message, /99\.0\.0/);
  const plan = (await page.evaluate(() => window.plan({}))).value;
  assert.equal(plan?.code, "unsupported-model", JSON.stringify(plan));
  assert.match(plan.detail, /99\.0\.0/);
  assert.equal(weightRequests(), 0);
  publish();
  server.files.set(MANIFEST, Buffer.from('{"format":1,'));
  assert.equal((await load(page)).error?.code, "bad-model");
  publish();
  assert.equal((await load(page)).value?.text, expected);
  await page.context().close();
});

test("an update goes by the manifest, and what it says of answers decides", async () => {
  publish();
  const page = await openPage();
  assert.equal((await load(page, { publicKey: KEY })).value?.text, expected);
  const update = (options) => page.evaluate((options) => window.update(options), { publicKey: KEY, quantize: "none", ...options });
  server.reset();
  const current = await update();
  assert.equal(current.value?.status, "current", JSON.stringify(current));
  assert.deepEqual(server.requests.map(({ name, method }) => `${method} ${name}`), ["HEAD eyas.manifest.json"]);

  // The weights' type in this file is what `none` keeps.
  const kinds = ["f16", "f32", "bf16"];
  publish((manifest) => (manifest.expected = ["none", ...kinds].map((quantize) => ({ prompt: PROMPT, quantize, tokens: [1, 2, 3] }))));
  const wrong = await update();
  assert.equal(wrong.error?.code, "bad-model", JSON.stringify(wrong));
  assert.match(wrong.error.message, /tokens .* expected/);
  const [, found] = /with the tokens \[([\d, ]+)\]/.exec(wrong.error.message);
  const tokens = found.split(", ").map(Number);
  assert.equal(weightRequests(), 0, "the weights are the same");

  publish((manifest) => (manifest.expected = ["none", ...kinds].map((quantize) => ({ prompt: PROMPT, quantize, tokens }))));
  server.files.set(`${MANIFEST}.sig`, Buffer.from("forged"));
  assert.equal((await update()).error?.code, "integrity");
  publish((manifest) => (manifest.expected = ["none", ...kinds].map((quantize) => ({ prompt: PROMPT, quantize, tokens }))));
  const right = await update();
  assert.equal(right.value?.status, "updated", JSON.stringify(right));
  server.fault = () => ({ status: 500 });
  assert.equal((await load(page, { publicKey: KEY })).value?.text, expected);
  await page.context().close();
});

test("the manifest's calibration counts where the application gives none, and one that makes no sense is said before the weights", async () => {
  publish();
  const page = await openPage();
  const ask = (options) => load(page, { store: "none", ...options });
  const { value: plain } = await ask({});
  assert.equal(plain.provenance.calibration, "uncalibrated");
  const entry = (threshold) => ({ model: plain.fingerprint, quantize: plain.quantize, task: "default", signal: "meanLogprob", threshold, alpha: 0.1, examples: 100, baseRisk: 0.2, deferralRate: 0.3 });
  publish((manifest) => (manifest.calibration = { thresholds: [entry(-9)] }));
  const said = await ask({});
  assert.equal(said.value?.provenance.calibration, "calibrated", JSON.stringify(said));
  assert.equal(said.value.provenance.threshold, -9);
  const { value: own } = await ask({ calibration: { thresholds: [entry(-8)] } });
  assert.equal(own.provenance.threshold, -8, "the application's own wins");

  publish((manifest) => (manifest.calibration = { thresholds: [{ ...entry(-9), alpha: 7 }] }));
  const { error } = await ask({});
  assert.equal(error?.code, "bad-model");
  assert.match(error.message, /calibration can't be used/);
  assert.equal(weightRequests(), 0);
  await page.context().close();
});
