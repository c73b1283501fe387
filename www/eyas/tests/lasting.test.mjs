// An answer outlives its device: what was heard is not heard again, and what can't be gone on with is said.
import assert from "node:assert/strict";
import { test } from "node:test";

import { EyasError, fakeEngine, fakeStorage, Script } from "./fake_engine.mjs";
import internals from "./internals.mjs";

const { Replay } = internals;
const gpu = { requestAdapter: async () => ({ info: { vendor: "fake" } }) };
const TEXT = "echo: user:hello";

/** A script that loses its device after so many tokens, each time a generation gets there, as often as `times` says. */
function losing(afterTokens, times) {
  const script = new Script();
  let left = times;
  script.onToken = (count) => {
    if (count === afterTokens && left > 0) {
      left -= 1;
      throw new EyasError("device-lost", "the GPU went away");
    }
  };
  return script;
}

async function heard(eyas) {
  const deltas = [];
  const stream = eyas.stream("hello");
  for await (const delta of stream) {
    deltas.push(delta);
  }
  return { deltas, completion: await stream.result() };
}

test("a device that is lost at any token: the text is the same, and each part of it is heard once", async () => {
  for (let after = 0; after < TEXT.length; after++) {
    const script = losing(after, 1);
    const { eyas } = await fakeEngine(script, { recover: true }, gpu);
    const { deltas, completion } = await heard(eyas);
    assert.equal(deltas.join(""), TEXT, `lost after ${after}`);
    assert.equal(completion.text, TEXT);
    assert.equal(script.loads.length, 2);
    await eyas.dispose();
  }
});

test("after three losses in a row it goes on with the CPU and says why", async () => {
  const script = losing(5, 4);
  const { eyas } = await fakeEngine(script, { recover: true }, gpu);
  assert.equal(eyas.info.device.kind, "gpu");
  const { completion } = await heard(eyas);
  assert.equal(completion.text, TEXT);
  assert.deepEqual(script.loads.map(({ kind }) => kind), ["gpu", "gpu", "gpu", "gpu", "cpu"]);
  assert.equal(eyas.info.device.kind, "cpu");
  assert.match(completion.provenance.deviceReason, /the GPU was lost 4 times in a row \(the GPU went away\)/);
  await eyas.dispose();
});

test("an answer in between counts the losses anew, and who asked for the GPU gets no CPU", async () => {
  const script = losing(3, 3);
  const { eyas } = await fakeEngine(script, { recover: true, device: "gpu" }, gpu);
  assert.equal((await heard(eyas)).completion.text, TEXT);
  assert.equal((await heard(eyas)).completion.text, TEXT);
  script.onToken = () => {
    throw new EyasError("device-lost", "again");
  };
  await assert.rejects(eyas.chat("hello"), { code: "device-lost" });
  assert.ok(script.loads.every(({ kind }) => kind === "gpu"));
  await eyas.dispose();
});

test("a worker that panics is restarted, for the answer under way and for those that wait", async () => {
  const script = new Script();
  script.stepMs = 2;
  const { eyas, workers } = await fakeEngine(script, { recover: true });
  const answers = [eyas.chat("hello"), eyas.chat("hello")];
  setTimeout(() => workers[0].host.panic("index out of bounds"), 12);
  assert.deepEqual((await Promise.all(answers)).map(({ text }) => text), [TEXT, TEXT]);
  assert.equal(workers.length, 2);
  assert.equal(workers[0].isAlive(), false);
  await eyas.dispose();
});

test("a session goes on after a loss, and so does its fork", async () => {
  const script = losing(4, 1);
  const { eyas } = await fakeEngine(script, { recover: true }, gpu);
  const session = eyas.session();
  assert.equal(await session.stream("hello").text(), TEXT);
  const fork = await session.fork();
  assert.match(await fork.stream("more").text(), /user:hello\|assistant:echo: user:hello\|user:more/);
  await eyas.dispose();
});

test("what a local-only request said stays in its session though the worker that knew is gone", async () => {
  const script = new Script();
  const cloud = { endpoint: "https://models.example/v1", model: "big" };
  const { eyas } = await fakeEngine(script, { recover: true, cloud }, gpu);
  const [secret, open] = [eyas.session(), eyas.session()];
  await secret.send("mine", { privacy: "local-only" });
  await open.send("yours");
  const early = await secret.fork();
  assert.deepEqual(script.tiers.map(({ privacy }) => privacy), [["local-only"], []]);
  let left = 1;
  script.onToken = (count) => {
    if (count === 3 && left-- > 0) throw new EyasError("device-lost", "the GPU went away");
  };
  script.tiers.length = 0;
  await secret.send("more"); // lost in the middle: the first worker knew what must not leave, the second has to be told
  const late = await secret.fork();
  for (const session of [secret, early, late, await late.fork(), open]) {
    await session.send("again");
  }
  await open.send("not me", { privacy: "prefer-cloud" });
  const kept = ["local-only"];
  assert.deepEqual(script.tiers.map(({ privacy }) => privacy), [[], kept, kept, kept, kept, kept, [], ["prefer-cloud"]]);
  await eyas.dispose();
});

