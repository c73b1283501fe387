// An abort in every phase rejects with the signal's own reason, and what comes next works.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { hasGpu, startLab } from "./chromium.mjs";

let lab;
let devices;
before(async () => {
  lab = await startLab();
  devices = (await hasGpu(lab)) ? ["gpu", "cpu"] : ["cpu"];
});
after(() => lab.close());

/** Loads and aborts when `when` (a function of the progress, as text) says so; then loads in peace and answers. */
async function abortLoad(page, device, model, when) {
  return page.evaluate(
    async ([device, model, when]) => {
      const controller = new AbortController();
      const reason = new Error("mine");
      const source = model === "nano" ? window.nano : `${window.models}${model}`;
      const condition = when && new Function("p", `return ${when}`);
      const phases = [];
      if (!condition) controller.abort(reason);
      let abortedAt;
      const onProgress = (progress) => {
        phases.push(progress.phase);
        if (condition?.(progress) && !controller.signal.aborted) {
          abortedAt = performance.now();
          controller.abort(reason);
        }
      };
      const error = await window.eyas.load({ model: source, device, signal: controller.signal, onProgress }).then(() => "loaded", (error) => error);
      const tookMs = abortedAt === undefined ? 0 : performance.now() - abortedAt;
      const eyas = await window.eyas.load({ model: window.nano, device });
      const { text } = await eyas.chat("play jazz", { maxTokens: 4 });
      await eyas.dispose();
      return { own: error === reason, error: String(error), tookMs, text, phases: [...new Set(phases)] };
    },
    [device, model, when],
  );
}

for (const device of ["gpu", "cpu"]) {
  const cases = [
    ["before it begins", "nano", undefined],
    ["while the module is fetched", "nano", 'p.phase === "start"'],
    ["while the configuration is read", "nano", 'p.phase === "inspect"'],
    ["while weights are read", "nano", 'p.phase === "weights" && p.loadedBytes > 0'],
    ["while a slow download runs", "/slow@model.safetensors/nano/", 'p.phase === "weights" && p.loadedBytes > 0'],
    ["while it warms up", "nano", 'p.phase === "warm-up"'],
  ];
  for (const [name, model, when] of cases) {
    test(`a load on the ${device} is aborted ${name}`, async (t) => {
      if (!devices.includes(device)) return t.skip("this Chromium has no WebGPU adapter");
      const page = await lab.page();
      const seen = await abortLoad(page, device, model, when);
      assert.ok(seen.own, `${seen.error}, phases ${seen.phases}`);
      assert.ok(seen.tookMs < 500, `rejected after ${seen.tookMs} ms`);
      assert.ok(seen.text.length > 0);
      await page.close();
    });
  }

  test(`a generation on the ${device} is aborted in prefill and in decode`, async (t) => {
    if (!devices.includes(device)) return t.skip("this Chromium has no WebGPU adapter");
    const page = await lab.page();
    const seen = await page.evaluate(async (device) => {
      const eyas = await window.eyas.load({ model: window.nano, device, prefillChunkTokens: 4 });
      const request = "book a table for two at an italian bistro in san francisco for tomorrow evening at eight please";
      const expected = (await eyas.chat(request, { maxTokens: 60 })).text;
      const run = async (stopAt) => {
        const controller = new AbortController();
        const reason = { stopAt };
        let deltas = 0;
        let prefills = 0;
        const stop = () => controller.abort(reason);
        const other = eyas.chat("hello there", { maxTokens: 1 }); // so that the request's own prefix is not cached
        await other;
        const stream = eyas.stream(request, { maxTokens: 60, signal: controller.signal, onPrefill: () => ++prefills === 2 && stopAt === "prefill" && stop() });
        const error = await (async () => {
          for await (const _ of stream) if (++deltas === 3 && stopAt === "decode") stop();
        })().then(() => "finished", (error) => error);
        const after = await eyas.chat(request, { maxTokens: 60 });
        return { own: error === reason, error: String(error), deltas, prefills, same: after.text === expected };
      };
      const result = { prefill: await run("prefill"), decode: await run("decode") };
      await eyas.dispose();
      return result;
    }, device);
    assert.ok(seen.prefill.own, JSON.stringify(seen.prefill));
    assert.equal(seen.prefill.deltas, 0);
    assert.ok(seen.decode.own, JSON.stringify(seen.decode));
    assert.ok(seen.decode.deltas <= 4, JSON.stringify(seen.decode));
    assert.ok(seen.prefill.same && seen.decode.same, "the next answer differs from one without an abort");
    await page.close();
  });
}

test("the page never waits: its own timers run while a model works", async () => {
  const page = await lab.page();
  const worst = await page.evaluate(async () => {
    const eyas = await window.eyas.load({ model: window.nano, device: "cpu" });
    let worst = 0;
    let last = performance.now();
    const timer = setInterval(() => {
      worst = Math.max(worst, performance.now() - last);
      last = performance.now();
    }, 5);
    for (let i = 0; i < 5; i++) await eyas.chat("play some jazz by miles davis", { maxTokens: 40 });
    clearInterval(timer);
    await eyas.dispose();
    return worst;
  });
  console.log(`longest pause of the page's timer: ${worst.toFixed(0)} ms`);
  assert.ok(worst < 300, `${worst} ms`);
  await page.close();
});
