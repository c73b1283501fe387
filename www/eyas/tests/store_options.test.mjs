// What a load asks of the store, and what a model is called there.
import assert from "node:assert/strict";
import { test } from "node:test";

import internals from "./internals.mjs";

const { storeId, wireSource, wireStoreOptions } = internals;
const BASE = "https://app.test/page/";
const source = (model) => wireSource(model, BASE);

test("addresses are kept, files are not unless it is asked for", () => {
  assert.deepEqual(wireStoreOptions({}, source("./model/")), { id: "https://app.test/page/model/", evictable: false, sha256: {}, respectsDataSaver: true });
  assert.equal(wireStoreOptions({ store: "none" }, source("./model/")).id, undefined);
  const files = source({ name: "m", files: { "b.json": "/b", "a.json": "/a" } });
  assert.equal(wireStoreOptions({}, files).id, undefined);
  assert.equal(wireStoreOptions({ store: "device" }, files).id, "m: a.json https://app.test/a, b.json https://app.test/b");
});

test("one model has one name, however it is written", () => {
  assert.equal(storeId(source("org/name")), storeId(source("https://huggingface.co/org/name/resolve/main/")));
  assert.equal(storeId(source("./m")), storeId(source(new URL("https://app.test/page/m/#x"))));
  assert.notEqual(storeId(source("./m")), storeId(source("./m?v=2")));
});

test("wrong options are bad-input", () => {
  const wrong = [{ store: true }, { store: "memory" }, { evictable: 1 }, { sha256: [] }, { sha256: { "a.bin": "00" } }, { dataSaver: false }];
  for (const options of wrong) {
    assert.throws(() => wireStoreOptions(options, source("org/name")), { code: "bad-input" }, JSON.stringify(options));
  }
  assert.equal(wireStoreOptions({ sha256: { "a.bin": "AB".repeat(32) }, dataSaver: "ignore" }, source("org/name")).respectsDataSaver, false);
});
