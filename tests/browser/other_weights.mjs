// Other versions of eyas-nano's weights.
import { weights } from "./store_lab.mjs";

/** The weights under another header, whose length differs; `change` may alter a copy of the tensors. */
export function otherWeights(note, change = () => {}) {
  const headerBytes = Number(weights.readBigUInt64LE(0));
  const header = JSON.parse(weights.subarray(8, 8 + headerBytes).toString());
  header.__metadata__ = { ...header.__metadata__, note };
  const text = Buffer.from(JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(text.length));
  const data = Buffer.from(weights.subarray(8 + headerBytes));
  change(data, header);
  return Buffer.concat([length, text, data]);
}

/** Turns the signs of half of the last norm's weights, whatever their type: another model, and still one. */
export function turnNorm(data, header) {
  const { dtype, data_offsets: [begin, end] } = header["model.norm.weight"];
  const size = { F32: 4, F16: 2, BF16: 2 }[dtype];
  for (let at = begin; at < begin + (end - begin) / 2; at += size) {
    data[at + size - 1] ^= 0x80;
  }
}
