import { type CalibrationThreshold, type EgressEntry, type Eyas, load, type LoadOptions, type Progress } from "eyas/slim";
import cpuWasm from "eyas/eyas_cpu_bg.wasm?url";
import { nano } from "eyas/nano";
import gpuWasm from "eyas/eyas_gpu_bg.wasm?url";

import type { Switchboard } from "./switchboard";

/** Everything that needs a load of its own. */
export interface Scene {
  endpoint: string;
  cloudModel: string;
  token: string;
  hasGpu: boolean;
  hasMemory: boolean;
  threshold: CalibrationThreshold | undefined;
}

/** Keeps one engine that fits the scene, and loads another when the scene changes. */
export class HybridEngine {
  readonly #switchboard: Switchboard;
  readonly #onProgress: (progress: Progress) => void;
  readonly #onEgress: (entry: EgressEntry, engine: number) => void;
  #key = "";
  #engine: Eyas | undefined;
  #number = 0;

  constructor(switchboard: Switchboard, onProgress: (progress: Progress) => void, onEgress: (entry: EgressEntry, engine: number) => void) {
    this.#switchboard = switchboard;
    this.#onProgress = onProgress;
    this.#onEgress = onEgress;
  }

  /** The engine for a scene; rejects as `load` does. */
  async open(scene: Scene, signal: AbortSignal): Promise<Eyas> {
    const key = JSON.stringify(scene);
    if (this.#engine && this.#key === key) {
      return this.#engine;
    }
    await this.#engine?.dispose();
    this.#engine = undefined;
    const { endpoint, cloudModel, token, hasMemory, threshold } = scene;
    const options: LoadOptions = {
      model: nano,
      signal,
      onProgress: this.#onProgress,
      // Each request states its own privacy, and the strictest wins.
      privacy: "prefer-cloud",
      ...(endpoint === "" ? {} : { cloud: { endpoint, model: cloudModel, retry: { idleTimeoutMs: 20_000 }, ...(token === "" ? {} : { getToken: () => token }) } }),
      ...(hasMemory ? {} : { budget: { memoryBytes: 1 << 16 } }),
      ...(threshold ? { calibration: { thresholds: [threshold] } } : {}),
    };
    const engine = await load({ ...options, assets: { worker: this.#switchboard.workerUrl, gpuWasm, cpuWasm } });
    const number = ++this.#number;
    engine.ledger.subscribe((entry) => this.#onEgress(entry, number));
    this.#key = key;
    this.#engine = engine;
    return engine;
  }

  /** Gives an engine up that failed, so that the next request loads it again. */
  async close(): Promise<void> {
    const engine = this.#engine;
    this.#engine = undefined;
    await engine?.dispose();
  }
}
