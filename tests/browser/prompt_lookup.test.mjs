// Guessed tokens change nothing of an answer but its time: in the SIMD kernels too, every log-probability is the same to the last bit; on a GPU, where only
// tokens are read back, every token.
import assert from "node:assert/strict";
import { join } from "node:path";
import { after, before, test } from "node:test";

import { hasGpu, haveStories, NO_STORIES, root, SOFTWARE_TUNING, startLab } from "./chromium.mjs";
import { startFileServer } from "./file_server.mjs";

let lab;
let gpu;
let goldens;
before(async () => {
  lab = await startLab();
  gpu = await hasGpu(lab);
  goldens = await startFileServer({ goldens: join(root, "tests/goldens") });
});
after(() => Promise.all([lab.close(), goldens.close()]));

const STORY = "Once upon a time, there was a little girl named Lily. She loved to play outside in the park. One day, Lily saw a big dog. ";

for (const [quantize, relaxedSimd] of [["none", true], ["q8", true], ["q4", true], ["q4", false]]) {
  test(`stories260K at ${quantize}${relaxedSimd ? "" : " without relaxed SIMD"}: the same tokens and log-probabilities with and without guesses`, async (t) => {
    if (!haveStories) return t.skip(NO_STORIES);
    const page = await lab.page();
    const seen = await page.evaluate(async ([quantize, relaxedSimd, story]) => {
      const eyas = await window.eyas.load({ model: `${window.models}/stories/`, device: "cpu", quantize, relaxedSimd, store: "none" });
      const rows = [];
      for (const [prompt, sampling] of [[story, {}], [story + story, {}], [story + story, { temperature: 0.8, topK: 5, seed: 3 }], [story, { repetitionPenalty: 1.1 }]]) {
        const ask = (promptLookupTokens) => eyas.chat({ prompt }, { maxTokens: 120, logprobs: true, topLogprobs: 2, ...sampling, ...(promptLookupTokens === undefined ? {} : { promptLookupTokens }) });
        const completions = [];
        for (const most of [0, undefined, 2, 15]) completions.push(await ask(most));
        rows.push(completions.map(({ text, tokenIds, logprobs, usage }) => ({ text, tokenIds, logprobs, usage })));
      }
      const refused = await eyas.chat({ prompt: story }, { promptLookupTokens: 16 }).catch((error) => error.code);
      await eyas.dispose();
      return { rows, refused };
    }, [quantize, relaxedSimd, STORY]);
    let accepted = 0;
    for (const [plain, ...guessed] of seen.rows) {
      assert.deepEqual([plain.usage.draftedTokens, plain.usage.acceptedTokens], [0, 0]);
      assert.equal(plain.logprobs.length, 120);
      for (const { text, tokenIds, logprobs, usage } of guessed) {
        assert.deepEqual([text, tokenIds, logprobs], [plain.text, plain.tokenIds, plain.logprobs]);
        assert.ok(usage.acceptedTokens <= usage.draftedTokens, JSON.stringify(usage));
        accepted += usage.acceptedTokens;
      }
    }
    assert.ok(accepted > 0, "some guesses came true");
    assert.equal(seen.refused, "bad-input");
    await page.close();
  });
}

/** Behind these prompts models of random weights repeat themselves. */
const again = (word) => `w${word} w${word + 1} w${word} w${word + 1} w${word}`;
const WINDOWED = [["family-gemma2-capped", again(54)], ["family-gemma3-sixth", again(50)]];
const REPEATED = "a b c d e f ".repeat(2);
const golden = (name) => `${goldens.origin}/goldens/${name}/`;

test("on the CPU, models with windows say the same with and without guesses, to the last bit", async () => {
  const page = await lab.page();
  let accepted = 0;
  for (const [name, prompt] of WINDOWED) {
    const [plain, ...guessed] = await page.evaluate(async ([model, prompt]) => {
      const eyas = await window.eyas.load({ model, device: "cpu", prefillChunkTokens: 9, store: "none" });
      const completions = [];
      for (const promptLookupTokens of [0, 7, 2]) {
        completions.push(await eyas.chat({ prompt }, { maxTokens: 60, logprobs: true, topLogprobs: 2, promptLookupTokens }));
      }
      await eyas.dispose();
      return completions;
    }, [golden(name), prompt]);
    for (const { tokenIds, logprobs, usage } of guessed) {
      assert.deepEqual([tokenIds, logprobs], [plain.tokenIds, plain.logprobs], name);
      accepted += usage.acceptedTokens;
    }
  }
  assert.ok(accepted > 0, "some guesses came true");
  await page.close();
});

/** Answers on a GPU with at most so many guessed tokens each, one after the other in one session. */
const answersOnGpu = (page, options) =>
  page.evaluate(async ({ model, fault, tuning, quantize = "none", prompt, maxTokens, mosts }) => {
    const channel = new BroadcastChannel("gpu-meter");
    const assets = fault ? { ...window.even, worker: `/metered/miscomputing-${fault}.js` } : window.even;
    const eyas = await window.slim.load({ model: model ?? `${window.models}/stories/`, device: "gpu", quantize, tuning, prefillChunkTokens: 16, store: "none", assets });
    const answers = [];
    for (const promptLookupTokens of mosts) {
      // The meter speaks before every message of the worker: one sample a token.
      const samples = [];
      channel.onmessage = ({ data }) => samples.push(data);
      const { text, tokenIds, usage } = await eyas.chat({ prompt }, { maxTokens, promptLookupTokens });
      await new Promise((resolve) => setTimeout(resolve, 50));
      answers.push({ text, tokenIds, usage, samples: samples.slice(-(tokenIds.length + 1), -1) });
    }
    await eyas.dispose();
    return answers;
  }, { tuning: SOFTWARE_TUNING, ...options });

