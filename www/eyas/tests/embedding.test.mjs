import assert from "node:assert/strict";
import { test } from "node:test";

import { EyasError, fakeEngine } from "./fake_engine.mjs";

const code = (expected) => (error) => error instanceof EyasError && error.code === expected;

test("texts are embedded in their order, and one text is a list of one", async () => {
  const { eyas, script } = await fakeEngine();
  const embeddings = await eyas.embed(["a", "bcd", ""]);
  assert.deepEqual(embeddings.map(({ vector }) => vector[0]), [1, 3, 0]);
  assert.ok(embeddings[0].vector instanceof Float32Array);
  assert.deepEqual((await eyas.embed("ab")).map(({ tokens }) => tokens), [2]);
  assert.deepEqual(script.log, ["embed a", "embed bcd", "embed ", "embed ab"]);
  assert.deepEqual(await eyas.classify("x"), [{ label: "x", score: 1 }]);
  assert.deepEqual(await eyas.embed([]), []);
});

test("wrong arguments are refused before the worker hears of them", async () => {
  const { eyas, script } = await fakeEngine();
  await assert.rejects(eyas.embed(["a", 3]), code("bad-input"));
  await assert.rejects(eyas.embed({ texts: ["a"] }), code("bad-input"));
  await assert.rejects(eyas.embed("a", { normalise: true }), code("bad-input"));
  await assert.rejects(eyas.classify(["a"]), code("bad-input"));
  assert.deepEqual(script.log, []);
});

test("an abort between two texts rejects with the signal's own reason, and the engine goes on", async () => {
  const { eyas, script } = await fakeEngine();
  const controller = new AbortController();
  const reason = { mine: true };
  script.stepMs = 5;
  const many = Array.from({ length: 1000 }, (_, number) => `text ${number}`);
  const embedding = eyas.embed(many, { signal: controller.signal });
  setTimeout(() => controller.abort(reason), 50);
  await assert.rejects(embedding, (error) => error === reason);
  assert.equal((await eyas.embed("next")).length, 1);
  assert.ok(script.log.length < 100, `${script.log.length} texts`);
});

test("an error of the engine arrives with its code", async () => {
  const { eyas, script } = await fakeEngine();
  script.failNext = new EyasError("unsupported-model", "a decoder");
  await assert.rejects(eyas.embed("a"), code("unsupported-model"));
});
