import assert from "node:assert/strict";
import { test } from "node:test";

import { EyasError, fakeEngine, fakeWorker, Script } from "./fake_engine.mjs";
import internals from "./internals.mjs";

const { loadInto } = internals;
const gpu = { requestAdapter: async () => ({}) };
const code = (expected) => (error) => error instanceof EyasError && error.code === expected;

test("a chat answers, and its provenance says why this device", async () => {
  const { eyas } = await fakeEngine();
  const completion = await eyas.chat("hi");
  assert.equal(completion.text, "echo: user:hi");
  assert.equal(completion.provenance.deviceReason, "this browser offers no WebGPU in a worker");
  assert.equal(eyas.info.device.kind, "cpu");
});

test("progress reaches the caller", async () => {
  const seen = [];
  await fakeEngine(new Script(), { onProgress: (progress) => seen.push(progress) });
  assert.deepEqual(seen, [{ phase: "weights", loadedBytes: 1, totalBytes: 2, detail: "w" }]);
});

test("a string is a user message, { prompt } is raw text, messages stay as they are", async () => {
  const { eyas, script } = await fakeEngine();
  await eyas.chat("a");
  await eyas.chat({ prompt: "" });
  await eyas.chat([{ role: "system", content: "s" }, { role: "user", content: "u", name: "n" }]);
  const [first, second, third] = script.requests;
  assert.deepEqual(first.messages, [{ role: "user", content: "a" }]);
  assert.equal(second.prompt, "");
  assert.equal(third.messages[1].name, "n");
});

test("calls run one after another in the order in which they were made", async () => {
  const { eyas, script } = await fakeEngine();
  await Promise.all([eyas.chat("1"), eyas.chat("2"), eyas.stream("3").text()]);
  assert.deepEqual(script.log.filter((line) => line !== "free generation"), ["start user:1", "end user:1", "start user:2", "end user:2", "start user:3", "end user:3"]);
});

test("an abort rejects with the signal's own reason, stops within a token, and the engine goes on", async () => {
  const { eyas, script } = await fakeEngine();
  const controller = new AbortController();
  const reason = { mine: true };
  let seen = "";
  const stream = eyas.stream("a long request", { signal: controller.signal });
  await assert.rejects(async () => {
    for await (const delta of stream) {
      seen += delta;
      controller.abort(reason);
    }
  }, (error) => error === reason);
  assert.equal((await eyas.chat("next")).text, "echo: user:next");
  assert.ok(!script.log.includes("end user:a long request"));
  assert.ok(seen.length <= 2, seen);
});

test("an already aborted signal rejects at once without work", async () => {
  const { eyas, script } = await fakeEngine();
  await assert.rejects(eyas.chat("x", { signal: AbortSignal.abort("own") }), (error) => error === "own");
  assert.equal(script.requests.length, 0);
  await assert.rejects(loadInto(() => assert.fail("no worker"), { gpuWasm: "http://l/g", cpuWasm: "http://l/c" }, { model: "a/b", signal: AbortSignal.abort("own") }), (error) => error === "own");
});

test("a queued call that is aborted never runs", async () => {
  const { eyas, script } = await fakeEngine();
  const controller = new AbortController();
  const first = eyas.chat("first");
  const second = eyas.chat("second", { signal: controller.signal });
  controller.abort("no");
  await assert.rejects(second, (error) => error === "no");
  await first;
  await eyas.chat("third");
  assert.ok(!script.log.includes("start user:second"));
});

test("a load is aborted while it runs, and its worker is ended", async () => {
  const script = new Script();
  script.hang = true;
  const worker = fakeWorker(script, undefined);
  const controller = new AbortController();
  const loading = loadInto(() => worker, { gpuWasm: "http://l/g", cpuWasm: "http://l/c" }, { model: "a/b", signal: controller.signal, onProgress: () => controller.abort("stop") });
  await assert.rejects(loading, (error) => error === "stop");
  await new Promise((resolve) => setTimeout(resolve, 50));
  assert.equal(worker.isAlive(), false);
});

test("a load that does not end when told to is terminated after two seconds", async () => {
  const worker = fakeWorker(new Script(), { requestAdapter: () => new Promise(() => {}) });
  const loading = loadInto(() => worker, { gpuWasm: "http://l/g", cpuWasm: "http://l/c" }, { model: "a/b", signal: AbortSignal.timeout(10) });
  await assert.rejects(loading, { name: "TimeoutError" });
  assert.equal(worker.isAlive(), true);
  await new Promise((resolve) => setTimeout(resolve, 2100));
  assert.equal(worker.isAlive(), false);
});

