// Real models answer in a real browser, on the GPU and on the CPU.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";

import { haveStories, hasGpu, NO_STORIES, startLab, stories } from "./chromium.mjs";

let lab;
let gpu;
before(async () => {
  lab = await startLab();
  gpu = await hasGpu(lab);
});
after(() => lab.close());

const DEVICES = ["gpu", "cpu"];
const noAdapter = (device) => device === "gpu" && !gpu && "this Chromium has no WebGPU adapter";

for (const device of DEVICES) {
  test(`eyas-nano answers on the ${device}, as a stream and at once`, async (t) => {
    if (noAdapter(device)) return t.skip(noAdapter(device));
    const page = await lab.page();
    const seen = await page.evaluate(async (device) => {
      const phases = [];
      const eyas = await window.eyas.load({ model: window.nano, device, onProgress: ({ phase, loadedBytes, totalBytes }) => phases.push([phase, loadedBytes, totalBytes]) });
      const stream = eyas.stream("book a table for two tomorrow", { maxTokens: 100 });
      const deltas = [];
      for await (const delta of stream) deltas.push(delta);
      const result = await stream.result();
      const again = await eyas.chat([{ role: "user", content: "book a table for two tomorrow" }], { maxTokens: 100 });
      const memory = await eyas.memory();
      await eyas.dispose();
      return { info: eyas.info, deltas, result, again, phases, memory };
    }, device);
    assert.equal(seen.info.device.kind, device);
    assert.equal(seen.info.hasChatTemplate, true);
    assert.ok(seen.info.memoryBytes > 1e6 && seen.memory.wasmBytes > 0, JSON.stringify([seen.info, seen.memory]));
    assert.equal(seen.deltas.join(""), seen.result.text);
    assert.equal(seen.again.text, seen.result.text);
    assert.equal(seen.result.finishReason, "stop");
    const answer = JSON.parse(seen.result.text);
    assert.equal(answer.intent, "BookRestaurant");
    assert.ok(answer.slots.some(([name, value]) => name === "party_size_number" && value === "two"), seen.result.text);
    assert.equal(seen.result.usage.completionTokens, seen.result.tokenIds.length);
    assert.equal(seen.result.provenance.tier, "local");
    const phases = [...new Set(seen.phases.map(([phase]) => phase))];
    assert.deepEqual(phases.slice(0, 3), ["start", "inspect", "weights"]);
    const [, loaded, total] = seen.phases.findLast(([phase]) => phase === "weights");
    assert.ok(total > 3e6 && loaded <= total, `${loaded} of ${total}`);
    const start = seen.phases.filter(([phase]) => phase === "start").at(-1);
    assert.equal(start[1], start[2]);
    console.log(`${device}: ${seen.info.device.name}; ${JSON.stringify(seen.result.timing)}`);
    await page.close();
  });

  for (const [name, source] of [["safetensors", "/stories/"], ["f16 GGUF", "/gguf/stories260K-f16.gguf"]]) {
    test(`stories260K from ${name} gives the 256 greedy tokens of the oracle on the ${device}`, async (t) => {
      if (!haveStories) return t.skip(NO_STORIES);
      if (noAdapter(device)) return t.skip(noAdapter(device));
      const page = await lab.page();
      const result = await page.evaluate(
        async ([device, source]) => {
          const eyas = await window.eyas.load({ model: `${window.models}${source}`, device, quantize: "none" });
          const result = await eyas.chat({ prompt: "" }, { maxTokens: 256 });
          await eyas.dispose();
          return result;
        },
        [device, source],
      );
      const expected = JSON.parse(readFileSync(join(stories, "greedy_token_ids.json"), "utf8"));
      assert.equal(expected.length, 257); // the start token, and 256 that follow
      assert.deepEqual(result.tokenIds, expected.slice(1));
      assert.match(result.text, /^\s*Once upon a time, there was a little girl named Lily/);
      console.log(`${device}, ${name}: ${JSON.stringify(result.timing)}`);
      await page.close();
    });
  }
}

