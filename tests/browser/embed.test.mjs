// Encoders in a real browser: vectors against transformers through the package, on both devices, and what meets a model of the other kind.
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";

import { hasGpu, root, startLab } from "./chromium.mjs";
import { startFileServer } from "./file_server.mjs";

const GOLDENS = readdirSync(join(root, "tests/goldens")).filter((name) => name.startsWith("encoder-"));

let lab;
let gpu;
let files;
before(async () => {
  lab = await startLab();
  gpu = await hasGpu(lab);
  files = await startFileServer({ goldens: join(root, "tests/goldens") });
});
after(async () => {
  await files.close();
  await lab.close();
});

function golden(name) {
  const folder = join(root, "tests/goldens", name);
  const { texts, pairs = [] } = JSON.parse(readFileSync(join(folder, "golden.json"), "utf8"));
  const bytes = readFileSync(join(folder, "vectors.f32"));
  return { texts, pairs, vectors: new Float32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength)) };
}

for (const device of ["cpu", "gpu"]) {
  for (const name of GOLDENS) {
    test(`${name}: unit vectors within 1e-3 of transformers on the ${device}`, async (t) => {
      if (device === "gpu" && !gpu) return t.skip("this Chromium has no WebGPU adapter");
      const { texts, pairs, vectors } = golden(name);
      const page = await lab.page();
      const { info, embeddings, scores, ofPairs } = await page.evaluate(
        async ({ model, device, texts, pairs }) => {
          const engine = await window.eyas.load({ model, device, quantize: "none" });
          const embeddings = [];
          for (const { text, prompt } of texts) {
            embeddings.push(...(await engine.embed(text, prompt ? { prompt } : {})));
          }
          const scores = engine.info.labels ? await engine.classify(texts[0].text) : [];
          const ofPairs = [];
          for (const pair of pairs) {
            ofPairs.push(await engine.classify(pair));
          }
          const { info } = engine;
          await engine.dispose();
          return { info, scores, ofPairs, embeddings: embeddings.map(({ vector, ...rest }) => ({ ...rest, vector: [...vector] })) };
        },
        { model: `${files.origin}/goldens/${name}/`, device, texts: texts.map(({ text, prompt }) => ({ text, prompt })), pairs: pairs.map(({ texts }) => texts) },
      );
      await page.close();
      assert.equal(info.kind, "encoder");
      assert.equal(info.device.kind, device);
      const width = info.embeddingDimensions;
      embeddings.forEach(({ vector, tokens, truncatedTokens }, index) => {
        assert.deepEqual([tokens, truncatedTokens, vector.length], [texts[index].ids.length, texts[index].truncated, width]);
        vector.forEach((value, i) => assert.ok(Math.abs(value - vectors[index * width + i]) <= 1e-3, `text ${index}, value ${i}: ${value}`));
      });
      if (info.labels) {
        const best = texts[0].logits.indexOf(Math.max(...texts[0].logits));
        assert.equal(scores[0].label, info.labels[best]);
        assert.ok(pairs.length >= 6);
        ofPairs.forEach((scores, index) => {
          const { logits } = pairs[index];
          assert.equal(scores[0].label, info.labels[logits.indexOf(Math.max(...logits))], `pair ${index}`);
        });
      }
    });
  }
}

test("the GGUF file of an encoder gives the vectors of its folder", async () => {
  const { texts, vectors } = golden("encoder-bert-mean");
  const page = await lab.page();
  const { info, embeddings, planned } = await page.evaluate(
    async ({ model, texts }) => {
      const planned = (await window.eyas.plan({ model, device: "cpu", quantize: "none", contextTokens: 14 })).asked.contextTokens;
      const engine = await window.eyas.load({ model, device: "cpu", quantize: "none", contextTokens: 14 });
      const embeddings = await engine.embed(texts);
      const { info } = engine;
      await engine.dispose();
      return { info, planned, embeddings: embeddings.map(({ vector, ...rest }) => ({ ...rest, vector: [...vector] })) };
    },
    { model: `${files.origin}/goldens/encoder-bert-mean/model.gguf`, texts: texts.map(({ text }) => text) },
  );
  await page.close();
  assert.deepEqual([info.kind, info.architecture, planned], ["encoder", "bert", 14]);
  embeddings.forEach(({ vector, tokens }, index) => {
    assert.equal(tokens, texts[index].ids.length);
    vector.forEach((value, i) => assert.ok(Math.abs(value - vectors[index * vector.length + i]) <= 1e-3, `text ${index}, value ${i}: ${value}`));
  });
});

