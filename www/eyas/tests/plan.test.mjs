// The page's and the worker's half of a plan; what a model takes is computed in the module.
import assert from "node:assert/strict";
import { test } from "node:test";

import { EyasError, fakeEngine, fakeWorker, Script } from "./fake_engine.mjs";
import internals from "./internals.mjs";

const { planIn } = internals;
const cloud = { endpoint: "https://models.example/v1", model: "big" };
const limits = { maxBufferSize: 500, maxStorageBufferBindingSize: 300 };
const gpu = { requestAdapter: async () => ({ info: { vendor: "fake" }, limits }) };

async function planned(script, options = {}, device = gpu) {
  const workers = [];
  const start = () => {
    workers.push(fakeWorker(script, device));
    return workers.at(-1);
  };
  try {
    return await planIn(start, "http://localhost/cpu.wasm", { model: "https://example.test/m/", ...options });
  } finally {
    for (let waits = 0; workers.some((worker) => worker.isAlive()); waits += 1) {
      assert.ok(waits < 10_000, "a plan ends its worker");
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
  }
}

test("a plan asks the module with the device's limits and the application's budget, and loads nothing", async () => {
  const script = new Script();
  const plan = await planned(script, { quantize: "q8", budget: { memoryBytes: 1000, downloadBytes: 50 }, cloud });
  assert.deepEqual([plan.answerer, plan.code, plan.asked.quantize], ["local", null, "q8"]);
  const [[source, options, device, budget, cloudAllowed]] = script.planned;
  assert.equal(source.url, "https://example.test/m/");
  assert.deepEqual([options.quantize, device, cloudAllowed], ["q8", "gpu", true]);
  assert.deepEqual([budget.memoryBytes, budget.downloadBytes, budget.largestBufferBytes], [1000, 50, 300]);
  assert.deepEqual(script.loads, []);
  await planned(script, { device: "cpu", cloud, privacy: "local-only" });
  assert.deepEqual([script.planned[1][2], script.planned[1][3].largestBufferBytes, script.planned[1][4]], ["cpu", undefined, false]);
  await planned(script, { device: "cpu" });
  assert.equal(script.planned[2][4], false);
});

test("a plan is told of the mark that a load of the same kind has left, and leaves it", async () => {
  const key = "eyas-loading:https://example.test/m/ cpu q8 64";
  const kept = new Map([[key, "0"]]);
  const localStorage = { getItem: (key) => kept.get(key) ?? null, setItem: (key, text) => kept.set(key, text), removeItem: (key) => kept.delete(key) };
  Object.defineProperty(globalThis, "localStorage", { value: localStorage, configurable: true });
  try {
    const script = new Script();
    await planned(script, { device: "cpu", quantize: "q8", contextTokens: 64 });
    await planned(script, { device: "cpu", quantize: "q4", contextTokens: 64 });
    assert.deepEqual(script.planned.map((given) => given[8]), ["0", undefined]);
    assert.deepEqual([...kept], [[key, "0"]]);
  } finally {
    delete globalThis.localStorage;
  }
});

test("where no device or no model is to be had, the plan says who would answer, and why", async () => {
  const missing = new Script();
  missing.plan = () => {
    throw new EyasError("model-not-found", "there is no such model");
  };
  for (const [script, options, code] of [
    [new Script(), { device: "gpu" }, "webgpu-unavailable"],
    [missing, { device: "cpu" }, "model-not-found"],
  ]) {
    for (const [tier, answerer] of [[{}, "nobody"], [{ cloud }, "cloud"], [{ cloud, privacy: "local-only" }, "nobody"]]) {
      const plan = await planned(script, { ...options, ...tier }, null);
      const { detail, ...rest } = plan;
      assert.deepEqual(rest, { asked: null, wouldFit: [], answerer, code, matrices: [] });
      assert.match(detail, /the cloud would answer|nobody would answer/);
      assert.equal(detail.includes("the cloud"), answerer === "cloud");
    }
  }
});

test("wrong arguments, an abort and a broken module are no plan", async () => {
  const script = new Script();
  await assert.rejects(planned(script, { quantize: "q3" }), { code: "bad-input" });
  script.plan = () => {
    throw new EyasError("bad-input", "no such context");
  };
  await assert.rejects(planned(script, { cloud }), { code: "bad-input" });
  script.plan = () => {
    throw new WebAssembly.RuntimeError("unreachable");
  };
  await assert.rejects(planned(script, { cloud }), { code: "internal" });
  const controller = new AbortController();
  script.plan = () => {
    controller.abort("enough");
    throw new EyasError("download-failed", "cut off");
  };
  await assert.rejects(planned(script, { cloud, signal: controller.signal }), (reason) => reason === "enough");
});

test("a load within its budget goes on though the storage is full, and one beyond it is over-budget", async () => {
  const excess = (bound) => ({ bound, limitBytes: 1, needBytes: 2 });
  for (const [bound, code] of [["storageBytes", undefined], ["memoryBytes", "over-budget"], ["downloadBytes", "over-budget"]]) {
    const script = new Script();
    script.plan = () => ({ asked: { excesses: [excess(bound)] }, detail: `${bound} is 1` });
    const loading = fakeEngine(script, { budget: { memoryBytes: 10 } });
    if (code) {
      await assert.rejects(loading, { code, message: `${bound} is 1` });
    } else {
      await (await loading).eyas.dispose();
    }
    assert.equal(script.loads.length, code ? 0 : 1, bound);
  }
});
