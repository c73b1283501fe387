// What becomes of one request over several workers: what was asked of the cloud counts, and is bounded; what was left in the air is settled; a
// device that was given up is tried again.
import assert from "node:assert/strict";
import { test } from "node:test";

import { EyasError, fakeEngine, Script } from "./fake_engine.mjs";
import internals from "./internals.mjs";

const { EgressLedger, Replay, RETRY_DEVICE_MS } = internals;
const gpu = { requestAdapter: async () => ({ info: { vendor: "fake" } }) };
const cloud = { endpoint: "https://models.example/v1", model: "big" };
const entry = { id: 1, unixMs: 5, origin: "https://models.example", request: 1, attempt: 1, bytes: 10, reason: "cannot", detail: "x", outcome: "sent" };
const lost = (count) => new EyasError("device-lost", `loss ${count}`);

/** Runs `work` with a clock that it can set forward. */
async function withClock(work) {
  const real = performance.now;
  let ahead = 0;
  performance.now = () => real.call(performance) + ahead;
  try {
    await work((ms) => (ahead += ms));
  } finally {
    performance.now = real;
  }
}

test("the next try is told what left before, what was shown, and that the seed is nobody's wish", async () => {
  const script = new Script();
  const { eyas } = await fakeEngine(script, { recover: true, cloud }, gpu);
  let left = 2;
  script.thought = "hm";
  script.onToken = (count) => {
    if (count === 4 && left > 0) {
      left -= 1;
      // The first of the two tries asked the cloud twice before it failed.
      if (left === 1) {
        script.host.egress({ ...entry, request: script.tiers[0].number, status: 401 });
        script.host.egress({ ...entry, id: 2, attempt: 2, request: script.tiers[0].number });
      }
      throw lost(left);
    }
  };
  const { text } = await eyas.chat("hello", { temperature: 1 });
  assert.equal(text, "echo: user:hello");
  assert.deepEqual(script.tiers.map(({ number, ownSeed }) => [number, ownSeed]), Array(3).fill([1, true]));
  assert.equal(new Set(script.requests.map(({ options }) => options.seed)).size, 1, "what is drawn is drawn again");
  const earlier = { cloudRounds: 1, cloudAttempts: 2, tokenRefused: true, bytesSent: 20, shownText: "echo", shownReasoning: "hm" };
  assert.deepEqual(script.tiers.map(({ earlier }) => earlier), [undefined, { ...earlier, runs: 1 }, { ...earlier, runs: 2 }]);
  await eyas.chat("hello", { temperature: 1, seed: 7 });
  assert.deepEqual([script.tiers.at(-1).ownSeed, script.requests.at(-1).options.seed], [undefined, 7]);
  await eyas.dispose();
});

test("what was appended to is not compared any more, what was withdrawn is forgotten", () => {
  for (const type of ["appended", "withdrawn"]) {
    const heard = [];
    const replay = new Replay((event) => heard.push(event.text ?? event.type), () => assert.fail("diverged"));
    replay.hear({ type: "reasoning", text: "hm" });
    replay.hear({ type: "delta", text: "local te" });
    assert.deepEqual(replay.heard, { text: "local te", reasoning: "hm" });
    replay.rewind();
    replay.hear({ type: "delta", text: "loc" });
    replay.hear({ type, reason: "cannot", detail: "device-lost" });
    replay.hear({ type: "delta", text: "cloud" });
    assert.deepEqual(heard, ["hm", "local te", type, "cloud"]);
    assert.ok(replay.isCaughtUp);
  }
});

test("what a worker leaves in the air when it ends may have arrived", async () => {
  for (const end of ["panic", "dispose", "terminate"]) {
    const script = new Script();
    const { eyas, workers } = await fakeEngine(script, { cloud });
    const seen = [];
    eyas.ledger.subscribe(({ id, outcome }) => seen.push(`${id} ${outcome}`));
    script.host.egress(entry);
    script.host.egress({ ...entry, id: 2, outcome: "answered" });
    await eyas.chat("hello");
    if (end === "panic") {
      workers[0].host.panic("index out of bounds");
      await assert.rejects(eyas.chat("hello"), { code: "internal" });
    } else if (end === "terminate") {
      workers[0].emit("error", { message: "gone" });
    }
    await eyas.dispose();
    assert.deepEqual(seen, ["1 sent", "2 answered", "1 unknown"], end);
  }
});

test("two workers write into one ledger without writing over each other", () => {
  const ledger = new EgressLedger();
  const [old, next] = [ledger.page(), ledger.page()];
  old.write(entry);
  next.write({ ...entry, request: 2 });
  old.write({ ...entry, id: 2, request: 3 });
  next.write({ ...entry, request: 2, outcome: "answered" });
  old.end();
  assert.deepEqual(ledger.entries().map(({ id, request, outcome }) => [id, request, outcome]), [[1, 1, "unknown"], [2, 2, "answered"], [3, 3, "unknown"]]);
  assert.deepEqual(ledger.of(3).map(({ id }) => id), [3]);
});

test("a device lost for ever together with its cloud ends its request, and does not try without end", async () => {
  const script = new Script();
  const { eyas } = await fakeEngine(script, { recover: true, device: "gpu", cloud }, gpu);
  let losses = 0;
  script.onToken = () => {
    throw lost((losses += 1));
  };
  await assert.rejects(eyas.chat("hello"), { code: "device-lost" });
  assert.equal(script.requests.length, losses);
  assert.equal(losses, 5, "four on the device, and one where the cloud is alone");
  await assert.rejects(eyas.chat("hello"), { code: "device-lost" });
  assert.equal(losses, 6, "the cloud alone is not tried again for a loss");
  await eyas.dispose();
});

