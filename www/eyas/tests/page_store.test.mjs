import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";

import { fakeEngine, Script } from "./fake_engine.mjs";
import internals from "./internals.mjs";

const { PageStore } = internals;
const kept = new Map();
const locked = [];

beforeEach(() => {
  kept.clear();
  locked.length = 0;
  const localStorage = { getItem: (key) => kept.get(key) ?? null, setItem: (key, text) => kept.set(key, text), removeItem: (key) => kept.delete(key) };
  const locks = {
    query: async () => ({ held: locked.map((name) => ({ name })), pending: [] }),
    async request(name, _, work) {
      locked.push(name);
      await work();
      locked.splice(locked.indexOf(name), 1);
    },
  };
  Object.defineProperty(globalThis, "localStorage", { value: localStorage, configurable: true });
  Object.defineProperty(globalThis, "navigator", { value: { locks }, configurable: true });
});

test("a mark that a killed page left is found, and taken away", async () => {
  kept.set("m", "1");
  const store = new PageStore();
  assert.equal(await store.get("m"), "1");
  store.set("m", undefined);
  assert.equal(kept.size, 0);
});

test("a mark of a page that lives says nothing, neither in this tab nor in another", async () => {
  const [one, two] = [new PageStore(), new PageStore()];
  one.set("m", "1");
  assert.equal(await two.get("m"), undefined);
  two.set("m", "1");
  one.set("m", undefined);
  assert.equal(kept.get("m"), "1", "the other load still runs");
  two.set("m", undefined);
  await new Promise((resolve) => setTimeout(resolve, 0));
  assert.deepEqual([kept.size, locked.length], [0, 0]);
  kept.set("m", "1");
  locked.push("m"); // held by another tab
  assert.equal(await one.get("m"), undefined);
  locked.pop();
  assert.equal(await one.get("m"), "1");
});

test("a worker that is ended takes its marks along, and without locks or storage nothing fails", async () => {
  const store = new PageStore();
  store.set("a", "1");
  store.set("b", "1");
  store.clear();
  assert.equal(kept.size, 0);
  Object.defineProperty(globalThis, "navigator", { value: {}, configurable: true });
  store.set("a", "1");
  assert.equal(await new PageStore().get("a"), undefined);
  store.clear();
  Object.defineProperty(globalThis, "localStorage", { get: () => { throw new Error("forbidden"); }, configurable: true });
  store.set("a", "1");
  assert.equal(await store.get("a"), undefined);
  store.clear();
});

test("what is left under a key is found by its own page, and outlives it", async () => {
  const store = new PageStore();
  kept.set("left", "0");
  store.leave("left", "1 1");
  assert.deepEqual([await store.get("left"), await new PageStore().get("left"), locked], ["1 1", "1 1", []]);
  store.clear();
  assert.equal(kept.get("left"), "1 1");
  Object.defineProperty(globalThis, "localStorage", { get: () => { throw new Error("forbidden"); }, configurable: true });
  store.leave("left", "1 0");
  assert.equal(await new PageStore().get("left"), "1 0", "as long as the page lives");
  store.set("left", undefined);
  assert.equal(await store.get("left"), undefined);
});

test("an engine that is disposed in the middle of its load leaves no mark", async () => {
  const script = new Script();
  const { eyas } = await fakeEngine(script);
  await script.host.storeSet("eyas-loading:x", "1");
  assert.equal(kept.size, 1);
  await eyas.dispose();
  assert.equal(kept.size, 0);
});