test("dispose ends calls under way with aborted, later ones with bad-input, and can be repeated", async () => {
  const { eyas, worker, script } = await fakeEngine();
  const running = eyas.chat("running");
  const queued = eyas.chat("queued");
  const disposed = eyas.dispose();
  await assert.rejects(running, code("aborted"));
  await assert.rejects(queued, code("aborted"));
  await assert.rejects(eyas.chat("later"), code("bad-input"));
  await disposed;
  assert.equal(script.freed, 1);
  assert.equal(script.open, 0);
  assert.equal(worker.isAlive(), false);
  assert.equal(eyas.dispose(), disposed);
});

test("a panic rejects every waiting call and poisons the engine", async () => {
  const { eyas, worker, script } = await fakeEngine();
  script.hang = true;
  const running = eyas.chat("running");
  const queued = eyas.chat("queued");
  setTimeout(() => worker.host.panic("index out of bounds"), 20);
  await assert.rejects(running, (error) => code("internal")(error) && /index out of bounds/.test(error.message));
  await assert.rejects(queued, code("internal"));
  await assert.rejects(eyas.chat("later"), (error) => code("internal")(error) && /load the model again/.test(error.message));
  assert.equal(worker.isAlive(), false);
  await eyas.dispose();
});

test("error and messageerror events of the worker poison the engine", async () => {
  for (const type of ["error", "messageerror"]) {
    const { eyas, worker } = await fakeEngine();
    const running = eyas.chat("running");
    worker.emit(type, { message: "boom" });
    await assert.rejects(running, code("internal"));
    await assert.rejects(eyas.chat("later"), code("internal"));
  }
});

test("a trap inside a generation is a panic", async () => {
  const { eyas, script } = await fakeEngine();
  script.failNext = new WebAssembly.RuntimeError("unreachable");
  await assert.rejects(eyas.chat("x"), code("internal"));
});

test("an error of the engine keeps its code, and the engine goes on", async () => {
  const { eyas, script } = await fakeEngine();
  await assert.rejects(eyas.chat("x", { temperature: 666 }), code("context-overflow"));
  script.failNext = new EyasError("device-lost", "gone");
  await assert.rejects(eyas.chat("x"), (error) => code("device-lost")(error) && error.retryable);
  script.failNext = undefined;
  assert.equal((await eyas.chat("y")).text, "echo: user:y");
});

test("auto takes the CPU when the GPU fails, and says so; gpu does not", async () => {
  const script = new Script();
  script.failLoad = (kind) => (kind === "gpu" ? new EyasError("out-of-memory", "buffer too large") : undefined);
  const { eyas } = await fakeEngine(script, {}, gpu);
  assert.deepEqual(script.loads.map(({ kind }) => kind), ["gpu", "cpu"]);
  assert.equal(eyas.info.device.reason, "the GPU failed (out-of-memory: buffer too large)");
  await assert.rejects(fakeEngine(script, { device: "gpu" }, gpu), code("out-of-memory"));
  await assert.rejects(fakeEngine(script, { device: "gpu" }), code("webgpu-unavailable"));
  script.failLoad = () => new EyasError("bad-model", "no");
  script.loads.length = 0;
  await assert.rejects(fakeEngine(script, {}, gpu), code("bad-model"));
  assert.equal(script.loads.length, 1);
});

test("an input that can't be copied to the worker is bad-input, and the engine goes on", async () => {
  const { eyas } = await fakeEngine();
  await assert.rejects(eyas.chat([{ role: "user", content: "x", f: () => {} }]), code("bad-input"));
  assert.equal((await eyas.chat("y")).text, "echo: user:y");
});

test("a signal that is used often collects no listeners", async () => {
  const { eyas } = await fakeEngine();
  const { signal } = new AbortController();
  let listeners = 0;
  const { addEventListener, removeEventListener } = signal;
  signal.addEventListener = (...args) => ((listeners += 1), addEventListener.apply(signal, args));
  signal.removeEventListener = (...args) => ((listeners -= 1), removeEventListener.apply(signal, args));
  for (let i = 0; i < 5; i++) {
    await eyas.chat("x", { signal });
  }
  assert.equal(listeners, 0);
});
