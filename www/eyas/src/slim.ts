import type { Assets } from "./assets.js";
import { type Eyas, loadInto } from "./engine.js";
import type { LoadOptions } from "./load_options.js";
import { type Plan, planIn } from "./plan.js";
import { ensure, shown } from "./option_check.js";
import { StoredModels } from "./stored_models.js";

export type { Assets } from "./assets.js";
export * from "./public_face.js";

/** Options of a load whose caller says where the package's files are. */
export interface SlimLoadOptions extends LoadOptions {
  /** Where the worker and the WebAssembly modules are; relative URLs are resolved against the page. */
  assets: Assets;
}

/** Loads a model as `load` of the entry `eyas` does, from assets that the caller serves. */
export async function load(options: SlimLoadOptions): Promise<Eyas> {
  const { worker, ...wasm } = checkedAssets(options);
  return loadInto(() => new Worker(worker, { type: "module", name: "eyas" }), wasm, options, ["assets"]);
}

/** Plans a load as `plan` of the entry `eyas` does, with assets that the caller serves. */
export async function plan(options: SlimLoadOptions): Promise<Plan> {
  const { worker, cpuWasm } = checkedAssets(options);
  return planIn(() => new Worker(worker, { type: "module", name: "eyas" }), cpuWasm, options, ["assets"]);
}

/** The models on this device as `models` of the entry `eyas`, with assets that the caller serves. */
export function storedModels(options: { assets: Assets }): StoredModels {
  const { worker, ...wasm } = checkedAssets(options);
  return new StoredModels(() => new Worker(worker, { type: "module", name: "eyas" }), () => wasm);
}

function checkedAssets(options: { assets: Assets }): Assets {
  const assets: Partial<Assets> = options?.assets ?? {};
  for (const name of ["worker", "gpuWasm", "cpuWasm"] as const) {
    ensure(typeof assets[name] === "string" || assets[name] instanceof URL, () => `assets.${name} must be a URL, found ${shown(assets[name])}`);
  }
  return options.assets;
}