test("quantised weights, chunked prefill and a small context work", async (t) => {
  if (!haveStories) return t.skip(NO_STORIES);
  const page = await lab.page();
  const texts = await page.evaluate(async () => {
    const texts = {};
    for (const quantize of ["none", "q8", "q4"]) {
      for (const prefillChunkTokens of [1, 128]) {
        const eyas = await window.eyas.load({ model: `${window.models}/stories/`, device: "cpu", quantize, prefillChunkTokens, contextTokens: 128 });
        texts[`${quantize} ${prefillChunkTokens}`] = (await eyas.chat({ prompt: "Once upon a time, there was a little" }, { maxTokens: 24 })).text;
        await eyas.dispose();
      }
    }
    return texts;
  });
  for (const quantize of ["none", "q8", "q4"]) {
    assert.equal(texts[`${quantize} 1`], texts[`${quantize} 128`]);
  }
  assert.match(texts["none 1"], /girl/);
  await page.close();
});

test("tokens that the GPU draws are those that the host draws from the same logits", async (t) => {
  if (!haveStories) return t.skip(NO_STORIES);
  if (noAdapter("gpu")) return t.skip(noAdapter("gpu"));
  const page = await lab.page();
  const seen = await page.evaluate(async () => {
    const eyas = await window.eyas.load({ model: `${window.models}/stories/`, device: "gpu" });
    const warm = { maxTokens: 40, temperature: 1, seed: 7 };
    const options = [warm, { ...warm, topK: 12 }, { ...warm, topP: 0.8 }, { ...warm, minP: 0.1 }, { ...warm, topK: 50, topP: 0.9, repetitionPenalty: 1.3, frequencyPenalty: 0.2, logitBias: { 403: 2 } }, { maxTokens: 40, presencePenalty: 3 }];
    const pairs = [];
    for (const each of options) {
      // Log-probabilities need the logits on the host, which then draws, too.
      const byHost = await eyas.chat({ prompt: "Once upon a time" }, { ...each, logprobs: true });
      const byDevice = await eyas.chat({ prompt: "Once upon a time" }, each);
      pairs.push([byDevice.tokenIds, byHost.tokenIds]);
    }
    await eyas.dispose();
    return pairs;
  });
  for (const [byDevice, byHost] of seen) assert.deepEqual(byDevice, byHost);
  assert.ok(new Set(seen.map(([ids]) => ids.join())).size > 3, "the options make a difference");
  await page.close();
});

test("logprobs, stop strings, seeds and logit bias reach the engine", async (t) => {
  if (!haveStories) return t.skip(NO_STORIES);
  const page = await lab.page();
  const seen = await page.evaluate(async () => {
    const eyas = await window.eyas.load({ model: `${window.models}/stories/`, device: "cpu" });
    const prompt = { prompt: "Once upon a time" };
    const greedy = await eyas.chat(prompt, { maxTokens: 12, logprobs: true, topLogprobs: 2 });
    const sampled = { maxTokens: 12, temperature: 1, topK: 40, topP: 0.95, seed: 7 };
    const first = await eyas.chat(prompt, sampled);
    const second = await eyas.chat(prompt, sampled);
    const stopped = await eyas.chat(prompt, { maxTokens: 60, stop: ["little"] });
    const biased = await eyas.chat(prompt, { maxTokens: 3, logitBias: { [greedy.tokenIds[0]]: -100 } });
    await eyas.dispose();
    return { greedy, first, second, stopped, biased };
  });
  assert.equal(seen.greedy.logprobs.length, seen.greedy.tokenIds.length);
  assert.equal(seen.greedy.logprobs[0].top.length, 2);
  assert.equal(seen.greedy.logprobs[0].top[0].id, seen.greedy.tokenIds[0]);
  assert.equal(seen.first.text, seen.second.text);
  assert.equal(seen.first.seed, 7);
  assert.equal(seen.stopped.finishReason, "stop");
  assert.ok(!seen.stopped.text.includes("little"));
  assert.notEqual(seen.biased.tokenIds[0], seen.greedy.tokenIds[0]);
  await page.close();
});
