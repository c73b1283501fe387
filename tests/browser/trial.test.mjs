// A newer version that breaks its worker in its load or in its first answer, though its trial went well: the version before comes back by itself.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { otherWeights, turnNorm } from "./other_weights.mjs";
import { startStoreLab, weights } from "./store_lab.mjs";
import { loadOnce, openStorePage } from "./store_page.mjs";

/**
 * In front of the worker: when it has written down for the n-th time that a version is tried, it breaks, as a panic in an async export looks from outside.
 * A load writes that once, and the first answer again.
 */
const breakAt = (n) => `
let marks = 0;
const { write, close } = FileSystemSyncAccessHandle.prototype;
let isMark = false;
FileSystemSyncAccessHandle.prototype.write = function (bytes, options) {
  isMark = /"tries":[1-9]/.test(new TextDecoder().decode(bytes.subarray(0, 1 << 16)));
  return write.call(this, bytes, options);
};
FileSystemSyncAccessHandle.prototype.close = function () {
  close.call(this);
  if (isMark) {
    isMark = false;
    marks += 1;
    if (marks === ${n}) {
      const { postMessage } = globalThis;
      globalThis.postMessage = (message) => message.type === "panic" && postMessage(message); // it says nothing more of what it computes
      void Promise.reject(new WebAssembly.RuntimeError("unreachable"));
    }
  }
};
`;

let lab;
let server;
let close;
let page;
const expected = {};
before(async () => {
  ({ lab, server, close } = await startStoreLab());
  page = await openStorePage(lab, server.origin);
  for (const [version, bytes] of [["first", weights], ["second", otherWeights("the second version", turnNorm)]]) {
    server.files.set("/nano/model.safetensors", bytes);
    server.files.set(`/${version}`, bytes);
    expected[version] = (await loadOnce(page, { store: "none" })).text;
  }
  assert.notEqual(expected.first, expected.second);
});
after(() => close());

/** Stores the first version, updates to the second one, and takes the server away. */
async function switchVersions() {
  server.reset();
  await page.evaluate(() => window.eyas.models.remove(window.address));
  server.files.set("/nano/model.safetensors", server.files.get("/first"));
  assert.equal((await loadOnce(page)).text, expected.first);
  server.files.set("/nano/model.safetensors", server.files.get("/second"));
  const { value, error } = await page.evaluate(() => window.outcome(window.eyas.models.update(window.address, { device: "cpu" })));
  assert.equal(value?.status, "updated", JSON.stringify(error));
  server.fault = () => ({ status: 500 });
}

const loadBroken = (n, options = {}) =>
  page.evaluate(
    async ([script, options]) => {
      const worker = URL.createObjectURL(new Blob([script, await (await fetch("/eyas/worker.js")).text()], { type: "text/javascript" }));
      return window.once({ assets: { worker, gpuWasm: "/eyas/eyas_gpu_bg.wasm", cpuWasm: "/eyas/eyas_cpu_bg.wasm" }, ...options });
    },
    [breakAt(n), options],
  );
const stored = async () => (await page.evaluate(() => window.eyas.models.list()))[0];

for (const [where, mark] of [["load", 1], ["first answer", 2]]) {
  test(`a new version whose worker breaks in its ${where} makes way for the one before, which answers`, async () => {
    await switchVersions();
    assert.equal((await stored()).hasPrevious, true);
    const seen = await loadBroken(mark);
    assert.equal(seen.text, expected.first, JSON.stringify(seen).slice(0, 300));
    const { hasPrevious, complete } = await stored();
    assert.deepEqual({ hasPrevious, complete }, { hasPrevious: false, complete: true });
    console.log(`  ${seen.storage.rolledBack}`);
    assert.match(seen.storage.rolledBack, /panicked.*unreachable/);
    assert.equal((await loadOnce(page)).text, expected.first);
  });
}

test("without recovery the error is told, and one try proves nothing against the new version", async () => {
  for (const mark of [1, 2]) {
    await switchVersions();
    assert.equal((await loadBroken(mark, { recover: false })).code, "internal");
    const next = await loadOnce(page);
    assert.equal(next.text, expected.second, JSON.stringify(next).slice(0, 300));
    assert.equal(next.storage.rolledBack, null);
  }
});
