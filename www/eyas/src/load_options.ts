import type { Tuning } from "./engine_info.js";
import type { ModelSource } from "./model_source.js";
import { ensure, requireChoice, requireFunction, requireInteger, requireKnownKeys, requireSignal, shown } from "./option_check.js";
import type { Progress } from "./progress.js";
import { STORE_OPTION_NAMES, type StoreOptions } from "./store_options.js";
import { TIER_OPTION_NAMES, type TierOptions } from "./tier_options.js";

/** The device to use: the GPU where there is a usable one and the CPU otherwise; the GPU or an error; the CPU. */
export type DeviceChoice = "auto" | "gpu" | "cpu";

/**
 * What becomes of matrix weights while they are loaded. `auto`: quantised files stay as they are, small models stay as
 * stored, large float models are quantised; `none`: as stored; `q8`, `q4`: 8-bit or 4-bit blocks of 32.
 */
export type QuantizeChoice = "auto" | "none" | "q8" | "q4";

/** How a model is to be loaded. An unknown option, or a value out of range, is `bad-input`. */
export interface LoadOptions extends TierOptions, StoreOptions {
  /** Where the model's files are. */
  model: ModelSource;
  /** Where to compute; default `auto`. */
  device?: DeviceChoice;
  /** What becomes of matrix weights; default `auto`. */
  quantize?: QuantizeChoice;
  /** Tokens that prompt and answer may take together; absent: the model's maximum, at most 4,096. */
  contextTokens?: number;
  /** Prompt tokens computed in one step, and so how soon an abort is seen meanwhile; default 128. */
  prefillChunkTokens?: number;
  /** How kernels are cut on a GPU, to compare or to report; default: what is fastest on its adapter, measured once. */
  tuning?: Tuning;
  /**
   * Whether the CPU may use relaxed SIMD where the browser has it; default true. Products with 4-bit weights are then faster, and their input is rounded to 8
   * bits in place of 16.
   */
  relaxedSimd?: boolean;
  /**
   * Whether an answer outlives its device; default true. Where the GPU is lost or the worker breaks, the model is loaded again, and the answer goes on
   * with the same text; after three losses in a row `auto` goes on with the CPU, and `provenance.deviceReason` says why.
   */
  recover?: boolean;
  /** Called with what is being done, in bytes. */
  onProgress?: (progress: Progress) => void;
  /** Aborts the load in any phase; it then rejects with the signal's own reason. */
  signal?: AbortSignal;
}

/** The part of the options that the engine in the worker knows. */
export interface EngineOptions {
  quantize: QuantizeChoice;
  contextTokens?: number;
  prefillChunkTokens?: number;
  tuning?: Tuning;
  relaxedSimd?: boolean;
}

const TUNING = ["matvecLanes", "matvecRows", "matvecThreadRows", "matmulRows", "matmulTokens", "matmulBits", "attentionHeads", "attentionTokens", "attentionSplits", "reduceLanes"] as const;
const KNOWN = ["model", "device", "quantize", "contextTokens", "prefillChunkTokens", "tuning", "relaxedSimd", "recover", "onProgress", "signal", ...STORE_OPTION_NAMES, ...TIER_OPTION_NAMES];

/** Checks the options, throws `bad-input`, and returns what the worker gets. `alsoKnown` are an entry's own options. */
export function engineOptions(options: LoadOptions, alsoKnown: readonly string[] = []): { device: DeviceChoice; engine: EngineOptions } {
  requireKnownKeys("load options", options, [...KNOWN, ...alsoKnown]);
  const { device = "auto", quantize = "auto", contextTokens, prefillChunkTokens, tuning, relaxedSimd, recover = true, onProgress, signal } = options as LoadOptions;
  ensure(typeof recover === "boolean", () => `recover must be true or false, found ${shown(recover)}`);
  requireChoice("device", device, ["auto", "gpu", "cpu"]);
  requireChoice("quantize", quantize, ["auto", "none", "q8", "q4"]);
  const engine: EngineOptions = { quantize };
  if (contextTokens !== undefined) {
    requireInteger("contextTokens", contextTokens, 1);
    engine.contextTokens = contextTokens;
  }
  if (prefillChunkTokens !== undefined) {
    requireInteger("prefillChunkTokens", prefillChunkTokens, 1);
    engine.prefillChunkTokens = prefillChunkTokens;
  }
  if (tuning !== undefined) {
    requireKnownKeys("tuning", tuning, TUNING);
    TUNING.forEach((size) => requireInteger(`tuning.${size}`, tuning[size], 1));
    engine.tuning = tuning;
  }
  if (relaxedSimd !== undefined) {
    ensure(typeof relaxedSimd === "boolean", () => `relaxedSimd must be true or false, found ${shown(relaxedSimd)}`);
    engine.relaxedSimd = relaxedSimd;
  }
  if (onProgress !== undefined) {
    requireFunction("onProgress", onProgress);
  }
  if (signal !== undefined) {
    requireSignal(signal);
  }
  return { device, engine };
}
