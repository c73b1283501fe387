import assert from "node:assert/strict";
import { test } from "node:test";

import { EyasError, fakeEngine } from "./fake_engine.mjs";

const code = (expected) => (error) => error instanceof EyasError && error.code === expected;
const contents = (session) => session.messages.map(({ role, content }) => `${role}:${content}`);

test("a session remembers its turns", async () => {
  const { eyas } = await fakeEngine();
  const session = eyas.session({ system: "be brief" });
  assert.equal((await session.send("a")).text, "echo: system:be brief|user:a");
  await session.send("b");
  assert.equal(session.messages.length, 5);
  assert.equal(session.messages[3].content, "b");
});

test("turns sent at once run in order, each on the ones before", async () => {
  const { eyas } = await fakeEngine();
  const session = eyas.session();
  const [, second] = await Promise.all([session.send("a"), session.send("b")]);
  assert.equal(second.text, "echo: user:a|assistant:echo: user:a|user:b");
});

test("a turn that is aborted or fails leaves the conversation as it was", async () => {
  const { eyas } = await fakeEngine();
  const session = eyas.session();
  await session.send("a");
  const before = contents(session);
  for await (const _ of session.stream("b")) {
    break;
  }
  await assert.rejects(session.send("c", { temperature: 666 }), code("context-overflow"));
  await assert.rejects(session.send(""), code("bad-input"));
  assert.deepEqual(contents(session), before);
  await session.send("d");
  assert.equal(session.messages.length, 4);
});

test("a fork goes on alone", async () => {
  const { eyas, script } = await fakeEngine();
  const session = eyas.session();
  await session.send("a");
  const fork = await session.fork();
  await fork.send("b");
  await session.send("c");
  assert.equal(contents(fork)[2], "user:b");
  assert.equal(contents(session)[2], "user:c");
  assert.equal(script.open, 2);
  await fork.dispose();
  await fork.dispose();
  await session.dispose();
  assert.equal(script.open, 0);
  await assert.rejects(session.send("x"), code("bad-input"));
  await assert.rejects(session.fork(), code("bad-input"));
});

test("a session of an engine that is gone rejects, and its dispose does not", async () => {
  const { eyas } = await fakeEngine();
  const session = eyas.session();
  await eyas.dispose();
  await assert.rejects(session.send("x"), code("bad-input"));
  await session.dispose();
});

test("wrong options of a session are bad-input", async () => {
  const { eyas } = await fakeEngine();
  assert.throws(() => eyas.session({ sytem: "x" }), code("bad-input"));
  assert.throws(() => eyas.session({ system: 3 }), code("bad-input"));
});
