// Logits of the built modules in a real browser against their references, without the package in between.
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";

import { haveStories, hasGpu, NO_STORIES, root, startLab, stories, tuningOf } from "./chromium.mjs";
import { startFileServer } from "./file_server.mjs";

// Two have rotary frequencies that change with the length of a sequence, so that each token behind the prompt is computed with all before it anew.
const STEPWISE = ["family-llama-dynamic", "family-phi3-long"];
const FAMILIES = readdirSync(join(root, "tests/goldens")).filter((name) => name.startsWith("family-"));
const GOLDENS = ["llama-gqa-llama3", "llama-tied-linear", "llama-mqa-f16", "llama-yarn", ...FAMILIES];

let lab;
let gpu;
let files;
before(async () => {
  lab = await startLab();
  gpu = await hasGpu(lab);
  files = await startFileServer({ glue: join(root, "www/eyas/wasm"), goldens: join(root, "tests/goldens"), stories: join(stories, "hf"), gguf: stories });
});
after(async () => {
  await files.close();
  await lab.close();
});

const floats = (file) => {
  const bytes = readFileSync(file);
  return new Float32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength));
};

// Ways to cut kernels into workgroups, so that each comes several times.
const CUTS = [
  "1 32 8 16 4 16 8 2 1 4", "1 32 4 2 4 32 1 1 8 4", "4 32 2 4 4 32 8 4 1 16", "16 16 2 4 8 32 8 1 3 32", "32 4 1 8 4 16 1 2 1 32", "32 8 2 8 8 32 8 4 8 64",
  "32 16 4 8 8 16 1 1 2 64", "64 8 2 1 1 16 1 2 8 128",
].map(tuningOf);

/** Logits at every position of `ids`, computed in the page; those behind the first `atOnce` each with all before them anew. */
async function logitsInPage(device, source, ids, { atOnce = ids.length, tuning = CUTS[0] } = {}) {
  const page = await lab.page();
  const logits = await page.evaluate(
    async ({ glue, source, ids, atOnce, tuning }) => {
      const module = await import(`${glue}.js`);
      await module.default({ module_or_path: `${glue}_bg.wasm` });
      const cancel = new module.CancelHandle();
      // Nothing is kept, so that of the store's side only the timer is needed, and no request was begun.
      const host = {
        sleep(ms) {
          let timer;
          return { done: new Promise((resolve) => (timer = setTimeout(resolve, ms))), cancel: () => clearTimeout(timer) };
        },
        begun: () => undefined,
      };
      const engine = await module.WasmEngine.load(source, { quantize: "none", tuning }, () => {}, cancel, host, { reason: "a test" });
      const logits = Array.from(await engine.logits(new Uint32Array(ids.slice(0, atOnce))));
      for (let end = atOnce + 1; end <= ids.length; end += 1) {
        const all = await engine.logits(new Uint32Array(ids.slice(0, end)));
        logits.push(...all.slice((all.length / end) * (end - 1)));
      }
      engine.free();
      return logits;
    },
    { glue: `${files.origin}/glue/eyas_${device}`, source, ids, atOnce, tuning },
  );
  await page.close();
  return logits;
}

function largestDifference(found, expected) {
  assert.equal(found.length, expected.length);
  return found.reduce((largest, value, i) => {
    assert.ok(Number.isFinite(value), `logit ${i} is ${value}`);
    return Math.max(largest, Math.abs(value - expected[i]));
  }, 0);
}

for (const device of ["cpu", "gpu"]) {
  const noAdapter = () => device === "gpu" && !gpu && "this Chromium has no WebGPU adapter";

  // The f16 file holds rounded weights: natively, too, its logits differ by up to 1.1e-2.
  for (const [name, source, tolerance] of [
    ["safetensors", (origin) => ({ kind: "folder", url: `${origin}/stories/` }), 1e-3],
    ["f16 GGUF", (origin) => ({ kind: "gguf", url: `${origin}/gguf/stories260K-f16.gguf` }), 2e-2],
  ]) {
    test(`stories260K from ${name}: every logit of 256 positions within ${tolerance} on the ${device}`, async (t) => {
      if (!haveStories) return t.skip(NO_STORIES);
      if (noAdapter()) return t.skip(noAdapter());
      const ids = JSON.parse(readFileSync(join(stories, "greedy_token_ids.json"), "utf8")).slice(0, 256);
      const expected = floats(join(stories, "greedy_logits_f32le_512.bin"));
      const difference = largestDifference(await logitsInPage(device, source(files.origin), ids), expected);
      console.log(`${device}, ${name}: largest difference ${difference.toExponential(1)}`);
      assert.ok(difference <= tolerance, `largest difference ${difference}`);
    });
  }

  for (const [turn, name] of GOLDENS.entries()) {
    test(`${name}: logits within 1e-3 of transformers on the ${device}`, async (t) => {
      if (noAdapter()) return t.skip(noAdapter());
      const folder = join(root, "tests/goldens", name);
      const { ids: prompt, greedy_ids: answer, largest_logit: scale } = JSON.parse(readFileSync(join(folder, "golden.json"), "utf8"));
      const ids = [...prompt, ...answer.slice(0, -1)];
      const source = { kind: "folder", url: `${files.origin}/goldens/${name}/` };
      const tuning = CUTS[turn % CUTS.length];
      const found = await logitsInPage(device, source, ids, { tuning, atOnce: STEPWISE.includes(name) ? prompt.length : ids.length });
      const difference = largestDifference(found, floats(join(folder, "logits.f32"))) / scale;
      console.log(`${device}, ${name}: largest difference ${difference.toExponential(1)} of the largest logit`);
      assert.ok(difference <= 1e-3, `largest difference ${difference} of the largest logit`);
    });
  }
}
