// A device that goes away and a worker that breaks in the middle of an answer: the stream pauses, and goes on with the same text.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { hasGpu, startLab, thorough } from "./chromium.mjs";

const LOSSES = thorough ? 51 : 15;
let lab;
let gpu;
before(async () => {
  lab = await startLab();
  gpu = await hasGpu(lab);
});
after(() => lab.close());

/** Answers over and over while something breaks at random tokens, up to three times an answer, until it has broken `count` times. */
async function breakAgainAndAgain(device, what, count) {
  const page = await lab.page();
  const seen = await page.evaluate(
    async ([device, what, count]) => {
      const channel = new BroadcastChannel("gpu-meter");
      const options = { maxTokens: 40, temperature: 1, seed: 3, logitBias: { 2: -100 } }; // token 2 ends an answer
      const eyas = await window.slim.load({ model: window.nano, device, assets: window.metered });
      const ask = (options, onDelta) => {
        const stream = eyas.stream({ prompt: "book a table" }, options);
        return (async () => {
          let text = "";
          for await (const delta of stream) {
            text += delta;
            onDelta?.();
          }
          return { text, completion: await stream.result() };
        })();
      };
      const undisturbed = await ask(options);
      const memory = (await eyas.memory()).deviceBytes;
      let state = 7;
      const random = (below) => (state = (state * 1103515245 + 12345) % 2147483648) % below;
      let broken = 0;
      const pauses = [];
      const texts = [];
      while (broken < count) {
        const points = [1 + random(10), 12 + random(10), 24 + random(10)];
        let deltas = 0;
        let last = performance.now();
        let lost = false;
        const answer = await ask(options, () => {
          deltas += 1;
          if (lost) {
            pauses.push(performance.now() - last);
            lost = false;
          }
          if (points.includes(deltas) && broken < count) {
            broken += 1;
            last = performance.now();
            lost = true;
            channel.postMessage(what);
          }
        });
        texts.push(answer.text, answer.completion.text);
      }
      // Where nothing was said of a seed, what was drawn is drawn again.
      const drawn = await ask({ maxTokens: 40, temperature: 1, logitBias: { 2: -100 } }, (() => {
        let deltas = 0;
        return () => (deltas += 1) === 9 && channel.postMessage(what);
      })());
      const end = (await eyas.memory()).deviceBytes;
      const { kind } = eyas.info.device;
      await eyas.dispose();
      return { undisturbed: undisturbed.text, texts: [...new Set(texts)], drawn: [drawn.text, drawn.completion.text], broken, pauses, memory, end, kind };
    },
    [device, what, count],
  );
  await page.close();
  return seen;
}

for (const [device, what, count] of [["gpu", "lose", LOSSES], ["cpu", "trap", 12]]) {
  test(`${what} on the ${device} at ${count} random tokens: the text is that of an undisturbed answer`, async (t) => {
    if (device === "gpu" && !gpu) return t.skip("this Chromium has no WebGPU adapter");
    const seen = await breakAgainAndAgain(device, what, count);
    assert.ok(seen.undisturbed.length > 30);
    assert.deepEqual(seen.texts, [seen.undisturbed]);
    assert.equal(seen.drawn[0], seen.drawn[1]);
    assert.equal(seen.broken, count);
    assert.equal(seen.kind, device);
    assert.equal(seen.end, seen.memory, "nothing of the lost devices is counted");
    seen.pauses.sort((a, b) => a - b);
    console.log(`${count} times ${what}: pauses of ${Math.round(seen.pauses[Math.floor(seen.pauses.length / 2)])} ms (median), ${Math.round(seen.pauses.at(-1))} ms (most)`);
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
