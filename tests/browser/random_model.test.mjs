// The benchmark's random models are what the loader takes for a model.
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";

import { packedBytes, writeRandomModel } from "../bench/random_model.mjs";
import { startLab } from "./chromium.mjs";
import { startFileServer } from "./file_server.mjs";

const SHAPE = { layers: 2, hidden: 64, heads: 2, kvHeads: 1, feedForward: 96, vocab: 320, context: 256 };
const folder = mkdtempSync(join(tmpdir(), "eyas-random-"));
let lab;
let files;
before(async () => {
  lab = await startLab();
  files = await startFileServer({ random: folder });
});
after(async () => {
  await files.close();
  await lab.close();
  rmSync(folder, { recursive: true });
});

for (const type of ["q4_0", "q8_0"]) {
  test(`a random model in ${type} loads, and each letter of a prompt is a token`, async () => {
    writeRandomModel(join(folder, `${type}.gguf`), SHAPE, type);
    const page = await lab.page();
    const seen = await page.evaluate(async (model) => {
      const eyas = await window.eyas.load({ model, device: "cpu" });
      const continued = await eyas.chat({ prompt: "abcdefghij" }, { maxTokens: 5 });
      const session = eyas.session();
      await session.send("hello", { maxTokens: 1 });
      const followed = await session.send("again", { maxTokens: 1 });
      const { info } = eyas;
      await eyas.dispose();
      return { info, continued: continued.usage, ids: continued.tokenIds, followed: followed.usage };
    }, `${files.origin}/random/${type}.gguf`);
    assert.equal(seen.info.contextTokens, SHAPE.context);
    assert.equal(seen.info.vocabSize, SHAPE.vocab);
    assert.equal(seen.info.hasChatTemplate, true);
    assert.equal(seen.continued.promptTokens, 10);
    assert.equal(seen.continued.completionTokens, 5);
    assert.ok(seen.ids.every((id) => id < SHAPE.vocab));
    // A follow-up message computes what is new: the first turn's prompt is still there.
    assert.ok(seen.followed.cachedTokens >= "user\nhello".length, `${seen.followed.cachedTokens} cached tokens`);
    // The bench compares the load's peak with the packed weights; here they are known exactly.
    assert.ok(seen.info.memoryBytes >= packedBytes(SHAPE, type), `${seen.info.memoryBytes} bytes`);
    assert.ok(seen.info.memoryBytes < packedBytes(SHAPE, type) * 1.05 + 65_536, `${seen.info.memoryBytes} bytes, expected about ${packedBytes(SHAPE, type)}`);
    await page.close();
  });
}