test("an engine that is local-only needs no telling, and a loss before any local-only request closes nothing", async () => {
  const script = losing(2, 1);
  const { eyas } = await fakeEngine(script, { recover: true }, gpu);
  const session = eyas.session();
  await session.send("a");
  await session.send("b");
  assert.deepEqual(script.tiers.map(({ privacy }) => privacy), [[], [], []]);
  await eyas.dispose();
});

test("ledger and requests are numbered on where another worker begins again", async () => {
  const script = new Script();
  const { eyas } = await fakeEngine(script, { recover: true }, gpu);
  const entry = { id: 1, unixMs: 5, origin: "https://models.example", request: 1, attempt: 1, bytes: 10, reason: "cannot", detail: "x", outcome: "answered" };
  const first = await eyas.chat("hello");
  script.host.egress(entry);
  await eyas.chat("hello");
  await assert.rejects(eyas.chat("hello", { temperature: 666 }), { code: "context-overflow" });
  let left = 1;
  script.onToken = (count) => {
    if (count === 3 && left-- > 0) throw new EyasError("device-lost", "the GPU went away");
  };
  const third = await eyas.chat("hello");
  script.host.egress({ ...entry, request: 4, bytes: 7, outcome: "sent" });
  script.host.egress({ ...entry, request: 4, bytes: 7 });
  const fourth = await eyas.chat("hello");
  const numbers = [first, third, fourth].map(({ provenance }) => provenance.request);
  assert.deepEqual(numbers, [1, 4, 5], "a request keeps its number in another worker, and one that never began has its own");
  assert.deepEqual(eyas.ledger.entries().map(({ id, request, bytes, outcome }) => [id, request, bytes, outcome]), [[1, 1, 10, "answered"], [2, 4, 7, "answered"]]);
  assert.equal(eyas.ledger.totalBytes, 17);
  await eyas.dispose();
});

test("an abort ends an answer that is being computed again, and recover: false leaves the loss to the caller", async () => {
  const controller = new AbortController();
  const script = losing(5, 1);
  script.stepMs = 3;
  const { eyas } = await fakeEngine(script, { recover: true }, gpu);
  const answering = eyas.chat("hello", { signal: controller.signal });
  setTimeout(() => controller.abort("enough"), 25);
  await assert.rejects(answering, (reason) => reason === "enough");
  await eyas.dispose();
  const { eyas: plain } = await fakeEngine(losing(5, 1), { recover: false }, gpu);
  await assert.rejects(plain.chat("hello"), { code: "device-lost" });
  await plain.dispose();
});

