// A device that goes away and a worker that breaks in the middle of an answer: the stream pauses, and goes on with the same text.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { hasGpu, haveStories, NO_STORIES, startLab, thorough } from "./chromium.mjs";

const LOSSES = thorough ? 51 : 6;
/** A worker that has not ended by then never will. */
const WORKER_END_MS = 120_000;
const PANICS = thorough ? 51 : 6;
let lab;
let gpu;
before(async () => {
  lab = await startLab();
  gpu = await hasGpu(lab);
});
after(() => lab.close());

/**
 * Answers over and over while something breaks at random parts of an answer, up to three times in each, until it has broken `count` times. The worker waits
 * behind each part for the page, so that it has not gone on when it breaks.
 */
async function breakAgainAndAgain(device, model, what, count) {
  const page = await lab.page();
  const seen = await page.evaluate(
    async ([device, model, what, count]) => {
      const meter = new BroadcastChannel("gpu-meter");
      const pace = new BroadcastChannel("pace");
      const assets = { ...window.metered, worker: "/metered/paced.js" };
      const eyas = await window.slim.load({ model: model === "nano" ? window.nano : `${window.models}/${model}/`, device, assets });
      window.engine = eyas;
      let points = [];
      let parts = 0;
      let broken = 0;
      let brokeAt;
      let counted;
      const lost = new Set();
      const pauses = [];
      pace.onmessage = ({ data: worker }) => {
        if (lost.has(worker)) {
          return pace.postMessage("go"); // what it had computed before it was broken
        }
        // Another worker begins at the first part again.
        parts = worker === counted ? parts + 1 : 1;
        counted = worker;
        if (!points.includes(parts) || broken >= count) {
          return pace.postMessage("go");
        }
        points = points.filter((point) => point > parts);
        lost.add(worker);
        broken += 1;
        brokeAt = performance.now();
        meter.postMessage(what);
        if (what === "lose") {
          pace.postMessage("go"); // this worker lives on until it asks the GPU
        }
      };
      const ask = async (options, at = []) => {
        [points, parts, brokeAt, counted] = [at, 0, undefined, undefined];
        const stream = eyas.stream({ prompt: "book a table" }, options);
        let text = "";
        for await (const delta of stream) {
          text += delta;
          if (brokeAt !== undefined && !lost.has(counted)) {
            pauses.push(performance.now() - brokeAt);
            brokeAt = undefined;
          }
        }
        return { text, completion: await stream.result() };
      };
      const options = { maxTokens: 40, temperature: 1, seed: 3, logitBias: { 2: -100 } }; // token 2 ends an answer
      const undisturbed = await ask(options);
      const memory = (await eyas.memory()).deviceBytes;
      let state = 7;
      const random = (below) => (state = (state * 1103515245 + 12345) % 2147483648) % below;
      const texts = [];
      while (broken < count) {
        const answer = await ask(options, [1 + random(10), 12 + random(10), 24 + random(10)]);
        texts.push(answer.text, answer.completion.text);
      }
      count += 1;
      // Where nothing was said of a seed, what was drawn is drawn again.
      const drawn = await ask({ maxTokens: 40, temperature: 1, logitBias: { 2: -100 } }, [9]);
      const end = (await eyas.memory()).deviceBytes;
      const { kind } = eyas.info.device;
      return { undisturbed: undisturbed.text, texts: [...new Set(texts)], drawn: [drawn.text, drawn.completion.text], broken, pauses, memory, end, kind };
    },
    [device, model, what, count],
  );
  // Of all the workers that there were, one is left, and goes with its engine; one that is being ended takes a moment.
  for (const left of [1, 0]) {
    const began = performance.now();
    while (page.workers().length !== left) {
      const { length } = page.workers();
      assert.ok(length > left && performance.now() - began < WORKER_END_MS, `${length} workers, expected ${left}`);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    await page.evaluate(() => window.engine.dispose());
  }
  await page.close();
  return seen;
}

const CASES = [
  ["gpu", "nano", "lose", LOSSES],
  ["gpu", "stories", "lose", LOSSES],
  ["gpu", "nano", "trap", PANICS],
  ["cpu", "nano", "trap", PANICS],
  ["cpu", "stories", "trap", PANICS],
];
for (const [device, model, what, count] of CASES) {
  test(`${what} on the ${device} at ${count} random parts of answers of ${model}: the text is that of an undisturbed answer`, async (t) => {
    if (device === "gpu" && !gpu) return t.skip("this Chromium has no WebGPU adapter");
    if (model === "stories" && !haveStories) return t.skip(NO_STORIES);
    const seen = await breakAgainAndAgain(device, model, what, count);
    assert.ok(seen.undisturbed.length > 30);
    assert.deepEqual(seen.texts, [seen.undisturbed]);
    assert.equal(seen.drawn[0], seen.drawn[1]);
    assert.equal(seen.broken, count + 1);
    assert.equal(seen.kind, device);
    assert.equal(seen.end, seen.memory, "nothing of the lost devices is counted");
    seen.pauses.sort((a, b) => a - b);
    console.log(`${model} on the ${device}, ${count} times ${what}: pauses of ${Math.round(seen.pauses[Math.floor(seen.pauses.length / 2)])} ms (median), ${Math.round(seen.pauses.at(-1))} ms (most)`);
  });
}

test("a GPU that is lost over and over: auto goes on with the CPU and says why", async (t) => {
  if (!gpu) return t.skip("this Chromium has no WebGPU adapter");
  const page = await lab.page();
  const seen = await page.evaluate(async () => {
    const channel = new BroadcastChannel("gpu-meter");
    const options = { maxTokens: 30, logitBias: { 2: -100 } };
    const source = await (await fetch("/metered/worker.js")).text();
    // For all that the worker can see, the adapter is no software.
    const worker = URL.createObjectURL(new Blob(['Object.defineProperty(GPUAdapterInfo.prototype, "isFallbackAdapter", { get: () => false });\n', source], { type: "text/javascript" }));
    const eyas = await window.slim.load({ model: window.nano, device: "auto", assets: { ...window.metered, worker } });
    const before = eyas.info.device.kind;
    const undisturbed = await eyas.stream({ prompt: "book a table" }, options).text();
    const stream = eyas.stream({ prompt: "book a table" }, options);
    let text = "";
    for await (const delta of stream) {
      text += delta;
      channel.postMessage("lose");
    }
    const { provenance } = await stream.result();
    const after = eyas.info.device.kind;
    await eyas.dispose();
    return { before, after, undisturbed, text, reason: provenance.deviceReason };
  });
  assert.deepEqual([seen.before, seen.after], ["gpu", "cpu"]);
  assert.equal(seen.text, seen.undisturbed);
  assert.match(seen.reason, /the GPU was lost 4 times in a row/);
  console.log(`  ${seen.reason}`);
  await page.close();
});
