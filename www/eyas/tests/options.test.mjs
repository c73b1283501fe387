import assert from "node:assert/strict";
import { test } from "node:test";

import { fakeEngine } from "./fake_engine.mjs";
import internals from "./internals.mjs";

const { chooseDevice, engineOptions, errorFromData, errorToData, EyasError, samplingOptions, wireSource } = internals;
const BASE = "https://page.test/app/";
const badInput = (pattern) => (error) => error instanceof EyasError && error.code === "bad-input" && pattern.test(error.message);

test("each wrong generate option is bad-input and named", () => {
  const cases = [
    [{ temprature: 1 }, /unknown option "temprature"/],
    [{ temperature: "1" }, /temperature/],
    [{ temperature: Number.NaN }, /temperature/],
    [{ maxTokens: 0 }, /maxTokens/],
    [{ maxTokens: 1.5 }, /maxTokens/],
    [{ topK: -1 }, /topK/],
    [{ seed: 2 ** 60 }, /seed/],
    [{ stop: [""] }, /stop/],
    [{ stop: 3 }, /stop/],
    [{ logprobs: 1 }, /logprobs/],
    [{ logitBias: { a: 1 } }, /logitBias/],
    [{ logitBias: { 5: "x" } }, /logitBias of token 5/],
    [{ signal: {} }, /signal/],
    [{ onPrefill: 1 }, /onPrefill/],
    [{ templateVariables: 1 }, /templateVariables/],
    [null, /options must be an object/],
    [[], /options must be an object/],
  ];
  for (const [options, pattern] of cases) {
    assert.throws(() => samplingOptions(options), badInput(pattern), JSON.stringify(options));
  }
});

test("good generate options go on without what only the page knows", () => {
  const { signal } = new AbortController();
  assert.deepEqual(samplingOptions({ temperature: 0.5, stop: "x", seed: undefined, signal, onPrefill() {}, templateVariables: {} }), { temperature: 0.5, stop: ["x"] });
});

test("wrong options and inputs reject; they are never thrown", async () => {
  const { eyas } = await fakeEngine();
  for (const [input, options] of [["", {}], [[], {}], [3, {}], [{ prompt: 3 }, {}], [[{ role: "bot", content: "x" }], {}], [[{ role: "user" }], {}], ["x", { foo: 1 }], ["x", null]]) {
    await assert.rejects(eyas.chat(input, options), badInput(/./), JSON.stringify([input, options]));
  }
  assert.equal((await eyas.chat("fine")).text, "echo: user:fine");
});

test("each wrong load option is bad-input and named", () => {
  const cases = [
    [{ devise: "gpu" }, /unknown option "devise"/],
    [{ device: "npu" }, /device/],
    [{ quantize: "q2" }, /quantize/],
    [{ contextTokens: 0 }, /contextTokens/],
    [{ prefillChunkTokens: -1 }, /prefillChunkTokens/],
    [{ relaxedSimd: 1 }, /relaxedSimd must be true or false, found 1/],
    [{ tuning: 1 }, /tuning must be an object/],
    [{ tuning: { lanes: 1 } }, /tuning has the unknown option "lanes"/],
    [{ tuning: { matvecLanes: 1, matvecRows: 32, matvecThreadRows: 8, matmulRows: 8, matmulTokens: 8, matmulBits: 16, attentionHeads: 8, attentionTokens: 4, attentionSplits: 1 } }, /tuning\.reduceLanes/],
    [{ onProgress: 1 }, /onProgress/],
    [{ signal: 1 }, /signal/],
  ];
  for (const [options, pattern] of cases) {
    assert.throws(() => engineOptions({ model: "a/b", ...options }), badInput(pattern), JSON.stringify(options));
  }
});

