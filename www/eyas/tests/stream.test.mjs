import assert from "node:assert/strict";
import { test } from "node:test";

import { EyasError, Script, fakeEngine } from "./fake_engine.mjs";

const code = (expected) => (error) => error instanceof EyasError && error.code === expected;

async function collect(stream) {
  let text = "";
  for await (const delta of stream) {
    text += delta;
  }
  return text;
}

test("the deltas are the text, and text() and result() give the whole", async () => {
  const { eyas } = await fakeEngine();
  const stream = eyas.stream("hello");
  assert.equal(await collect(stream), "echo: user:hello");
  assert.equal(await stream.text(), "echo: user:hello");
  assert.equal((await stream.result()).finishReason, "stop");
});

test("reasoning comes apart from the text", async () => {
  const { eyas } = await fakeEngine(Object.assign(new Script(), { thought: "an echo?" }));
  const stream = eyas.stream("hello");
  const parts = [];
  for await (const part of stream.parts()) {
    parts.push(part);
  }
  assert.deepEqual(parts[0], { type: "reasoning", text: "an echo?" });
  assert.equal(parts.slice(1).map(({ type, text }) => (assert.equal(type, "text"), text)).join(""), "echo: user:hello");
  assert.equal(await collect(stream), "echo: user:hello");
});

test("reading late loses nothing, and a second loop sees everything again", async () => {
  const { eyas } = await fakeEngine();
  const stream = eyas.stream("hello");
  await stream.result();
  assert.equal(await collect(stream), "echo: user:hello");
  assert.equal(await collect(stream), "echo: user:hello");
});

test("leaving the loop aborts the generation", async () => {
  const { eyas, script } = await fakeEngine();
  const stream = eyas.stream("a long request");
  for await (const _ of stream) {
    break;
  }
  await assert.rejects(stream.result(), code("aborted"));
  await eyas.chat("next");
  assert.ok(!script.log.includes("end user:a long request"));
});

test("leaving the loop after the last delta of a finished answer aborts nothing", async () => {
  const { eyas } = await fakeEngine();
  const stream = eyas.stream("hello");
  await stream.result();
  for await (const _ of stream) {
    break;
  }
  assert.equal(await stream.text(), "echo: user:hello");
});

test("a stream that nobody reads and that fails is no unhandled rejection", async () => {
  const { eyas } = await fakeEngine();
  eyas.stream("hello", { temperature: "hot" });
  await new Promise((resolve) => setTimeout(resolve, 20));
});

test("onPrefill is told of the prompt", async () => {
  const { eyas } = await fakeEngine();
  const seen = [];
  await eyas.chat("x", { onPrefill: (progress) => seen.push(progress) });
  assert.deepEqual(seen, [{ doneTokens: 3, totalTokens: 3 }]);
});
