// A GPU that goes away, one that was never usable, and a worker that breaks: each is an answer with a code, never silence. Where an engine is to
// recover (the default), see recovery.test.mjs.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { hasGpu, startLab } from "./chromium.mjs";

let lab;
let gpu;
before(async () => {
  lab = await startLab();
  gpu = await hasGpu(lab);
});
after(() => lab.close());

const NO_GPU = "this Chromium has no WebGPU adapter";

/** Breaks something in the middle of an answer, and says what became of it, of the next call and of the next load. */
async function breakWhileAnswering(device, what) {
  const page = await lab.page();
  const seen = await page.evaluate(
    async ([device, what]) => {
      const eyas = await window.slim.load({ model: window.nano, device, assets: window.metered, recover: false });
      const channel = new BroadcastChannel("gpu-meter");
      const options = { maxTokens: 200, temperature: 1, seed: 3, logitBias: { 2: -100 } }; // token 2 ends an answer
      const stream = eyas.stream({ prompt: "book a table" }, options);
      const answering = window.outcome(stream.result());
      const first = await stream[Symbol.asyncIterator]().next();
      channel.postMessage(what);
      const answer = await answering;
      const later = await window.outcome(eyas.chat("play jazz", { maxTokens: 2 }));
      await eyas.dispose();
      const next = await window.eyas.load({ model: window.nano, device });
      const { text } = await next.chat("play jazz", { maxTokens: 4 });
      await next.dispose();
      return { first: first.value, answer, later, text };
    },
    [device, what],
  );
  await page.close();
  return seen;
}

test("a GPU that is lost in the middle of an answer is device-lost, and the next load works", async (t) => {
  if (!gpu) return t.skip(NO_GPU);
  const seen = await breakWhileAnswering("gpu", "lose");
  assert.equal(seen.answer.error?.code, "device-lost", JSON.stringify(seen));
  assert.equal(seen.answer.error.retryable, true);
  assert.equal(seen.later.error?.code, "device-lost", JSON.stringify(seen.later));
  assert.ok(seen.text.length > 0);
});

for (const what of ["trap", "throw"]) {
  test(`a worker that breaks (${what}) is internal for every call, and the next load works`, async () => {
    const seen = await breakWhileAnswering("cpu", what);
    assert.equal(seen.answer.error?.code, "internal", JSON.stringify(seen));
    assert.equal(seen.later.error?.code, "internal");
    assert.match(seen.later.error.message, /load the model again/);
    assert.ok(seen.text.length > 0);
  });
}

const FAULTS = [
  ["always", "its norms are wrong", /of the model is .* expected/],
  ["large", "its products are wrong in large matrices only", /a product of the model is .* expected/],
  ["first", "every pipeline's first run does nothing", /the same words gave 0 the first time/],
  ["firsttokens", "every pipeline's first run but that of checksums does nothing", /the same tokens gave .* the first time/],
  ["upload", "uploads arrive damaged", /Embedding: what was uploaded arrived damaged/],
  ["middle", "a matrix of a middle layer arrives damaged", /(Qkv|Output|GateUp|Down)\([1-4]\): what was uploaded arrived damaged/],
  ["norm", "the weights of a norm arrive damaged", /norms: what was uploaded arrived damaged/],
];
for (const [fault, what, message] of FAULTS) {
  test(`a GPU that computes wrong values (${what}): auto takes the CPU and says so, gpu is bad-device`, async (t) => {
    if (!gpu) return t.skip(NO_GPU);
    const page = await lab.page();
    const seen = await page.evaluate(async (fault) => {
      const assets = { ...window.metered, worker: `/metered/miscomputing-${fault}.js` };
      const refused = await window.outcome(window.slim.load({ model: window.nano, device: "gpu", assets }));
      const eyas = await window.slim.load({ model: window.nano, assets });
      const answer = await eyas.chat("play jazz", { maxTokens: 3 });
      const right = await window.slim.load({ model: window.nano, device: "cpu", assets: window.metered });
      const expected = await right.chat("play jazz", { maxTokens: 3 });
      await eyas.dispose();
      await right.dispose();
      return { device: eyas.info.device, text: answer.text, expected: expected.text, refused };
    }, fault);
    assert.equal(seen.refused.error?.code, "bad-device", JSON.stringify(seen.refused));
    assert.match(seen.refused.error.message, message);
    assert.equal(seen.device.kind, "cpu");
    assert.match(seen.device.reason, /the GPU failed \(bad-device: /);
    assert.equal(seen.text, seen.expected);
    console.log(`CPU, because ${seen.device.reason}`);
    await page.close();
  });
}

test("a GPU that gives no device: auto takes the CPU and says so, gpu is webgpu-unavailable", async (t) => {
  if (!gpu) return t.skip(NO_GPU);
  const page = await lab.page();
  const seen = await page.evaluate(async () => {
    const assets = { ...window.metered, worker: "/metered/deviceless.js" };
    const eyas = await window.slim.load({ model: window.nano, assets });
    const { text, provenance } = await eyas.chat("play jazz", { maxTokens: 3 });
    await eyas.dispose();
    const refused = await window.outcome(window.slim.load({ model: window.nano, device: "gpu", assets }));
    return { device: eyas.info.device, text, provenance, refused };
  });
  assert.equal(seen.device.kind, "cpu");
  assert.match(seen.device.reason, /the GPU failed \(webgpu-unavailable: .*refused by the test/);
  assert.equal(seen.provenance.deviceReason, seen.device.reason);
  assert.equal(seen.refused.error?.code, "webgpu-unavailable");
  console.log(`CPU, because ${seen.device.reason}`);
  await page.close();
});
