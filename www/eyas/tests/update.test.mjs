// Bringing a model up to date: what is tried where, what an error says, and what the first answer decides.
import assert from "node:assert/strict";
import { test } from "node:test";

import internals from "./internals.mjs";

const { EyasError, StoredModels, updateModel, VersionProof } = internals;

const call = { type: "update", source: { kind: "folder", url: "https://m.test/" }, device: "auto", options: { quantize: "auto" }, store: {}, gpuWasm: "gpu", cpuWasm: "cpu" };

/** A worker whose store has the version `old`, and what was asked of it. */
function fakeWorker({ newer = true, failures = {}, storing = { id: "m" }, aborted = false } = {}) {
  const log = [];
  const module = (kind) => ({
    kind,
    listModels: async () => [{ id: "other" }, { id: "m", version: "old" }],
    fetchNewer: async () => {
      log.push(`fetch ${kind}`);
      return { newer, fetchedBytes: newer ? 7 : 0 };
    },
    tryNewer: async () => {
      log.push(`try ${kind}`);
      if (failures[kind]) {
        throw failures[kind];
      }
      return "new";
    },
  });
  return {
    log,
    gpu: { requestAdapter: async () => ({ info: { vendor: "fake" } }) },
    isSecureContext: true,
    startCpu: async () => module("cpu"),
    startGpu: async () => module("gpu"),
    storing: async () => ({ host: {}, storing }),
    cancellable: (_wasm, work) => work({}),
    onProgress: () => {},
    signal: aborted ? AbortSignal.abort() : new AbortController().signal,
  };
}

test("what is current is not tried", async () => {
  const worker = fakeWorker({ newer: false });
  assert.deepEqual(await updateModel(call, worker), { status: "current", version: "old", previousVersion: null, fetchedBytes: 0 });
  assert.deepEqual(worker.log, ["fetch cpu"]);
});

test("a newer version is tried where a load would be", async () => {
  const worker = fakeWorker();
  assert.deepEqual(await updateModel(call, worker), { status: "updated", version: "new", previousVersion: "old", fetchedBytes: 7 });
  assert.deepEqual(worker.log, ["fetch cpu", "try gpu"]);
  const second = fakeWorker();
  await updateModel({ ...call, device: "cpu" }, second);
  assert.deepEqual(second.log, ["fetch cpu", "try cpu"]);
});

test("a GPU that fails is not the version's fault, a broken version is", async () => {
  const worker = fakeWorker({ failures: { gpu: new EyasError("out-of-memory", "full") } });
  assert.equal((await updateModel(call, worker)).status, "updated");
  assert.deepEqual(worker.log, ["fetch cpu", "try gpu", "try cpu"]);
  const broken = fakeWorker({ failures: { gpu: new EyasError("bad-model", "NaN") } });
  await assert.rejects(updateModel(call, broken), { code: "bad-model", message: /not taken, and the model is as it was: NaN/ });
  assert.deepEqual(broken.log, ["fetch cpu", "try gpu"]);
});

test("where nothing is kept there is nothing to be updated", async () => {
  await assert.rejects(updateModel(call, fakeWorker({ storing: { reason: "a private window" } })), { code: "model-not-found", message: /a private window/ });
});

test("wrong options are refused before a worker starts", async () => {
  const models = new StoredModels(() => assert.fail("a worker was started"), () => ({ gpuWasm: "http://app.test/g", cpuWasm: "http://app.test/c" }));
  await assert.rejects(models.update("org/name", { cloud: {} }), { code: "bad-input" });
  await assert.rejects(models.update("org/name", { device: "npu" }), { code: "bad-input" });
  await assert.rejects(models.update([new File(["x"], "m.gguf")]), { code: "bad-input" });
  const reason = new Error("enough");
  await assert.rejects(models.update("org/name", { signal: AbortSignal.abort(reason) }), reason);
});

/** A proof that notes its judgements. */
function noting(answer = true) {
  const judged = [];
  const proof = new VersionProof(async (judgement) => {
    judged.push(judgement);
    return answer;
  });
  return { judged, proof };
}

test("the first answer decides once", async () => {
  const { judged, proof } = noting();
  await proof.begins();
  proof.answered();
  await proof.begins();
  proof.answered();
  assert.equal((await proof.failed(new EyasError("internal", "later"))).message, "later");
  proof.undecided();
  await proof.settled();
  assert.deepEqual(judged, ["begin", "settle"]);
});

test("a version whose first answer fails by its own fault goes back", async () => {
  for (const [code, goesBack] of [["internal", true], ["bad-device", true], ["device-lost", false], ["aborted", false], ["context-overflow", false]]) {
    const { judged, proof } = noting();
    await proof.begins();
    const error = await proof.failed(new EyasError(code, "no"));
    await proof.settled();
    assert.equal(error.code, code);
    assert.equal(/put back/.test(error.message), goesBack, code);
    assert.deepEqual(judged, ["begin", goesBack ? "roll-back" : "end"]);
  }
  const late = noting(false).proof;
  assert.equal((await late.failed(new EyasError("internal", "no"))).message, "no", "another version is current by now");
});

test("where the module breaks in the first answer, that it was begun stays written down", async () => {
  const { judged, proof } = noting();
  await proof.begins();
  const trap = new WebAssembly.RuntimeError("unreachable");
  assert.equal(await proof.failed(trap), trap);
  await proof.settled();
  assert.deepEqual(judged, ["begin"]);
});
