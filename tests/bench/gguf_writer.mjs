// Writes GGUF files, version 3, as the specification of ggml has them: header, metadata, descriptions of tensors, data.
import { closeSync, openSync, renameSync, writeSync } from "node:fs";

/** ggml's numbers of tensor types, with the weights and the bytes of one block. */
export const GGML = {
  f32: { id: 0, weights: 1, bytes: 4 },
  q4_0: { id: 2, weights: 32, bytes: 18 },
  q8_0: { id: 8, weights: 32, bytes: 34 },
};

const ALIGNMENT = 32;
const aligned = (bytes) => Math.ceil(bytes / ALIGNMENT) * ALIGNMENT;

const u32 = (value) => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
};
const u64 = (value) => {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt(value));
  return bytes;
};
const f32 = (value) => {
  const bytes = Buffer.alloc(4);
  bytes.writeFloatLE(value);
  return bytes;
};
const text = (value) => {
  const bytes = Buffer.from(value, "utf8");
  return Buffer.concat([u64(bytes.length), bytes]);
};

/** The metadata types that are needed here: a number of the type, and how a value is written. */
const VALUES = {
  u32: { id: 4, write: u32 },
  i32: { id: 5, write: (value) => u32(value >>> 0) },
  f32: { id: 6, write: f32 },
  bool: { id: 7, write: (value) => Buffer.from([value ? 1 : 0]) },
  string: { id: 8, write: text },
};

/** A metadata value behind its type; `[kind]` stands for a list of that kind. */
function metadataValue(kind, value) {
  if (Array.isArray(kind)) {
    const element = VALUES[kind[0]];
    return Buffer.concat([u32(9), u32(element.id), u64(value.length), ...value.map(element.write)]);
  }
  return Buffer.concat([u32(VALUES[kind].id), VALUES[kind].write(value)]);
}

/** Bytes of a tensor of `shape` (outermost axis first) in a type of `GGML`. */
export function tensorBytes({ shape, type }) {
  const weights = shape.reduce((product, axis) => product * axis, 1);
  const block = GGML[type];
  if (shape.at(-1) % block.weights !== 0) {
    throw new RangeError(`a row of ${type} must be a multiple of ${block.weights} weights, found ${shape.at(-1)}`);
  }
  return (weights / block.weights) * block.bytes;
}

/**
 * Writes a file. `metadata`: `[key, kind, value]`; `tensors`: `{ name, shape, type }`, whose bytes `fill(bytes, tensor)`
 * writes, one tensor in memory at a time. The file stands under its name only when it is complete.
 */
export function writeGguf(path, { metadata, tensors, fill }) {
  const head = [Buffer.from("GGUF"), u32(3), u64(tensors.length), u64(metadata.length)];
  for (const [key, kind, value] of metadata) {
    head.push(text(key), metadataValue(kind, value));
  }
  let offset = 0;
  for (const tensor of tensors) {
    const axes = [...tensor.shape].reverse(); // the file has the innermost axis first
    head.push(text(tensor.name), u32(axes.length), ...axes.map(u64), u32(GGML[tensor.type].id), u64(offset));
    offset += aligned(tensorBytes(tensor));
  }
  const header = Buffer.concat(head);
  const partial = `${path}.${process.pid}.partial`;
  const file = openSync(partial, "w");
  try {
    writeSync(file, Buffer.concat([header, Buffer.alloc(aligned(header.length) - header.length)]));
    for (const tensor of tensors) {
      const size = tensorBytes(tensor);
      const bytes = Buffer.alloc(aligned(size));
      fill(bytes.subarray(0, size), tensor);
      writeSync(file, bytes);
    }
  } finally {
    closeSync(file);
  }
  renameSync(partial, path);
}
