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

/**
 * The log-probabilities of the most probable first tokens behind some beginnings of the story, by id; what an answer says, with guesses and without, and the
 * device's name. `front` goes before the worker's own text.
 */
function firstTokens(page, options, front = "") {
  return page.evaluate(async ([options, story, front]) => {
    const text = await (await fetch("/eyas/worker.js")).text();
    const asset = (name) => new URL(`/eyas/${name}`, location.href).href;
    const assets = { worker: URL.createObjectURL(new Blob([front, text], { type: "text/javascript" })), gpuWasm: asset("eyas_gpu_bg.wasm"), cpuWasm: asset("eyas_cpu_bg.wasm") };
    const { load } = front ? await import("/eyas/slim.js") : window.eyas;
    const eyas = await load({ model: `${window.models}/stories/`, device: "cpu", store: "none", ...options, ...(front && { assets }) });
    const firsts = [];
    for (const length of [20, 45, 80, story.length]) {
      const { logprobs } = await eyas.chat({ prompt: story.slice(0, length) }, { maxTokens: 1, logprobs: true, topLogprobs: 8 });
      firsts.push(Object.fromEntries(logprobs[0].top.map(({ id, logprob }) => [id, logprob])));
    }
    const said = [];
    let drafted;
    for (const promptLookupTokens of [0, 8]) {
      const { logprobs, usage } = await eyas.chat({ prompt: `${story} ${story}` }, { maxTokens: 32, logprobs: true, promptLookupTokens });
      drafted = usage.draftedTokens;
      said.push(logprobs.map(({ id, logprob }) => [id, logprob]));
    }
    const { name } = eyas.info.device;
    await eyas.dispose();
    return { name, firsts, said, drafted };
  }, [options, STORY, front]);
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
  assert.match(relaxed.name, /^CPU \(WASM relaxed SIMD, (quads|pairs)\)$/);
  assert.equal(base.name, "CPU (WASM SIMD)");
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

test("whichever instruction suits the processor, the log-probabilities are the same", async (t) => {
  if (!haveStories) return t.skip(NO_STORIES);
  const page = await lab.page();
  if (!(await hasRelaxedSimd(page))) return t.skip(NO_RELAXED_SIMD);
  // The module's own answer on what suits this processor is replaced.
  const prefers = (pairs) => `{ const { Instance } = WebAssembly; WebAssembly.Instance = new Proxy(Instance, { construct(target, given) {
    const made = new target(...given), { prefers_pairs } = made.exports; if (!prefers_pairs) return made;
    return { exports: { ...made.exports, prefers_pairs: (...bytes) => { if (bytes.join() !== "127,255") throw new Error("other bytes"); return ${pairs}; } } }; } }); }`;
  const [quads, pairs, own] = [await firstTokens(page, { quantize: "q4" }, prefers(0)), await firstTokens(page, { quantize: "q4" }, prefers(1)), await firstTokens(page, { quantize: "q4" }, prefers("prefers_pairs(...bytes)"))];
  assert.deepEqual([quads.name, pairs.name], ["CPU (WASM relaxed SIMD, quads)", "CPU (WASM relaxed SIMD, pairs)"]);
  assert.ok(quads.drafted > 0, `${quads.drafted} tokens were guessed`);
  assert.deepEqual(quads.said[1], quads.said[0], "guesses change nothing");
  assert.deepEqual({ ...pairs, name: quads.name }, quads);
  const plain = await firstTokens(page, { quantize: "q4" });
  assert.deepEqual(plain, own);
  assert.deepEqual({ ...plain, name: quads.name }, quads);
  await page.close();
});

test("without relaxed SIMD its module is not even compiled", async (t) => {
  if (!haveStories) return t.skip(NO_STORIES);
  const page = await lab.page();
  const refuse = `{ const { Module } = WebAssembly; WebAssembly.Module = new Proxy(Module, { construct(target, [bytes]) {
    if (bytes.byteLength < 65536) self.close(); return new target(bytes); } }); }`;
  assert.equal((await firstTokens(page, { quantize: "q4", relaxedSimd: false }, refuse)).name, "CPU (WASM SIMD)");
  await page.close();
});

test("a browser that can't compile the module with the kernels goes on without it", async (t) => {
  if (!haveStories) return t.skip(NO_STORIES);
  const page = await lab.page();
  const refuse = `{ const { Module } = WebAssembly; WebAssembly.Module = new Proxy(Module, { construct(target, [bytes]) {
    if (bytes.byteLength < 65536) throw new WebAssembly.CompileError("no relaxed SIMD here"); return new target(bytes); } }); }`;
  const refused = await firstTokens(page, { quantize: "q4" }, refuse);
  const base = await firstTokens(page, { quantize: "q4", relaxedSimd: false });
  assert.deepEqual(refused, base);
  await page.close();
});