test("a worker that breaks whenever it answers ends its request too", async () => {
  const script = new Script();
  const { eyas, workers } = await fakeEngine(script, { recover: true, cloud });
  script.onToken = () => void queueMicrotask(() => workers.at(-1).host.panic("index out of bounds"));
  await assert.rejects(eyas.chat("hello"), { code: "internal" });
  assert.ok(script.requests.length <= 6, `${script.requests.length} tries`);
  await eyas.dispose();
});

test("a device that was given up for the cloud is tried again after a while, once in a while", async () => {
  await withClock(async (forward) => {
    const script = new Script();
    const { eyas, workers } = await fakeEngine(script, { recover: true, device: "gpu", cloud }, gpu);
    let isBroken = true;
    script.onToken = () => {
      if (isBroken && script.detached === undefined) throw lost(0);
    };
    assert.equal((await eyas.chat("hello")).text, "echo: user:hello");
    assert.equal(eyas.info.device.kind, "none");
    const loads = script.loads.length;
    await eyas.chat("hello");
    assert.equal(script.loads.length, loads, "at once it is not tried");
    forward(RETRY_DEVICE_MS);
    script.failLoad = () => new EyasError("webgpu-unavailable", "not yet");
    await eyas.chat("hello");
    await eyas.chat("hello");
    assert.deepEqual([script.loads.length, eyas.info.device.kind], [loads + 1, "none"], "in vain, and then not again at once");
    assert.equal(workers.filter((worker) => worker.isAlive()).length, 1);
    forward(RETRY_DEVICE_MS);
    script.failLoad = undefined;
    isBroken = false;
    const answers = await Promise.all([eyas.chat("hello"), eyas.chat("hello")]);
    assert.deepEqual([answers.map(({ text }) => text), script.loads.length, eyas.info.device.kind], [Array(2).fill("echo: user:hello"), loads + 2, "gpu"]);
    assert.equal(workers.filter((worker) => worker.isAlive()).length, 1);
    await eyas.dispose();
  });
});

test("without a cloud a device that was lost too often is tried again after a while", async () => {
  await withClock(async (forward) => {
    const script = new Script();
    const { eyas } = await fakeEngine(script, { recover: true, device: "gpu" }, gpu);
    let enough = Infinity;
    script.onToken = () => {
      if (script.loads.length < enough) throw lost(0);
    };
    await assert.rejects(eyas.chat("hello"), { code: "device-lost" });
    const loads = script.loads.length;
    await assert.rejects(eyas.chat("hello"), { code: "device-lost" });
    assert.equal(script.loads.length, loads, "at once it is not tried");
    forward(RETRY_DEVICE_MS);
    script.failLoad = () => new EyasError("download-failed", "offline");
    await assert.rejects(eyas.chat("hello"), { code: "device-lost", message: /offline/ });
    await assert.rejects(eyas.chat("hello"), { code: "device-lost" });
    assert.equal(script.loads.length, loads + 1, "in vain, and then not again at once");
    forward(RETRY_DEVICE_MS);
    script.failLoad = undefined;
    enough = loads + 2;
    assert.equal((await eyas.chat("hello")).text, "echo: user:hello");
    await eyas.dispose();
  });
});

test("usage sums up what arrived, over every worker", async () => {
  const script = new Script();
  const prices = { promptPerMillion: 1e6, completionPerMillion: 2e6 };
  const { eyas } = await fakeEngine(script, { recover: true, cloud: { ...cloud, prices } }, gpu);
  const none = { requests: 0, promptTokens: 0, completionTokens: 0 };
  assert.deepEqual(eyas.usage, { local: none, cloud: { ...none, uncounted: 0, brokenOff: 0 }, bytesSent: 0, cost: 0, saved: 0 });
  script.completion = { usage: { promptTokens: 3, completionTokens: 4 }, provenance: { saved: 11 } };
  await eyas.chat("hello");
  let left = 1;
  script.onToken = (count) => {
    if (count === 3 && left-- > 0) throw lost(1);
  };
  await eyas.session().send("hello");
  script.completion = { usage: { promptTokens: 5, completionTokens: 6 }, provenance: { tier: "cloud", cost: 17, saved: null } };
  await eyas.chat("hello");
  script.completion = { usage: { promptTokens: 0, completionTokens: 0 }, provenance: { tier: "cloud", cost: null } };
  script.host.egress({ ...entry, request: 4, bytes: 30 });
  await eyas.chat("hello");
  script.failNext = new EyasError("cloud-http", "busy");
  script.host.egress({ ...entry, id: 2, request: 5, bytes: 12 });
  const brokenOff = { promptTokens: 3, completionTokens: 2, isCounted: false, cost: 7 };
  script.host.egress({ ...entry, id: 2, request: 5, bytes: 12, outcome: "answered", status: 200, brokenOff });
  await assert.rejects(eyas.chat("hello"), { code: "cloud-http" });
  assert.deepEqual(eyas.usage, {
    local: { requests: 2, promptTokens: 6, completionTokens: 8 },
    cloud: { requests: 2, promptTokens: 8, completionTokens: 8, uncounted: 1, brokenOff: 1 },
    bytesSent: 42,
    cost: 24,
    saved: 22,
  });
  await eyas.dispose();
  const { eyas: unpriced } = await fakeEngine(new Script(), { cloud });
  assert.deepEqual([unpriced.usage.cost, unpriced.usage.saved], [null, null]);
  await unpriced.dispose();
});
