// Engines side by side, one after another, and after their end.
import assert from "node:assert/strict";
import { statSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";

import { dist, hasGpu, launch, startLab } from "./chromium.mjs";

let lab;
let device;
before(async () => {
  lab = await startLab();
  device = (await hasGpu(lab)) ? "gpu" : "cpu";
});
after(() => lab.close());

test("two loads at once give two engines that do not disturb each other", async () => {
  const page = await lab.page();
  const seen = await page.evaluate(async (device) => {
    const [one, two] = await Promise.all([window.eyas.load({ model: window.nano, device }), window.eyas.load({ model: window.nano, device: "cpu" })]);
    const [first, second] = await Promise.all([one.chat("play jazz", { maxTokens: 40 }), two.chat("play jazz", { maxTokens: 40 })]);
    await one.dispose();
    const after = await two.chat("play jazz", { maxTokens: 40 });
    await two.dispose();
    return { devices: [one.info.device.kind, two.info.device.kind], texts: [first.text, second.text, after.text] };
  }, device);
  assert.deepEqual(seen.devices, [device, "cpu"]);
  assert.equal(new Set(seen.texts).size, 1, seen.texts.join("\n"));
  await page.close();
});

test("a load while another engine generates, and a load that fails beside one that does not", async () => {
  const page = await lab.page();
  const seen = await page.evaluate(async () => {
    const one = await window.eyas.load({ model: window.nano, device: "cpu" });
    const answering = one.chat("book a table for two tomorrow", { maxTokens: 60 });
    const [two, failed, answer] = await Promise.all([
      window.eyas.load({ model: window.nano, device: "cpu" }),
      window.outcome(window.eyas.load({ model: `${window.models}/404/nano/`, device: "cpu" })),
      answering,
    ]);
    const again = await two.chat("book a table for two tomorrow", { maxTokens: 60 });
    await Promise.all([one.dispose(), two.dispose()]);
    return { failed, same: again.text === answer.text };
  });
  assert.equal(seen.failed.error.code, "model-not-found");
  assert.ok(seen.same);
  await page.close();
});

test("calls on one engine run in order, and a queued one can be aborted", async () => {
  const page = await lab.page();
  const seen = await page.evaluate(async () => {
    const eyas = await window.eyas.load({ model: window.nano, device: "cpu" });
    const order = [];
    const controller = new AbortController();
    const calls = [1, 2, 3].map((n) => window.outcome(eyas.chat("play jazz", { maxTokens: 20, signal: n === 2 ? controller.signal : undefined }).finally(() => order.push(n))));
    controller.abort("not this one");
    const outcomes = await Promise.all(calls);
    await eyas.dispose();
    return { order, outcomes: outcomes.map((outcome) => outcome.error?.message ?? "ok") };
  });
  assert.deepEqual(seen, { order: [2, 1, 3], outcomes: ["ok", "not this one", "ok"] });
  await page.close();
});

test("dispose while a call runs, calls after it, and disposing twice", async () => {
  const page = await lab.page();
  const seen = await page.evaluate(async (device) => {
    const eyas = await window.eyas.load({ model: window.nano, device });
    const session = eyas.session();
    const running = window.outcome(eyas.chat("play jazz", { maxTokens: 60 }));
    const disposed = eyas.dispose();
    const codes = { running: (await running).error?.code, same: eyas.dispose() === disposed };
    await disposed;
    codes.chat = (await window.outcome(eyas.chat("x"))).error?.code;
    codes.session = (await window.outcome(session.send("x"))).error?.code;
    codes.memory = (await window.outcome(eyas.memory())).error?.code;
    const next = await window.eyas.load({ model: window.nano, device });
    codes.next = (await next.chat("play jazz", { maxTokens: 2 })).text.length > 0;
    await next.dispose();
    return codes;
  }, device);
  assert.deepEqual(seen, { running: "aborted", same: true, chat: "bad-input", session: "bad-input", memory: "bad-input", next: true });
  await page.close();
});

test("a session remembers, reuses its cache, and a fork goes on alone", async () => {
  const page = await lab.page();
  for (const kind of [device, "cpu"]) {
    const seen = await page.evaluate(async (device) => {
      const eyas = await window.eyas.load({ model: window.nano, device });
      const session = eyas.session();
      const first = await session.send("play jazz", { maxTokens: 30 });
      const fork = await session.fork();
      const [b, c] = [await fork.send("will it rain in oslo", { maxTokens: 30 }), await session.send("play rock", { maxTokens: 30 })];
      const fresh = eyas.session({ messages: session.messages.slice(0, 2) });
      const d = await fresh.send("play rock", { maxTokens: 30 });
      const repeated = await eyas.chat("play rock", { maxTokens: 30 });
      const cached = await eyas.chat("play rock", { maxTokens: 30 });
      await eyas.dispose();
      return { first: first.text, b: b.text, c: c.text, d: d.text, messages: session.messages.length, cached: cached.usage.cachedTokens, same: cached.text === repeated.text };
    }, kind);
    assert.equal(seen.messages, 4);
    assert.equal(seen.c, seen.d);
    assert.notEqual(seen.b, seen.c);
    assert.ok(seen.cached > 0, `cached ${seen.cached}`);
    assert.ok(seen.same);
  }
  await page.close();
});

test("slim takes the caller's assets, and a worker that is not there is internal, not silence", async () => {
  const page = await lab.page();
  const seen = await page.evaluate(async () => {
    const assets = { worker: "/eyas/worker.js", gpuWasm: "/eyas/eyas_gpu_bg.wasm", cpuWasm: "/eyas/eyas_cpu_bg.wasm" };
    const eyas = await window.slim.load({ model: window.nano, device: "cpu", assets });
    const { text } = await eyas.chat("play jazz", { maxTokens: 3 });
    await eyas.dispose();
    const load = (changed) => window.outcome(window.slim.load({ model: window.nano, device: "cpu", assets: { ...assets, ...changed } }));
    return {
      text,
      noWorker: (await load({ worker: "/nowhere/worker.js" })).error?.code,
      noWasm: (await load({ cpuWasm: "/nowhere.wasm" })).error?.code,
      pageForWasm: (await load({ cpuWasm: "/" })).error?.code,
      noAssets: (await window.outcome(window.slim.load({ model: window.nano }))).error?.code,
    };
  });
  assert.ok(seen.text.length > 0);
  assert.deepEqual([seen.noWorker, seen.noWasm, seen.pageForWasm, seen.noAssets], ["internal", "download-failed", "download-failed", "bad-input"]);
  await page.close();
});

test("a module is compiled whatever its server calls it and however it is packed, and its bytes are counted to the end", async () => {
  const page = await lab.page();
  const { size } = statSync(join(dist, "eyas_cpu_bg.wasm"));
  const load = (cpuWasm, isAborted) => page.evaluate(async ([cpuWasm, isAborted]) => {
    const starts = [];
    const controller = new AbortController();
    const assets = { worker: "/eyas/worker.js", gpuWasm: "/eyas/eyas_gpu_bg.wasm", cpuWasm };
    const onProgress = ({ phase, loadedBytes, totalBytes }) => {
      if (phase === "start") {
        starts.push([loadedBytes, totalBytes]);
        isAborted && controller.abort();
      }
    };
    const { error } = await window.outcome(window.slim.load({ model: window.nano, device: "cpu", assets, onProgress, signal: controller.signal }).then((eyas) => eyas.dispose()));
    return { code: error?.code, name: error?.name, starts };
  }, [cpuWasm, isAborted]);
  for (const [mode, total] of [["", size], ["/norange", size], ["/gzip", 0]]) {
    const { code, starts } = await load(`${mode}/eyas/eyas_cpu_bg.wasm`);
    assert.equal(code, undefined, mode);
    assert.deepEqual(starts.at(-1), [size, total], mode);
    assert.ok(starts.every(([bytes], index) => index === 0 || bytes > starts[index - 1][0]), JSON.stringify(starts));
  }
  for (const mode of ["/cut", "/truncated", "/empty", "/html", "/404", "/500"]) {
    assert.equal((await load(`${mode}/eyas/eyas_cpu_bg.wasm`)).code, "download-failed", mode);
  }
  const { name, starts } = await load("/slow/eyas/eyas_cpu_bg.wasm", true);
  assert.equal(name, "AbortError");
  assert.ok(starts.at(-1)[0] < size / 2, JSON.stringify(starts));
  assert.equal((await load("/norange/eyas/eyas_cpu_bg.wasm")).code, undefined);
  await page.close();
});

test("without WebGPU auto takes the CPU and says why, and gpu is refused", async () => {
  const browser = await launch({ gpu: false });
  const page = await browser.newPage();
  await page.goto(`${lab.app.origin}/`);
  await page.waitForFunction("window.ready");
  const seen = await page.evaluate(async () => {
    const eyas = await window.eyas.load({ model: window.nano });
    const error = await window.eyas.load({ model: window.nano, device: "gpu" }).catch((error) => error);
    const { provenance } = await eyas.chat("play jazz", { maxTokens: 2 });
    await eyas.dispose();
    return { device: eyas.info.device, code: error.code, provenance };
  });
  assert.equal(seen.device.kind, "cpu");
  assert.match(seen.device.reason, /WebGPU/);
  assert.match(seen.provenance.deviceReason, /WebGPU/);
  assert.equal(seen.code, "webgpu-unavailable");
  console.log(`without WebGPU: ${seen.device.name}, because ${seen.device.reason}`);
  await browser.close();
});
