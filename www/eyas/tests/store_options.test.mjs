// What a load asks of the store, and what a model is called there.
import assert from "node:assert/strict";
import { test } from "node:test";

import internals from "./internals.mjs";

const { storeId, verify, wireSource, wireStoreOptions } = internals;
const BASE = "https://app.test/page/";
const source = (model) => wireSource(model, BASE);

test("addresses are kept, files are not unless it is asked for", () => {
  assert.deepEqual(wireStoreOptions({}, source("./model/")), { id: "https://app.test/page/model/", required: false, evictable: false, sha256: {}, respectsDataSaver: true, manifest: { url: "https://app.test/page/model/eyas.manifest.json" } });
  assert.equal(wireStoreOptions({ store: "none" }, source("./model/")).id, undefined);
  const files = source({ name: "m", files: { "b.json": "/b", "a.json": "/a" } });
  assert.equal(wireStoreOptions({}, files).id, undefined);
  const named = { id: "m: a.json https://app.test/a, b.json https://app.test/b" };
  for (const store of ["auto", "device"]) {
    const { id, required } = wireStoreOptions({ store }, files);
    assert.deepEqual({ id, required }, { ...named, required: store === "device" });
  }
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

test("a manifest is beside its model, or where it is said to be", () => {
  const place = (model, options = {}) => wireStoreOptions(options, source(model), BASE).manifest;
  assert.deepEqual(place("https://m.test/a/b.gguf?token=1"), { url: "https://m.test/a/eyas.manifest.json?token=1", lists: "b.gguf" });
  assert.deepEqual(place("https://m.test/a/my%20model.gguf"), { url: "https://m.test/a/eyas.manifest.json", lists: "my model.gguf" });
  assert.deepEqual(place("https://m.test/a/half%ZZ.gguf"), { url: "https://m.test/a/eyas.manifest.json", lists: "half%ZZ.gguf" });
  assert.deepEqual(place("./m", { manifest: "/keys/m.json" }), { url: "https://app.test/keys/m.json" });
  assert.equal(place("./m", { manifest: false }), undefined);
  assert.equal(place({ files: { "config.json": "/c" } }), undefined);
  assert.deepEqual(place({ files: { "config.json": "/c", "eyas.manifest.json": "/e" } }), { url: "https://app.test/e" });
  const key = "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=";
  assert.equal(wireStoreOptions({ publicKey: key }, source("./m"), BASE).publicKey, key);
  for (const options of [{ manifest: true }, { manifest: 5 }, { publicKey: "abc" }, { publicKey: key, manifest: false }, { manifest: "http://[" }]) {
    assert.throws(() => wireStoreOptions(options, source("./m"), BASE), { code: "bad-input" }, JSON.stringify(options));
  }
});

test("signatures are Ed25519's", async () => {
  // RFC 8032, section 7.1, test 3.
  const hex = (text) => Buffer.from(text, "hex");
  const key = hex("fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025").toString("base64");
  const signature = hex("6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a");
  const message = new Uint8Array([0xaf, 0x82]);
  assert.equal(await verify(key, signature.toString("base64"), message), true);
  assert.equal(await verify(key, signature.toString("base64"), new Uint8Array([0xaf, 0x83])), false);
  signature[7] ^= 1;
  assert.equal(await verify(key, signature.toString("base64"), message), false);
  for (const wrong of ["", "AAAA", "not base64!"]) {
    assert.equal(await verify(key, wrong, message), false, wrong);
  }
  await assert.rejects(verify("AAAA", signature.toString("base64"), message), { code: "integrity", message: /WebCrypto/ });
});
