// A language model of random weights in the shape of a real one, so that a clone can be measured without a download.
import { existsSync, mkdirSync, statSync } from "node:fs";
import { join } from "node:path";

import { GGML, tensorBytes, writeGguf } from "./gguf_writer.mjs";

/** Shapes of decoders with Llama's architecture and a tied embedding. `heads` have `hidden / heads` values each. */
export const SHAPES = {
  "smollm2-135m": { layers: 30, hidden: 576, heads: 9, kvHeads: 3, feedForward: 1536, vocab: 49_152, context: 4096 },
  // One layer of it over a small vocabulary: what a context costs, where a software adapter would take minutes for thirty.
  "smollm2-one-layer": { layers: 1, hidden: 576, heads: 9, kvHeads: 3, feedForward: 1536, vocab: 512, context: 4096 },
  // As many layers, and so dispatches, at hardly any arithmetic: what is left is the cost of asking for them.
  "thin-30-layers": { layers: 30, hidden: 64, heads: 2, kvHeads: 1, feedForward: 128, vocab: 512, context: 1024 },
  // 505 MB in 8 bits: what a load holds at most shows where the model is much larger than that.
  "large-29-layers": { layers: 29, hidden: 1024, heads: 16, kvHeads: 4, feedForward: 4096, vocab: 32_768, context: 512 },
};

const SEED = 20_261_121;
const DEVIATION = 0.02;
/** The first ids: nothing, and the two marks of the template. Byte b is the id b plus their number. */
const CONTROL = ["<|end|>", "<|turn|>", "<|stop|>"];
const TEMPLATE =
  "{% for message in messages %}<|turn|>{{ message.role }}\n{{ message.content }}<|stop|>\n{% endfor %}{% if add_generation_prompt %}<|turn|>assistant\n{% endif %}";

/** The characters that stand for the 256 bytes in byte-level vocabularies: printable ones as they are, others from U+0100 on. */
function byteCharacters() {
  let next = 0x100;
  const printable = (byte) => (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
  return Array.from({ length: 256 }, (_, byte) => String.fromCodePoint(printable(byte) ? byte : next++));
}

/** A vocabulary in which every byte is a token, without merges; numbered tokens fill it up. */
export function vocabulary(size) {
  const tokens = [...CONTROL, ...byteCharacters()];
  while (tokens.length < size) {
    tokens.push(`<${tokens.length}>`);
  }
  return { tokens: tokens.slice(0, size), types: tokens.slice(0, size).map((_, id) => (id < CONTROL.length ? 3 : 1)) };
}

/** Fills a view with the 32-bit words of a xorshift generator, reproducibly. */
function fillRandom(words, seed) {
  let state = (seed ^ 0x9e37_79b9) >>> 0 || 1;
  for (let at = 0; at < words.length; at += 1) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    words[at] = state;
  }
}

/** The bits of a half-precision number, for positive normal ones. */
function halfBits(value) {
  const exponent = Math.floor(Math.log2(value));
  const fraction = Math.round((value / 2 ** exponent - 1) * 1024);
  return ((exponent + 15) << 10) + fraction;
}

/** Random blocks: every integer of a block is equally probable, and its scale gives the weights the wanted deviation. */
function fillTensor(bytes, tensor, seed) {
  if (tensor.type === "f32") {
    const values = new Float32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4);
    values.fill(1); // only norms are stored in full
    return;
  }
  const words = new Uint32Array(Math.ceil(bytes.length / 4));
  fillRandom(words, seed);
  bytes.set(new Uint8Array(words.buffer, 0, bytes.length));
  const levels = tensor.type === "q4_0" ? 16 : 256;
  const scale = halfBits(DEVIATION / Math.sqrt((levels ** 2 - 1) / 12));
  for (let block = 0; block < bytes.length; block += GGML[tensor.type].bytes) {
    bytes.writeUInt16LE(scale, block);
  }
}

