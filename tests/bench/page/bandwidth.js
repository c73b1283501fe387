// How fast this page reads memory, and how fast its GPU copies it: what no kernel on weights can beat.

const SECONDS = 0.4;

/** Repeats `work` (which handles `bytes`) for a while and returns the best rate in bytes a second. */
async function bestRate(bytes, work) {
  let best = 0;
  const end = performance.now() + SECONDS * 1000;
  do {
    const start = performance.now();
    await work();
    best = Math.max(best, bytes / ((performance.now() - start) / 1000));
  } while (performance.now() < end);
  return best;
}

/** An unsigned LEB128 number, as WebAssembly's binary format writes it. */
function leb(value) {
  const bytes = [];
  do {
    bytes.push((value & 0x7f) | (value > 0x7f ? 0x80 : 0));
    value >>>= 7;
  } while (value > 0);
  return bytes;
}

/**
 * A WebAssembly module with `memory` and `sum(begin, end)`, which reads 128 bytes a turn as eight vectors and adds each to an
 * accumulator of its own, so that no addition waits for the one before.
 */
function readingModule(pages) {
  const section = (id, bytes) => [id, ...leb(bytes.length), ...bytes];
  const name = (text) => [text.length, ...[...text].map((letter) => letter.charCodeAt(0))];
  const LANES = 8;
  const get = (local) => [0x20, local];
  const set = (local) => [0x21, local];
  const load = (offset) => [0xfd, 0x00, 0x04, ...leb(offset)]; // v128.load, aligned to 16
  const add = [0xfd, ...leb(0xae)]; // i32x4.add
  const accumulators = Array.from({ length: LANES }, (_, lane) => 2 + lane);
  const loop = [
    ...accumulators.flatMap((local, lane) => [...get(local), ...get(0), ...load(lane * 16), ...add, ...set(local)]),
    ...get(0), 0x41, ...[0x80, 0x01], 0x6a, 0x22, 0x00, // begin += 128 (a signed number, hence two bytes)
    ...get(1), 0x49, 0x0d, 0x00, // while begin < end
  ];
  const total = [...get(2), ...accumulators.slice(1).flatMap((local) => [...get(local), ...add]), 0xfd, 0x1b, 0x00]; // lane 0
  const body = [1, LANES, 0x7b, 0x03, 0x40, ...loop, 0x0b, ...total, 0x0b];
  return new Uint8Array([
    ...[0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00],
    ...section(1, [1, 0x60, 2, 0x7f, 0x7f, 1, 0x7f]),
    ...section(3, [1, 0]),
    ...section(5, [1, 0x00, ...leb(pages)]),
    ...section(7, [2, ...name("memory"), 2, 0, ...name("sum"), 0, 0]),
    ...section(10, [1, ...leb(body.length), ...body]),
  ]);
}

/** Bytes a second of a plain sum over WebAssembly memory, by SIMD. */
export async function wasmReadRate(bytes) {
  const { instance } = await WebAssembly.instantiate(readingModule(bytes / 65_536));
  const { memory, sum } = instance.exports;
  const words = new Int32Array(memory.buffer);
  words.fill(3);
  const expected = Math.imul(3, bytes / 16);
  return bestRate(bytes, () => {
    if (sum(0, bytes) !== expected) {
      throw new Error("the sum over memory is wrong");
    }
  });
}

/** Bytes a second of a plain sum over a Float32Array, by JavaScript. */
export function arrayReadRate(bytes) {
  const values = new Float32Array(bytes / 4).fill(1);
  return bestRate(bytes, () => {
    let [a, b, c, d] = [0, 0, 0, 0];
    for (let at = 0; at < values.length; at += 4) {
      a += values[at];
      b += values[at + 1];
      c += values[at + 2];
      d += values[at + 3];
    }
    if (a + b + c + d !== values.length) {
      throw new Error("the sum over the array is wrong");
    }
  });
}

const COPY = `
@group(0) @binding(0) var<storage, read> from_words: array<vec4<u32>>;
@group(0) @binding(1) var<storage, read_write> to_words: array<vec4<u32>>;
@compute @workgroup_size(64)
fn copy(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
  for (var at = id.x; at < arrayLength(&from_words); at += groups.x * 64u) { to_words[at] = from_words[at]; }
}`;

/** Bytes a second, read and written, of a plain copy by a compute shader; undefined without WebGPU. */
export async function gpuCopyRate(bytes) {
  const adapter = await navigator.gpu?.requestAdapter();
  if (!adapter) {
    return undefined;
  }
  const size = Math.min(bytes, adapter.limits.maxStorageBufferBindingSize, adapter.limits.maxBufferSize);
  const device = await adapter.requestDevice({ requiredLimits: { maxStorageBufferBindingSize: size, maxBufferSize: size } });
  try {
    const usage = GPUBufferUsage.STORAGE;
    const [from, to] = [device.createBuffer({ size, usage }), device.createBuffer({ size, usage })];
    const pipeline = device.createComputePipeline({ layout: "auto", compute: { module: device.createShaderModule({ code: COPY }), entryPoint: "copy" } });
    const bindGroup = device.createBindGroup({ layout: pipeline.getBindGroupLayout(0), entries: [from, to].map((buffer, binding) => ({ binding, resource: { buffer } })) });
    return await bestRate(2 * size, async () => {
      const encoder = device.createCommandEncoder();
      const pass = encoder.beginComputePass();
      pass.setPipeline(pipeline);
      pass.setBindGroup(0, bindGroup);
      pass.dispatchWorkgroups(Math.min(65_535, Math.ceil(size / 16 / 64)));
      pass.end();
      device.queue.submit([encoder.finish()]);
      await device.queue.onSubmittedWorkDone();
    });
  } finally {
    device.destroy();
  }
}
