// Gives short names to what a WebAssembly module imports and to exports that end in a hash, in the module and in its glue:
// `shorten_names.mjs GLUE.js MODULE.wasm`, both changed in place. wasm-bindgen ends such a name in sixteen hexadecimal digits, which nothing compresses.
import { readFileSync, writeFileSync } from "node:fs";

import { Reader, SECTION, leb, sections } from "./wasm_sections.mjs";

const [gluePath, modulePath] = process.argv.slice(2);
const wasm = readFileSync(modulePath);
let glue = readFileSync(gluePath, "utf8");

const text = (name) => Buffer.concat([leb(Buffer.byteLength(name)), Buffer.from(name)]);
const short = new Map();
const shorten = (name) => short.get(name) ?? short.set(name, `_${short.size.toString(36)}`).get(name);

/** The section's content with each name as `rename` makes it; `skip` passes over what follows a name. */
function renamed(section, names, rename, skip) {
  const reader = new Reader(wasm, section.body);
  const count = reader.number();
  const parts = [leb(count)];
  for (let entry = 0; entry < count; entry++) {
    for (let left = names; left > 0; left--) {
      const name = reader.take(reader.number()).toString();
      parts.push(text(left === 1 ? rename(name) : name));
    }
    const start = reader.at;
    skip(reader);
    parts.push(wasm.subarray(start, reader.at));
  }
  const content = Buffer.concat(parts);
  return Buffer.concat([Buffer.from([section.id]), leb(content.length), content]);
}

const parts = sections(wasm).map((section) => {
  if (section.id === SECTION.import) {
    return renamed(section, 2, shorten, (reader) => reader.isImportedFunction());
  }
  if (section.id === SECTION.export) {
    return renamed(section, 1, (name) => (/h[0-9a-f]{16}$/.test(name) ? shorten(name) : name), (reader) => (reader.byte(), reader.number()));
  }
  return wasm.subarray(section.start, section.end);
});

for (const [name, brief] of short) {
  if (new RegExp(`\\b${brief}\\b`).test(glue)) {
    throw new Error(`${gluePath} has a name ${brief} of its own`);
  }
  const used = new RegExp(`\\b${name}\\b`, "g");
  if (!used.test(glue)) {
    throw new Error(`${gluePath} lacks ${name}, which ${modulePath} has`);
  }
  glue = glue.replace(used, brief);
}
writeFileSync(gluePath, glue);
writeFileSync(modulePath, Buffer.concat([wasm.subarray(0, 8), ...parts]));