test("an abort ends an answer whose model is being loaded again, and a dispose that load", async () => {
  for (const end of ["abort", "dispose"]) {
    const script = losing(3, 1);
    const { eyas, workers } = await fakeEngine(script, { recover: true }, gpu);
    script.failLoad = () => void (script.hang = script.loads.length === 2);
    const controller = new AbortController();
    const answering = eyas.chat("hello", { signal: controller.signal });
    for (let waits = 0; script.loads.length < 2; waits += 1) {
      assert.ok(waits < 5_000, "the model is loaded again");
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
    if (end === "abort") {
      controller.abort("enough");
      await assert.rejects(answering, (reason) => reason === "enough");
    }
    await eyas.dispose();
    if (end === "dispose") {
      await assert.rejects(answering, { code: "aborted" });
    }
    assert.deepEqual(workers.map((worker) => worker.isAlive()), [false, false]);
  }
});

test("reasoning that was heard is not heard again", async () => {
  const script = losing(4, 1);
  script.thought = "an echo?";
  const { eyas } = await fakeEngine(script, { recover: true }, gpu);
  const parts = [];
  for await (const part of eyas.stream("hello").parts()) {
    parts.push(part);
  }
  const said = (kind) => parts.filter(({ type }) => type === kind).map(({ text }) => text).join("");
  assert.deepEqual([said("reasoning"), said("text")], ["an echo?", TEXT]);
  assert.equal(script.loads.length, 2);
  await eyas.dispose();
});

test("vectors and labels outlive their device too", async () => {
  const script = new Script();
  const { eyas } = await fakeEngine(script, { recover: true }, gpu);
  let left = 2;
  script.onEmbed = () => {
    if (left-- > 0) throw new EyasError("device-lost", "the GPU went away");
  };
  assert.equal((await eyas.embed(["a", "b"])).length, 2);
  assert.equal(script.loads.length, 3);
  await eyas.dispose();
});

test("where the cloud answered for a lost device, the model is loaded again behind it, and nothing more is asked of the old one", async () => {
  const script = new Script();
  const cloud = { endpoint: "https://models.example/v1", model: "big" };
  const { eyas, workers } = await fakeEngine(script, { recover: true, cloud }, gpu);
  script.localError = "device-lost";
  script.failLoad = () => void (script.localError = undefined);
  const [rescued, waiting] = await Promise.all([eyas.chat("hello"), eyas.chat("next")]);
  assert.deepEqual([rescued.provenance.tier, rescued.provenance.localError], ["cloud", "device-lost"]);
  assert.deepEqual([waiting.provenance.tier, waiting.text, waiting.provenance.request], ["local", "echo: user:next", 2]);
  assert.equal(script.loads.length, 2);
  assert.equal(script.requests.length, 2);
  assert.deepEqual(workers.map((worker) => worker.isAlive()), [false, true]);
  await eyas.dispose();
});

test("after three losses in a row a cloud that the application named goes on alone", async () => {
  const script = new Script();
  const cloud = { endpoint: "https://models.example/v1", model: "big" };
  const { eyas, workers } = await fakeEngine(script, { recover: true, device: "cpu", cloud });
  script.onToken = (count) => {
    const { host } = workers.at(-1);
    if (count === 1 && script.detached === undefined) queueMicrotask(() => host.panic("index out of bounds"));
  };
  const { text } = await eyas.chat("hello");
  assert.equal(text, TEXT);
  assert.deepEqual([eyas.info.kind, eyas.info.device.kind], ["none", "none"]);
  assert.match(eyas.info.device.reason, /this device failed 4 times in a row \(.*index out of bounds/);
  assert.equal(script.detached, "internal");
  assert.equal(script.loads.length, 4);
  await eyas.dispose();
});

test("a repetition that says something else is noticed", () => {
  const said = [];
  let diverged = 0;
  const replay = new Replay((event) => said.push(event.text), () => (diverged += 1));
  const delta = (text) => replay.hear({ type: "delta", text });
  ["ab", "cd"].forEach(delta);
  replay.rewind();
  assert.equal(replay.isCaughtUp, false);
  ["a", "bc", "def"].forEach(delta);
  assert.deepEqual(said, ["ab", "cd", "ef"]);
  assert.equal(replay.isCaughtUp, true);
  replay.rewind();
  ["ab", "xx"].forEach(delta);
  assert.equal(diverged, 1);
});

const ID = "https://example.test/m/";
const NEWER = { version: "newer", previousKept: true };

test("a new version that breaks its worker in its first answer makes way for the one before, and the answer goes on", async (t) => {
  fakeStorage(t);
  const script = new Script();
  script.stepMs = 2;
  script.storage = NEWER;
  const { eyas, workers } = await fakeEngine(script, { recover: true });
  script.judge = (judgement) => {
    if (judgement === "put-back") {
      script.storage = { version: "before", previousKept: false };
    }
    return true;
  };
  const answer = eyas.chat("hello");
  setTimeout(() => workers[0].host.panic("index out of bounds"), 12);
  assert.equal((await answer).text, TEXT);
  assert.deepEqual(script.decided.slice(0, 2), [`begin ${ID} newer`, `put-back ${ID} `]); // the fake worker that broke goes on all the same
  assert.equal(eyas.info.storage.version, "before");
  assert.match(eyas.info.storage.rolledBack, /internal: the engine panicked: index out of bounds/);
  await eyas.dispose();
});

test("a worker that breaks where no new version is to blame loads the same one again", async (t) => {
  fakeStorage(t);
  const script = new Script();
  script.stepMs = 2;
  script.judge = (judgement) => judgement !== "put-back";
  const { eyas, workers } = await fakeEngine(script, { recover: true });
  const answer = eyas.chat("hello");
  setTimeout(() => workers[0].host.panic("index out of bounds"), 12);
  assert.equal((await answer).text, TEXT);
  assert.deepEqual(script.decided, [`put-back ${ID} `]);
  assert.equal(eyas.info.storage.rolledBack, null);
  await eyas.dispose();
});

test("a device that is lost in the first answer of a new version is no fault of it", async (t) => {
  fakeStorage(t);
  const script = losing(3, 1);
  script.storage = NEWER;
  const { eyas } = await fakeEngine(script, { recover: true }, gpu);
  assert.equal((await heard(eyas)).completion.text, TEXT);
  await eyas.dispose();
  assert.deepEqual(script.decided.map((decided) => decided.split(" ")[0]), ["begin", "end", "begin", "settle"]);
});

test("a load whose worker breaks is made again only where a newer version was to blame", async (t) => {
  fakeStorage(t);
  for (const [blamed, recover] of [[true, true], [false, true], [true, false]]) {
    const script = new Script();
    let breaks = true;
    script.failLoad = () => {
      if (breaks) {
        breaks = false;
        return new WebAssembly.RuntimeError("unreachable");
      }
      return undefined;
    };
    script.judge = () => blamed;
    const loading = fakeEngine(script, { recover });
    if (blamed && recover) {
      const { eyas, workers } = await loading;
      assert.equal(workers.length, 2);
      assert.match(eyas.info.storage.rolledBack, /the engine panicked: unreachable/);
      assert.equal((await eyas.chat("hello")).text, TEXT);
      await eyas.dispose();
    } else {
      await assert.rejects(loading, { code: "internal", message: /the engine panicked: unreachable/ });
      assert.equal(script.loads.length, 1);
    }
  }
});
