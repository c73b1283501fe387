// Names the functions of a WebAssembly module so that `wasm-opt --reorder-functions-by-name` puts beside each other what gzip compresses well
// together: `order_functions.mjs INPUT.wasm OUTPUT.wasm`. The module is the same but for its `name` section.
//
// gzip looks back 32 KiB. From the functions that stand in the last bytes of that window the next one is chosen: the one of which the largest share of
// short byte sequences is in the window already. Calls name functions by index, and an index has the same bytes wherever it stands, so what is
// alike before the functions are numbered anew is alike afterwards.
import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

import { Reader, SECTION, leb, sections } from "./wasm_sections.mjs";

const FUNCTION_NAMES = 1;
/** Bytes of functions that count as near, somewhat less than gzip's window. */
const WINDOW = 28_000;
/** Bytes of a sequence: long enough that gzip gains by each. */
const SEQUENCE = 7;
/** Added to the number of a function's sequences, so that of two functions with the same share the longer one comes first. */
const PREFER_LONG = 1000;

function importedFunctions(wasm, section) {
  const reader = new Reader(wasm, section.body);
  let functions = 0;
  for (let left = reader.number(); left > 0; left--) {
    reader.take(reader.number());
    reader.take(reader.number());
    functions += Number(reader.isImportedFunction());
  }
  return functions;
}

function functionBodies(wasm, section) {
  const reader = new Reader(wasm, section.body);
  return Array.from({ length: reader.number() }, () => reader.take(reader.number()));
}

/** Hashes of all sequences of a body, each once. */
function sequences(body) {
  const hashes = new Set();
  for (let start = 0; start + SEQUENCE <= body.length; start++) {
    let hash = 0;
    for (let at = start; at < start + SEQUENCE; at++) {
      hash = (Math.imul(hash, 0x01000193) ^ body[at]) >>> 0;
    }
    hashes.add(Math.imul(hash ^ (hash >>> 15), 0x2c1b3c6d) >>> 6);
  }
  return [...hashes];
}

/** The indices of `bodies` in the order in which they should stand. */
export function compressibleOrder(bodies) {
  const hashesOf = bodies.map(sequences);
  const holders = new Map(); // the bodies that contain a sequence
  hashesOf.forEach((hashes, body) => hashes.forEach((hash) => (holders.get(hash) ?? holders.set(hash, []).get(hash)).push(body)));
  const near = new Map(); // how often a sequence is in the window
  const known = new Uint32Array(bodies.length); // how many of a body's sequences are in the window
  const add = (body, by) => {
    for (const hash of hashesOf[body]) {
      const before = near.get(hash) ?? 0;
      near.set(hash, before + by);
      if (before === 0 || before + by === 0) {
        for (const holder of holders.get(hash)) {
          known[holder] += by;
        }
      }
    }
  };
  const left = new Set(bodies.keys());
  const order = [];
  let [first, held] = [0, 0];
  while (left.size > 0) {
    let [next, best] = [-1, -1];
    for (const body of left) {
      const share = known[body] / (hashesOf[body].length + PREFER_LONG);
      if (share > best) {
        [next, best] = [body, share];
      }
    }
    left.delete(next);
    order.push(next);
    add(next, 1);
    held += bodies[next].length;
    while (held > WINDOW && first < order.length - 1) {
      add(order[first], -1);
      held -= bodies[order[first++]].length;
    }
  }
  return order;
}

/** `wasm` with a `name` section after which its functions stand in `order`. */
function named(wasm, found, imported, order) {
  const rank = [];
  order.forEach((body, place) => (rank[body] = place));
  const entries = rank.map((place, body) => {
    const name = Buffer.from(String(place).padStart(String(rank.length).length, "0"));
    return Buffer.concat([leb(imported + body), leb(name.length), name]);
  });
  const map = Buffer.concat([leb(entries.length), ...entries]);
  const content = Buffer.concat([leb(4), Buffer.from("name"), Buffer.from([FUNCTION_NAMES]), leb(map.length), map]);
  const isName = ({ id, body }) => id === SECTION.custom && wasm.subarray(body, body + 5).equals(Buffer.from("\u0004name"));
  const kept = found.filter((section) => !isName(section)).map(({ start, end }) => wasm.subarray(start, end));
  return Buffer.concat([wasm.subarray(0, 8), ...kept, Buffer.from([SECTION.custom]), leb(content.length), content]);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [input, output] = process.argv.slice(2);
  const wasm = readFileSync(input);
  const found = sections(wasm);
  const imports = found.find(({ id }) => id === SECTION.import);
  const bodies = functionBodies(
    wasm,
    found.find(({ id }) => id === SECTION.code),
  );
  writeFileSync(output, named(wasm, found, imports ? importedFunctions(wasm, imports) : 0, compressibleOrder(bodies)));
}