const ON_GPU = [
  ...["none", "q8", "q4"].map((quantize) => ["stories260K", quantize, STORY + STORY]),
  ...WINDOWED.map(([name, prompt]) => [name, "none", prompt]),
  ["family-qwen3-tied", "q4", REPEATED],
  ["family-olmo2-grouped", "none", again(6)],
];
for (const [name, quantize, prompt] of ON_GPU) {
  test(`${name} at ${quantize} on the GPU: the same tokens with and without guesses`, async (t) => {
    if (!gpu) return t.skip("this Chromium has no WebGPU adapter");
    const isStories = name === "stories260K";
    if (isStories && !haveStories) return t.skip(NO_STORIES);
    const page = await lab.page();
    const model = isStories ? undefined : golden(name);
    const [plain, ...guessed] = await answersOnGpu(page, { model, quantize, prompt, maxTokens: isStories ? 200 : 60, mosts: [0, undefined, 3, 15] });
    assert.deepEqual([plain.usage.draftedTokens, plain.usage.acceptedTokens], [0, 0]);
    for (const { text, tokenIds, usage } of guessed) {
      assert.deepEqual([text, tokenIds], [plain.text, plain.tokenIds]);
      assert.ok(usage.acceptedTokens <= usage.draftedTokens, JSON.stringify(usage));
      // Those of random weights repeat themselves to their end, so that guesses come true whatever was in flight when.
      assert.ok(isStories || usage.acceptedTokens > 0, JSON.stringify(usage));
    }
    await page.close();
  });
}

test("a step with guesses makes nothing on the GPU once it runs, and reads back 64 bytes at most", async (t) => {
  if (!gpu) return t.skip("this Chromium has no WebGPU adapter");
  const page = await lab.page();
  const [, { tokenIds, usage, samples }] = await answersOnGpu(page, { model: golden("family-qwen3-tied"), prompt: REPEATED, maxTokens: 60, mosts: [7, 7] });
  assert.ok(usage.draftedTokens > 0, JSON.stringify(usage));
  assert.equal(samples.length, tokenIds.length);
  const fixed = ({ buffers, shaderModules, pipelines, bindGroups }) => ({ buffers, shaderModules, pipelines, bindGroups });
  assert.deepEqual(fixed(samples.at(-1)), fixed(samples[2]));
  // The tokens of a step come one behind the other, and only before the first of them is anything submitted: a token in flight at a time, or all with a guess at once.
  const steps = [];
  for (let token = 3; token < samples.length; token += 1) {
    const [before, now] = [samples[token - 1], samples[token]];
    if (now.submits > before.submits) {
      steps.push({ tokens: 0, submits: now.submits - before.submits, readBytes: now.readBytes - before.readBytes });
    }
    if (steps.length > 0) steps.at(-1).tokens += 1;
  }
  for (const { tokens, submits, readBytes } of steps) {
    assert.ok(submits <= tokens + 1, `${submits} submissions for ${tokens} tokens`);
    assert.ok(readBytes <= 64, `${readBytes} bytes read back for ${tokens} tokens`);
  }
  assert.ok(steps.some(({ tokens, submits }) => tokens > submits && submits <= 2), "a step with guesses among them");
  console.log(`  ${samples.length} tokens, ${JSON.stringify(usage)}: ${steps.map(({ tokens, submits }) => `${tokens} in ${submits}`).join(", ")}`);
  await page.close();
});

test("a GPU that computes guessed tokens otherwise, by a bit, gets none", async (t) => {
  if (!gpu) return t.skip("this Chromium has no WebGPU adapter");
  const page = await lab.page();
  const options = { model: golden("family-qwen3-tied"), prompt: REPEATED, maxTokens: 60, mosts: [0, 7, 7] };
  const [plain, ...guessed] = await answersOnGpu(page, { ...options, fault: "guesses" });
  for (const { tokenIds, usage } of guessed) {
    assert.deepEqual([tokenIds, usage.draftedTokens, usage.acceptedTokens], [plain.tokenIds, 0, 0]);
  }
  // The same tokens as on a GPU without the fault, and that one guesses.
  const [sound] = await answersOnGpu(page, { ...options, mosts: [7] });
  assert.deepEqual(sound.tokenIds, plain.tokenIds);
  assert.ok(sound.usage.draftedTokens > 0, JSON.stringify(sound.usage));
  await page.close();
});

test("an answer with guesses on the GPU is given up after any token, and the session goes on", async (t) => {
  if (!gpu) return t.skip("this Chromium has no WebGPU adapter");
  const page = await lab.page();
  const { expected, found } = await page.evaluate(async ([model, prompt, tuning]) => {
    const eyas = await window.slim.load({ model, device: "gpu", tuning, prefillChunkTokens: 16, store: "none", assets: window.even });
    const ask = (options = {}) => eyas.chat({ prompt }, { maxTokens: 60, ...options });
    const expected = (await ask({ promptLookupTokens: 0 })).tokenIds;
    const found = [];
    for (let stop = 5; stop < 50; stop += 4) {
      const controller = new AbortController();
      let tokens = 0;
      const stream = eyas.stream({ prompt }, { maxTokens: 60, signal: controller.signal });
      await (async () => {
        for await (const _ of stream) if (++tokens === stop) controller.abort();
      })().catch(() => {});
      await stream.result().catch(() => {});
      found.push((await ask()).tokenIds);
    }
    await eyas.dispose();
    return { expected, found };
  }, [golden(WINDOWED[0][0]), WINDOWED[0][1], SOFTWARE_TUNING]);
  for (const tokenIds of found) assert.deepEqual(tokenIds, expected);
  await page.close();
});
