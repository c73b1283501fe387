// After two warm-up tokens a token makes no pipeline, no shader module and no buffer.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { hasGpu, haveStories, NO_STORIES, SOFTWARE_TUNING, startLab } from "./chromium.mjs";

let lab;
let gpu;
before(async () => {
  lab = await startLab();
  gpu = await hasGpu(lab);
});
after(() => lab.close());

const WARM_UP_TOKENS = 2;
const TOKENS = 24;

const DRAWN = { temperature: 0.8, topK: 40, topP: 0.95, repetitionPenalty: 1.1, seed: 5 };
/** A layer's dispatches, and those for embedding, last norm, head and the two of the choice. */
const mostDispatches = (layers) => 8 * layers + 5;
const STORIES_LAYERS = 5;
const CASES = [
  ["eyas-nano", undefined, {}],
  ["stories260K", "/stories/", {}],
  ["stories260K q8_0", "/gguf/stories260K-q8_0.gguf", {}],
  ["stories260K, drawn", "/stories/", DRAWN],
  ["stories260K, its positions shared out", "/stories/", {}, { ...SOFTWARE_TUNING, attentionSplits: 4 }],
];

for (const [name, source, options, tuning] of CASES) {
  test(`${name}: what a token costs on the GPU once it runs`, async (t) => {
    if (!gpu) return t.skip("this Chromium has no WebGPU adapter");
    if (source && !haveStories) return t.skip(NO_STORIES);
    const page = await lab.page();
    const seen = await page.evaluate(
      async ([source, tokens, warmUp, options, tuning]) => {
        const channel = new BroadcastChannel("gpu-meter");
        const model = source ? `${window.models}${source}` : window.nano;
        const eyas = await window.slim.load({ model, device: "gpu", assets: window.metered, ...(tuning && { tuning }) });
        // The meter speaks before every message of the worker: one sample a token.
        const samples = [];
        channel.onmessage = ({ data }) => samples.push(data);
        const completion = await eyas.chat({ prompt: "<|bos|>Once" }, { ...options, maxTokens: tokens + warmUp + 1, promptLookupTokens: 0 });
        await new Promise((resolve) => setTimeout(resolve, 50));
        await eyas.dispose();
        const count = completion.tokenIds.length;
        return { samples, count };
      },
      [source, TOKENS, WARM_UP_TOKENS, options, tuning],
    );
    // One sample for each part of the prompt and each token, and one for the completion.
    const tokens = seen.samples.slice(-(seen.count + 1), -1);
    const from = tokens[WARM_UP_TOKENS - 1];
    const to = tokens.at(-1);
    const steps = tokens.length - WARM_UP_TOKENS;
    assert.ok(steps >= 2, `only ${seen.count} tokens`);
    const delta = Object.fromEntries(Object.keys(to).map((key) => [key, to[key] - from[key]]));
    const per = (key) => (delta[key] / steps).toFixed(2);
    console.log(`${name}, per token over ${steps} tokens: dispatches ${per("dispatches")}, passes ${per("passes")}, submits ${per("submits")}, bind groups ${per("bindGroups")}, writes ${per("writes")}, reads ${per("reads")}, bytes read back ${per("readBytes")}`);
    assert.deepEqual({ buffers: delta.buffers, shaderModules: delta.shaderModules, pipelines: delta.pipelines }, { buffers: 0, shaderModules: 0, pipelines: 0 });
    assert.equal(delta.bindGroups, 0);
    if (source) {
      assert.ok(delta.dispatches <= mostDispatches(STORIES_LAYERS) * steps, `${delta.dispatches} dispatches for ${steps} tokens`);
    }
    assert.ok(delta.submits <= 2 * steps, `${delta.submits} submissions for ${steps} tokens`);
    assert.ok(delta.passes <= steps, `${delta.passes} passes for ${steps} tokens`);
    // The GPU chooses tokens itself: only ids come back.
    assert.ok(delta.readBytes <= 64 * steps, `${delta.readBytes} bytes read back for ${steps} tokens`);
    await page.close();
  });
}
