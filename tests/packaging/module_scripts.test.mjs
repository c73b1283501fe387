// What the scripts that rewrite a module must leave as it is.
import assert from "node:assert/strict";
import { test } from "node:test";
import { gzipSync } from "node:zlib";

import { compressibleOrder } from "../../pkg-scripts/order_functions.mjs";
import { Reader, leb } from "../../pkg-scripts/wasm_sections.mjs";

/** Bytes that nothing compresses, the same ones for the same seed. */
function noise(seed, length) {
  let state = seed;
  return Uint8Array.from({ length }, () => (state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0) >>> 24);
}

test("functions that are alike stand together, and each stands once", () => {
  const families = 16;
  // Of each family one at the beginning and one behind the reach of gzip.
  const bodies = Array.from({ length: 2 * families }, (_, index) => noise((index % families) + 1, 4_000));
  const order = compressibleOrder(bodies);
  assert.deepEqual([...order].sort((a, b) => a - b), [...bodies.keys()]);
  const size = (indices) => gzipSync(Buffer.concat(indices.map((index) => bodies[index]))).length;
  assert.ok(size(order) < 0.6 * size([...bodies.keys()]), `${size(order)} of ${size([...bodies.keys()])} bytes`);
});

test("functions without a sequence of bytes are kept", () => {
  assert.deepEqual(compressibleOrder([Uint8Array.of(0, 11), Uint8Array.of(), Uint8Array.of(0, 11)]).sort(), [0, 1, 2]);
});

test("numbers are written as they are read", () => {
  for (const number of [0, 1, 127, 128, 300, 16_383, 16_384, 2 ** 32 - 1, 2 ** 40]) {
    const bytes = leb(number);
    const reader = new Reader(bytes, 0);
    assert.equal(reader.number(), number);
    assert.equal(reader.at, bytes.length);
  }
});