/** The tensors of a shape. In 4 bits the tied embedding stays at 8, as in the files that people publish of small models. */
export function tensorsOf(shape, type) {
  const { layers, hidden, heads, kvHeads, feedForward, vocab } = shape;
  const kvWidth = (hidden / heads) * kvHeads;
  const layer = (index) =>
    [
      ["attn_norm", [hidden], "f32"],
      ["attn_q", [hidden, hidden], type],
      ["attn_k", [kvWidth, hidden], type],
      ["attn_v", [kvWidth, hidden], type],
      ["attn_output", [hidden, hidden], type],
      ["ffn_norm", [hidden], "f32"],
      ["ffn_gate", [feedForward, hidden], type],
      ["ffn_up", [feedForward, hidden], type],
      ["ffn_down", [hidden, feedForward], type],
    ].map(([name, axes, kind]) => ({ name: `blk.${index}.${name}.weight`, shape: axes, type: kind }));
  return [
    { name: "token_embd.weight", shape: [vocab, hidden], type: "q8_0" },
    ...Array.from({ length: layers }, (_, index) => layer(index)).flat(),
    { name: "output_norm.weight", shape: [hidden], type: "f32" },
  ];
}

/** Bytes that the matrices of a shape take in memory: an f32 scale for each block of 32, and 8 or 4 bits a weight. */
export function packedBytes(shape, type) {
  const packed = { f32: (file) => file, q4_0: (file) => (file / 18) * 20, q8_0: (file) => (file / 34) * 36 };
  return tensorsOf(shape, type).reduce((sum, tensor) => sum + packed[tensor.type](tensorBytes(tensor)), 0);
}

/** Writes a random model of a shape to `path`; `type` is "q4_0" or "q8_0". */
export function writeRandomModel(path, shape, type) {
  const { layers, hidden, heads, kvHeads, feedForward, vocab, context } = shape;
  const { tokens, types } = vocabulary(vocab);
  writeGguf(path, {
    metadata: [
      ["general.architecture", "string", "llama"],
      ["general.name", "string", `random weights, ${layers} layers of ${hidden}, ${type}`],
      ["llama.context_length", "u32", context],
      ["llama.embedding_length", "u32", hidden],
      ["llama.block_count", "u32", layers],
      ["llama.feed_forward_length", "u32", feedForward],
      ["llama.attention.head_count", "u32", heads],
      ["llama.attention.head_count_kv", "u32", kvHeads],
      ["llama.attention.layer_norm_rms_epsilon", "f32", 1e-5],
      ["llama.rope.freq_base", "f32", 100_000],
      ["llama.rope.dimension_count", "u32", hidden / heads],
      ["llama.vocab_size", "u32", vocab],
      ["tokenizer.ggml.model", "string", "gpt2"],
      ["tokenizer.ggml.pre", "string", "gpt-2"],
      ["tokenizer.ggml.tokens", ["string"], tokens],
      ["tokenizer.ggml.token_type", ["i32"], types],
      ["tokenizer.ggml.merges", ["string"], []],
      ["tokenizer.ggml.add_bos_token", "bool", false],
      ["tokenizer.chat_template", "string", TEMPLATE],
    ],
    tensors: tensorsOf(shape, type),
    fill: (bytes, tensor) => fillTensor(bytes, tensor, SEED + [...tensor.name].reduce((hash, letter) => (Math.imul(hash, 31) + letter.charCodeAt(0)) | 0, 0)),
  });
}

/** The path of a random model in `folder`, which is written where it is not there yet. */
export function ensureRandomModel(folder, name, type) {
  mkdirSync(folder, { recursive: true });
  const path = join(folder, `${name}-${type}.gguf`);
  const expected = tensorsOf(SHAPES[name], type).reduce((sum, tensor) => sum + tensorBytes(tensor), 0);
  if (!existsSync(path) || statSync(path).size < expected) {
    writeRandomModel(path, SHAPES[name], type);
  }
  return path;
}
