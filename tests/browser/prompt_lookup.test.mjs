// Guessed tokens change nothing of an answer but its time: in the SIMD kernels too, every log-probability is the same to the last bit.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { haveStories, NO_STORIES, startLab } from "./chromium.mjs";

let lab;
before(async () => {
  lab = await startLab();
});
after(() => lab.close());

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
