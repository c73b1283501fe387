// The parts of a WebAssembly module, for the scripts that rewrite it.

/** Numbers of sections. */
export const SECTION = { custom: 0, import: 2, export: 7, code: 10 };

/** Reads a module from `at` on. */
export class Reader {
  constructor(bytes, at, end = bytes.length) {
    Object.assign(this, { bytes, at, end });
  }

  byte() {
    return this.bytes[this.at++];
  }

  /** An unsigned LEB128 number below 2^53. */
  number() {
    let value = 0;
    for (let scale = 1; ; scale *= 128) {
      const byte = this.byte();
      value += (byte & 127) * scale;
      if (byte < 128) {
        return value;
      }
    }
  }

  /** The next `length` bytes. */
  take(length) {
    this.at += length;
    return this.bytes.subarray(this.at - length, this.at);
  }

  limits() {
    const hasMaximum = this.byte() & 1;
    this.number();
    if (hasMaximum) {
      this.number();
    }
  }

  /** Passes over what an import is, and says whether it is a function. */
  isImportedFunction() {
    const kind = this.byte();
    if (kind === 0) {
      this.number();
    } else if (kind === 1) {
      this.byte();
      this.limits();
    } else if (kind === 2) {
      this.limits();
    } else if (kind === 3) {
      this.take(2);
    } else {
      throw new Error(`an import of the unknown kind ${kind}`);
    }
    return kind === 0;
  }
}

/** `value` as unsigned LEB128. */
export function leb(value) {
  const bytes = [];
  do {
    bytes.push((value % 128) + (value > 127 ? 128 : 0));
    value = Math.floor(value / 128);
  } while (value > 0);
  return Buffer.from(bytes);
}

/** Where the sections of a module begin, where their content begins, and where they end. */
export function sections(wasm) {
  const found = [];
  for (const reader = new Reader(wasm, 8); reader.at < reader.end; ) {
    const start = reader.at;
    const id = reader.byte();
    const length = reader.number();
    found.push({ id, start, body: reader.at, end: reader.at + length });
    reader.at += length;
  }
  return found;
}
