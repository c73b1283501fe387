import { type Eyas, loadInto } from "./engine.js";
import type { LoadOptions } from "./load_options.js";
import { type Plan, planIn } from "./plan.js";
import { StoredModels } from "./stored_models.js";

export * from "./public_face.js";

/** The models on this device, of this origin. */
export const models = /* @__PURE__ */ new StoredModels(
  () => new Worker(new URL("./worker.js", import.meta.url), { type: "module", name: "eyas" }),
  () => ({ gpuWasm: new URL("./eyas_gpu_bg.wasm", import.meta.url), cpuWasm: new URL("./eyas_cpu_bg.wasm", import.meta.url) }),
);

/**
 * Loads a model into a worker of its own and returns the engine when it answers. Works unchanged in bundlers that know
 * `new URL("./…", import.meta.url)`, such as Vite and webpack 5; elsewhere use `eyas/slim`.
 *
 * ```ts
 * const eyas = await load({ model: "org/name", onProgress: ({ loadedBytes, totalBytes }) => … });
 * ```
 */
export function load(options: LoadOptions): Promise<Eyas> {
  const startWorker = () => new Worker(new URL("./worker.js", import.meta.url), { type: "module", name: "eyas" });
  const gpuWasm = new URL("./eyas_gpu_bg.wasm", import.meta.url);
  const cpuWasm = new URL("./eyas_cpu_bg.wasm", import.meta.url);
  return loadInto(startWorker, { gpuWasm, cpuWasm }, options);
}

/**
 * Says what `load` with the same options would come to, before a byte of weights is fetched: the bytes on the device against the app's
 * budget, the adapter and the machine; what would fit; and who would answer.
 */
export function plan(options: LoadOptions): Promise<Plan> {
  const startWorker = () => new Worker(new URL("./worker.js", import.meta.url), { type: "module", name: "eyas" });
  return planIn(startWorker, new URL("./eyas_cpu_bg.wasm", import.meta.url), options);
}