test("model sources become absolute", () => {
  const folder = (url) => ({ kind: "folder", url });
  const gguf = (url) => ({ kind: "gguf", url });
  const cases = [
    ["https://x.test/m", folder("https://x.test/m/")],
    ["https://x.test/m/?a=1#b", folder("https://x.test/m/?a=1")],
    ["https://x.test/m.GGUF?download=true", gguf("https://x.test/m.GGUF?download=true")],
    ["./m/", folder("https://page.test/app/m/")],
    ["/m.gguf", gguf("https://page.test/m.gguf")],
    ["org/name", folder("https://huggingface.co/org/name/resolve/main/")],
    ["org/name/a/b.gguf", gguf("https://huggingface.co/org/name/resolve/main/a/b.gguf")],
    [new URL("https://x.test/m/"), folder("https://x.test/m/")],
  ];
  for (const [model, expected] of cases) {
    assert.deepEqual(wireSource(model, BASE), expected, String(model));
  }
});

test("files are taken by name, and data URLs become blobs", async () => {
  const file = new File(["x"], "config.json");
  assert.deepEqual(wireSource([file], BASE), { kind: "files", files: [{ name: "config.json", blob: file }] });
  // As a browser gives the files of a folder that a person chose.
  const inside = Object.defineProperty(new File(["y"], "config.json"), "webkitRelativePath", { value: "MiniLM/1_Pooling/config.json" });
  assert.deepEqual(wireSource([file, inside], BASE).files.map(({ name }) => name), ["config.json", "1_Pooling/config.json"]);
  const { files } = wireSource({ files: { a: "./a.json", b: new URL("https://x.test/b"), c: "data:application/json;base64,eyJhIjoxfQ==", d: "data:,a%20b" } }, BASE);
  assert.equal(files[0].url, "https://page.test/app/a.json");
  assert.equal(files[1].url, "https://x.test/b");
  assert.equal(await files[2].blob.text(), '{"a":1}');
  assert.equal(await files[3].blob.text(), "a b");
});

test("wrong model sources are bad-input", () => {
  for (const model of ["", "name", "a b", "ftp://x.test/m", "javascript:alert(1)", "a/b/c", 3, null, undefined, [], { files: {} }, { files: { a: 3 } }, ["x"], {}]) {
    assert.throws(() => wireSource(model, BASE), badInput(/model/), JSON.stringify(model));
  }
});

test("the device is chosen and the reason said", async () => {
  const adapter = { requestAdapter: async () => ({}) };
  const software = { requestAdapter: async () => ({ info: { vendor: "google", architecture: "swiftshader", isFallbackAdapter: true } }) };
  const none = { requestAdapter: async () => null };
  const broken = { requestAdapter: async () => Promise.reject(new Error("blocked")) };
  const cases = [
    ["auto", adapter, true, "gpu", /adapter is available/],
    ["auto", software, true, "cpu", /swiftshader.*computes in software/],
    ["gpu", software, true, "gpu", /caller asked/],
    ["gpu", adapter, true, "gpu", /caller asked/],
    ["cpu", adapter, true, "cpu", /caller asked/],
    ["auto", none, true, "cpu", /no WebGPU adapter/],
    ["auto", broken, true, "cpu", /blocked/],
    ["auto", undefined, true, "cpu", /no WebGPU in a worker/],
    ["auto", undefined, false, "cpu", /secure page/],
  ];
  for (const [choice, gpu, secure, kind, reason] of cases) {
    const plan = await chooseDevice(choice, gpu, secure);
    assert.equal(plan.kind, kind);
    assert.match(plan.reason, reason);
  }
  await assert.rejects(chooseDevice("gpu", none, true), (error) => error.code === "webgpu-unavailable");
});

test("errors cross the worker unharmed", () => {
  const error = errorFromData(structuredClone(errorToData(new EyasError("download-failed", "no net", { cause: new Error("dns") }))));
  assert.ok(error instanceof EyasError && error instanceof Error);
  assert.deepEqual([error.code, error.message, error.retryable, error.cause], ["download-failed", "no net", true, "dns"]);
  assert.deepEqual(errorToData("oops"), { code: "internal", message: "oops", retryable: false });
});
