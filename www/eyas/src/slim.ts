import type { Assets } from "./assets.js";
import { type Eyas, loadInto } from "./engine.js";
import type { LoadOptions } from "./load_options.js";
import { ensure, shown } from "./option_check.js";

export type { Assets } from "./assets.js";
export * from "./public_face.js";

/** Options of a load whose caller says where the package's files are. */
export interface SlimLoadOptions extends LoadOptions {
  /** Where the worker and the WebAssembly modules are; relative URLs are resolved against the page. */
  assets: Assets;
}

/** Loads a model as `load` of the entry `eyas` does, from assets that the caller serves. */
export async function load(options: SlimLoadOptions): Promise<Eyas> {
  const assets: Partial<Assets> = options?.assets ?? {};
  for (const name of ["worker", "gpuWasm", "cpuWasm"] as const) {
    ensure(typeof assets[name] === "string" || assets[name] instanceof URL, () => `assets.${name} must be a URL, found ${shown(assets[name])}`);
  }
  const { worker, ...wasm } = options.assets;
  return loadInto(() => new Worker(worker, { type: "module", name: "eyas" }), wasm, options, ["assets"]);
}
