// The GPU process dies, by SIGKILL of its id, in the middle of an answer: it goes on with the same text.
//
// Chromium stops offering WebGPU to a page, and in the end starts no GPU process any more, where that process crashes often in a short time;
// --disable-gpu-process-crash-limit and --disable-domain-blocking-for-3d-apis turn that off. What a person's browser does with a GPU that crashes five times
// in a minute is the browser's to say; what this engine does is shown here.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { hasGpu, haveStories, NO_STORIES, startLab, thorough } from "./chromium.mjs";
import { processIds } from "./processes.mjs";

const KILLS = thorough ? 5 : 3;
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

let lab;
let gpu;
before(async () => {
  lab = await startLab({ moreFlags: ["--disable-gpu-process-crash-limit", "--disable-domain-blocking-for-3d-apis"] });
  gpu = await hasGpu(lab);
});
after(() => lab.close());

/** Ends the GPU process, and waits until the browser has started another one. */
async function killGpuProcess() {
  const [pid] = await processIds(lab.browser, "GPU");
  assert.ok(pid, "the browser has a GPU process");
  process.kill(pid, "SIGKILL");
  for (;;) {
    const [next] = await processIds(lab.browser, "GPU");
    if (next !== undefined && next !== pid) {
      return next;
    }
    await pause(20);
  }
}

/** A page with `window.answer(eyas, prompt, options, onDelta)`: the text as it came, and the completion's. */
async function answeringPage() {
  const page = await lab.page();
  await page.evaluate(() => {
    window.answer = async (eyas, prompt, options, onDelta) => {
      const stream = eyas.stream({ prompt }, options);
      let text = "";
      let deltas = 0;
      for await (const delta of stream) {
        text += delta;
        deltas += 1;
        await onDelta?.(deltas);
      }
      const completion = await stream.result();
      return { text, whole: completion.text, deltas };
    };
  });
  return page;
}

const MODELS = [
  ["eyas-nano", "nano", "book a table", { maxTokens: 60, temperature: 1, seed: 3, logitBias: { 2: -100 } }],
  ["stories260K", "stories", "Once upon a time", { maxTokens: 60 }],
];
for (const [name, model, prompt, options] of MODELS) {
  test(`the GPU process killed ${KILLS} times while ${name} answers: the text is that of an undisturbed answer`, async (t) => {
    if (!gpu) return t.skip("this Chromium has no WebGPU adapter");
    if (model === "stories" && !haveStories) return t.skip(NO_STORIES);
    const page = await answeringPage();
    let killed = 0;
    await page.exposeFunction("killGpuProcess", async () => {
      killed += 1;
      await killGpuProcess();
    });
    const seen = await page.evaluate(
      async ([model, prompt, options, kills]) => {
        const from = model === "nano" ? window.nano : `${window.models}/${model}/`;
        const eyas = await window.slim.load({ model: from, device: "gpu", assets: window.metered });
        const undisturbed = await window.answer(eyas, prompt, options);
        const memory = (await eyas.memory()).deviceBytes;
        const answers = [];
        const pauses = [];
        let left = kills;
        while (left > 0) {
          // The last answer but one loses its device twice.
          const points = left === 2 ? [4, 24] : [3 + 7 * (left % 3)];
          let since;
          answers.push(
            await window.answer(eyas, prompt, options, async (deltas) => {
              if (since !== undefined) {
                pauses.push(performance.now() - since);
                since = undefined;
              }
              if (points.includes(deltas) && left > 0) {
                left -= 1;
                since = performance.now();
                await window.killGpuProcess();
              }
            }),
          );
        }
        const end = (await eyas.memory()).deviceBytes;
        const { kind } = eyas.info.device;
        await eyas.dispose();
        return { undisturbed, answers, pauses, memory, end, kind };
      },
      [model, prompt, options, KILLS],
    );
    assert.ok(seen.undisturbed.text.length > 30, seen.undisturbed.text);
    assert.equal(killed, KILLS);
    for (const { text, whole } of seen.answers) {
      assert.equal(text, seen.undisturbed.text);
      assert.equal(whole, seen.undisturbed.text);
    }
    assert.equal(seen.kind, "gpu", "it goes on with the GPU");
    assert.equal(seen.end, seen.memory, "nothing of the lost devices is counted");
    while (page.workers().length > 0) {
      await pause(20); // the last one is being ended
    }
    seen.pauses.sort((a, b) => a - b);
    console.log(`${name}: ${KILLS} kills in ${seen.answers.length} answers, pauses of ${seen.pauses.map(Math.round).join(", ")} ms`);
    await page.close();
  });
}
