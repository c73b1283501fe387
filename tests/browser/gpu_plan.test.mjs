// What a plan says of a GPU against what WebGPU was asked for: every buffer that is there after answers of all kinds, and the most that there ever were.
import assert from "node:assert/strict";
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";

import { hasGpu, root, SOFTWARE_TUNING, startLab, thorough } from "./chromium.mjs";
import { startFileServer } from "./file_server.mjs";

const goldens = join(root, "tests/goldens");

/** Of every kind of layer one; `EYAS_THOROUGH=1` takes all of them. */
const FEW = ["family-gemma2-capped", "family-qwen3-tied", "family-olmo2-bias", "encoder-bert-labels", "encoder-modernbert-mean", "encoder-gemma3-projected"];
const MODELS = thorough ? readdirSync(goldens).filter((name) => existsSync(join(goldens, name, "config.json"))) : FEW;

/** Every step computes as many tokens as the plan's, rounds what it may, and shares positions out as far as may be. */
const TUNING = { ...SOFTWARE_TUNING, matmulRows: 8, matmulTokens: 8, matmulBits: 16, attentionSplits: 8 };

let lab;
let gpu;
let models;
before(async () => {
  lab = await startLab();
  models = await startFileServer({ goldens });
  gpu = await hasGpu(lab);
});
after(async () => {
  await Promise.all([lab.close(), models.close()]);
});

/** Loads a model, lets it answer in every way that allocates, and returns its plan and what the meter counted. */
async function measured(page, options) {
  return page.evaluate(async (options) => {
    const load = { ...options, model: options.model ?? window.nano, device: "gpu" };
    const { asked, code } = await window.eyas.plan(load);
    const channel = new BroadcastChannel("gpu-meter");
    let count;
    channel.onmessage = ({ data }) => (count = data.bufferBytes ? data : count);
    const eyas = await window.slim.load({ ...load, assets: window.even });
    let guesses = 0;
    if (eyas.info.kind === "encoder") {
      await eyas.embed(["a", "a b c d e f g h i j k l m n o p q r s t u v w x y z ".repeat(9)]);
      await eyas.classify("a b c").catch(({ code }) => {
        if (code !== "unsupported-model") throw new Error(code);
      });
    } else {
      const ask = (prompt, options) => eyas.stream({ prompt }, { maxTokens: 4, ...options }).result();
      await ask("abc", {});
      await ask("a b", { temperature: 1, seed: 3, repetitionPenalty: 1.1 });
      await ask("c", { logprobs: true });
      await ask("a b c d e f g h i j k", { maxTokens: 2 });
      // Until a guess was computed, which has a recorded step of its own.
      for (let word = 6; word < 96 && guesses === 0; word += 4) {
        const { usage } = await ask(`w${word} w${word + 1} w${word} w${word + 1} w${word}`, { maxTokens: 40 });
        guesses += usage.draftedTokens;
      }
      await ask("a b c d e f g h i j k l m n o p q r s t u v w", { maxTokens: 2 }).catch(({ code }) => {
        if (code !== "context-overflow") throw new Error(code);
      });
    }
    channel.postMessage("report");
    while (!count) await new Promise((resolve) => setTimeout(resolve, 10));
    await eyas.dispose();
    const { liveBufferBytes, peakBufferBytes, bufferBytes } = count;
    return { need: asked.need, code, liveBufferBytes, peakBufferBytes, bufferBytes, device: eyas.info.device.kind, guesses: eyas.info.kind === "encoder" || guesses > 0 };
  }, options);
}

for (const model of ["eyas-nano", ...MODELS]) {
  test(`${model}: the buffers of a GPU are those of the plan, within 5%`, async (t) => {
    if (!gpu) return t.skip("this Chromium has no WebGPU adapter");
    const page = await lab.page();
    for (const quantize of thorough ? ["none", "q8", "q4"] : ["none", "q4"]) {
      const where = model === "eyas-nano" ? {} : { model: `${models.origin}/goldens/${model}/` };
      // A prompt of one step, and one of several.
      const lengths = quantize === "none" || model.startsWith("encoder") ? { contextTokens: model.startsWith("encoder") ? 30 : 64 } : { contextTokens: 64, prefillChunkTokens: 16 };
      const seen = await measured(page, { ...where, quantize, ...lengths, tuning: TUNING });
      assert.deepEqual([seen.device, seen.code, seen.guesses], ["gpu", null, true]);
      const { weightBytes, cacheBytes, scratchBytes, stagingBytes } = seen.need;
      const planned = weightBytes + cacheBytes + scratchBytes;
      const sizes = seen.bufferBytes.reduce((sizes, bytes) => sizes.set(bytes, (sizes.get(bytes) ?? 0) + 1), new Map());
      const told = `${model} ${quantize}: ${planned} planned and ${stagingBytes} while loading; ${seen.liveBufferBytes} there, ${seen.peakBufferBytes} at most`;
      console.log(told);
      assert.ok(seen.liveBufferBytes <= planned && planned <= 1.05 * seen.liveBufferBytes, `${told}: ${[...sizes].join(" ")}`);
      assert.ok(seen.peakBufferBytes <= planned + stagingBytes, told);
    }
    await page.close();
  });
}
