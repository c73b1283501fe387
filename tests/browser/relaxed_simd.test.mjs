// The kernels for relaxed SIMD beside those of base SIMD: what says which, and how far their answers are from each other.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { hasRelaxedSimd, haveStories, NO_RELAXED_SIMD, NO_STORIES, startLab } from "./chromium.mjs";

let lab;
before(async () => {
  lab = await startLab();
});
after(() => lab.close());

const STORY = "Once upon a time, there was a little girl named Lily. She loved to play outside in the park. One day,";

/** The log-probabilities of the most probable first tokens behind some beginnings of the story, by id, and the device's name. */
function firstTokens(page, options) {
  return page.evaluate(async ([options, story]) => {
    const eyas = await window.eyas.load({ model: `${window.models}/stories/`, device: "cpu", store: "none", ...options });
    const firsts = [];
    for (const length of [20, 45, 80, story.length]) {
      const { logprobs } = await eyas.chat({ prompt: story.slice(0, length) }, { maxTokens: 1, logprobs: true, topLogprobs: 8 });
      firsts.push(Object.fromEntries(logprobs[0].top.map(({ id, logprob }) => [id, logprob])));
    }
    const { name } = eyas.info.device;
    await eyas.dispose();
    return { name, firsts };
  }, [options, STORY]);
}

/** The root mean square of the differences between log-probabilities that both have. */
function distance({ firsts: some }, { firsts: others }) {
  const differences = some.flatMap((first, index) => Object.entries(first).filter(([id]) => id in others[index]).map(([id, logprob]) => logprob - others[index][id]));
  assert.ok(differences.length >= 3 * some.length, `${differences.length} of the eight most probable tokens are the same`);
  return Math.sqrt(differences.reduce((sum, difference) => sum + difference ** 2, 0) / differences.length);
}

test("4-bit weights have nearly the same logits with relaxed SIMD and without it, and the device's name says which", async (t) => {
  if (!haveStories) return t.skip(NO_STORIES);
  const page = await lab.page();
  if (!(await hasRelaxedSimd(page))) return t.skip(NO_RELAXED_SIMD);
  const relaxed = await firstTokens(page, { quantize: "q4" });
  const base = await firstTokens(page, { quantize: "q4", relaxedSimd: false });
  const exact = await firstTokens(page, { quantize: "none" });
  assert.deepEqual([relaxed.name, base.name], ["CPU (WASM relaxed SIMD)", "CPU (WASM SIMD)"]);
  assert.notDeepEqual(relaxed.firsts, base.firsts, "they round differently");
  const [apart, byQuantisation] = [distance(relaxed, base), distance(exact, base)];
  console.log(`log-probabilities are ${apart.toFixed(3)} apart (root mean square), and ${byQuantisation.toFixed(3)} from those of unquantised weights`);
  assert.ok(apart < byQuantisation / 2, `${apart} and ${byQuantisation}`);
  await page.close();
});

test("weights of other kinds are multiplied alike with relaxed SIMD and without it", async (t) => {
  if (!haveStories) return t.skip(NO_STORIES);
  const page = await lab.page();
  for (const quantize of ["none", "q8"]) {
    const relaxed = await firstTokens(page, { quantize });
    const base = await firstTokens(page, { quantize, relaxedSimd: false });
    assert.deepEqual(relaxed.firsts, base.firsts, quantize);
  }
  await page.close();
});

test("a browser that can't compile the module with the kernels goes on without it", async (t) => {
  if (!haveStories) return t.skip(NO_STORIES);
  // The bytes are compiled in the worker, so its own text gets a line in front.
  const page = await lab.page();
  const name = await page.evaluate(async () => {
    const refuse = `{ const { Module } = WebAssembly; WebAssembly.Module = new Proxy(Module, { construct(target, [bytes]) {
      if (bytes.byteLength < 65536) throw new WebAssembly.CompileError("no relaxed SIMD here"); return new target(bytes); } }); }`;
    const text = await (await fetch("/eyas/worker.js")).text();
    const worker = URL.createObjectURL(new Blob([refuse, text], { type: "text/javascript" }));
    const slim = await import("/eyas/slim.js");
    const assets = { worker, gpuWasm: new URL("/eyas/eyas_gpu_bg.wasm", location.href).href, cpuWasm: new URL("/eyas/eyas_cpu_bg.wasm", location.href).href };
    const eyas = await slim.load({ model: `${window.models}/stories/`, device: "cpu", quantize: "q4", store: "none", assets });
    const { text: answer } = await eyas.chat({ prompt: "Once upon a time" }, { maxTokens: 8 });
    const { name } = eyas.info.device;
    await eyas.dispose();
    return [name, answer.length > 0];
  });
  assert.deepEqual(name, ["CPU (WASM SIMD)", true]);
  await page.close();
});
