// What the peers' benchmark asks of a library: load, generate, state, reset, logs. See its README.
import { ask, merge } from "/bench/common.js";

import { load as loadModel } from "./eyas/slim.js";

const here = (name) => new URL(name, import.meta.url).href;
let eyas;
let worker;

// The worker that the package starts is kept, so that its WebGPU calls and memory can be asked for.
const PlainWorker = globalThis.Worker;
globalThis.Worker = class extends PlainWorker {
  constructor(...given) {
    super(...given);
    worker = this;
  }
};

export async function load(cfg) {
  const start = performance.now();
  const counted = new URLSearchParams(location.search).get("count") === "1";
  eyas = await loadModel({
    model: new URL(adapterModel(cfg), location.href).href,
    device: cfg.device,
    relaxedSimd: !isNamed("base"),
    contextTokens: 1024,
    assets: { worker: here("./worker.js") + (counted ? "?count=1" : ""), gpuWasm: here("./eyas/eyas_gpu_bg.wasm"), cpuWasm: here("./eyas/eyas_cpu_bg.wasm") },
  });
  return { ms: performance.now() - start, info: eyas.info };
}

/** Whether the folder's name ends so: `-q8` stands for the 8-bit file, and `-base` for the CPU without relaxed SIMD. */
const isNamed = (suffix) => new URL(".", import.meta.url).pathname.endsWith(`-${suffix}/`);

const adapterModel = (cfg) => (isNamed("q8") ? cfg.gguf_q8 : cfg.gguf);

export async function generate(prompt, n) {
  const start = performance.now();
  const times = [];
  const stream = eyas.stream(prompt.text, { maxTokens: n, temperature: 0, promptLookupTokens: 0 });
  for await (const _ of stream) {
    times.push(performance.now() - start);
  }
  const { tokenIds, timing, usage } = await stream.result();
  const total = performance.now() - start;
  return {
    total,
    first: timing.firstTokenMs,
    n: tokenIds.length,
    decodeTps: tokenIds.length > 1 ? timing.tokensPerSecond : null,
    times: times.slice(0, 8).map((time) => Math.round(time * 10) / 10),
    tokens: tokenIds.slice(0, 8),
    promptN: usage.promptTokens,
  };
}

export const state = async () => merge([window.__bench.state(), await ask(worker, "get")]);
export const reset = async () => {
  window.__bench.reset();
  await ask(worker, "reset");
};
export const logs = () => [];