test("a prompt, a pair and what a model does not have are told apart", async () => {
  const page = await lab.page();
  const codes = await page.evaluate(async ({ prompted, headless }) => {
    const code = (promise) => promise.then(() => "none", (error) => `${error.code}: ${error.message}`);
    const encoder = await window.eyas.load({ model: prompted, device: "cpu", quantize: "none" });
    const { prompts, embeddingDimensions } = encoder.info;
    const plain = await window.eyas.load({ model: headless, device: "cpu", quantize: "none" });
    const codes = [
      await code(encoder.embed("a", { prompt: "title" })),
      await code(encoder.embed("a", { prompt: 7 })),
      await code(plain.classify(["a", "b"])),
      await code(plain.classify(["a", "b", "c"])),
      await code(plain.classify(["a"])),
    ];
    await Promise.all([encoder.dispose(), plain.dispose()]);
    return { codes, prompts, embeddingDimensions };
  }, { prompted: `${files.origin}/goldens/encoder-gemma3-projected/`, headless: `${files.origin}/goldens/encoder-bert-mean/` });
  await page.close();
  assert.deepEqual([codes.prompts, codes.embeddingDimensions], [["document", "query"], 28]);
  ["bad-input", "bad-input", "unsupported-model", "bad-input", "bad-input"].forEach((code, index) => assert.match(codes.codes[index], new RegExp(`^${code}: `)));
});

test("a decoder does not embed, an encoder does not write, and without a head it does not classify", async () => {
  const page = await lab.page();
  const codes = await page.evaluate(async (model) => {
    const code = (promise) => promise.then(() => "none", (error) => `${error.code}: ${error.message}`);
    const decoder = await window.eyas.load({ model: window.nano, device: "cpu" });
    const encoder = await window.eyas.load({ model, device: "cpu" });
    const codes = [await code(decoder.embed("a")), await code(decoder.classify("a")), await code(encoder.chat("a")), await code(encoder.session().send("a")), await code(encoder.classify("a"))];
    const after = await encoder.embed("a");
    await Promise.all([decoder.dispose(), encoder.dispose()]);
    return [...codes, after.length];
  }, `${files.origin}/goldens/encoder-bert-mean/`);
  await page.close();
  codes.slice(0, 5).forEach((code) => assert.match(code, /^unsupported-model: /));
  assert.equal(codes[5], 1);
});

test("an abort ends embedding between two texts, and a plan and a budget know encoders", async () => {
  const page = await lab.page();
  const result = await page.evaluate(async (model) => {
    const plan = await window.eyas.plan({ model, device: "cpu", quantize: "none" });
    const over = await window.eyas.load({ model, device: "cpu", budget: { memoryBytes: 1000 } }).then(() => "none", (error) => error.code);
    const encoder = await window.eyas.load({ model, device: "cpu", quantize: "none", budget: { memoryBytes: 10_000_000 } });
    const controller = new AbortController();
    const many = encoder.embed(new Array(20_000).fill("the weather"), { signal: controller.signal });
    setTimeout(() => controller.abort("enough"), 100);
    const reason = await many.then(() => "none", (reason) => reason);
    const after = await encoder.embed("jazz");
    const { memoryBytes } = encoder.info;
    await encoder.dispose();
    return { reason, after: after.length, over, planned: plan.asked.need.weightBytes + plan.asked.need.cacheBytes, memoryBytes };
  }, `${files.origin}/goldens/encoder-bert-mean/`);
  await page.close();
  assert.equal(result.reason, "enough");
  assert.equal(result.after, 1);
  assert.equal(result.over, "over-budget");
  assert.ok(result.planned >= result.memoryBytes && result.planned <= 1.1 * result.memoryBytes, JSON.stringify(result));
});
