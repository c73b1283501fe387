import type { QuantizeChoice } from "./load_options.js";

/**
 * How kernels are cut into workgroups on a GPU. Sizes change speed, never an answer beyond rounding. A load without the option `tuning` measures what is
 * fastest on its adapter once, which takes some seconds on a software adapter, and keeps it in the page's `localStorage` under the adapter's name. Where a
 * busy machine made its measurements tell different things, the next load measures again, up to three times in all.
 */
export interface Tuning {
  /** Threads that share the columns of a matrix·vector product: a power of two up to 64. */
  matvecLanes: number;
  /** Rows of the matrix for a workgroup in such a product: a multiple of `matvecThreadRows`, and at most 256 threads with their lanes. */
  matvecRows: number;
  /** Rows of the matrix for a thread in such a product: 1, 2, 4, 8 or 16. */
  matvecThreadRows: number;
  /** Rows of the matrix for a thread where a step has several tokens: 1, 2, 4, 8 or 16. */
  matmulRows: number;
  /** Tokens that a thread computes there: 1, 2, 4 or 8. */
  matmulTokens: number;
  /** Bits of each value of the input there, where weights are quantised: 32, as it is, or 16, rounded with a scale for each block of 32. */
  matmulBits: number;
  /** Query heads of a workgroup in attention, at most: 1 to 8. They share what is read of their common keys and values. */
  attentionHeads: number;
  /** Tokens of a workgroup in attention, at most: 1 to 8; cut where they are more than 8 queries with their heads. */
  attentionTokens: number;
  /** Workgroups that share the positions which a single token sees: 1 to 8. */
  attentionSplits: number;
  /** Threads of a workgroup in attention, normalisation and the choice of a token: a power of two up to 256. */
  reduceLanes: number;
}

/** The sizes in use, and where they are from: the option `tuning`, a measurement of this load or of an earlier one, or an assumption. */
export interface TuningReport extends Tuning {
  source: "given" | "measured" | "stored" | "assumed";
}

/** Where a model runs, and why there. */
export interface DeviceReport {
  /** A GPU through WebGPU, or the CPU through WebAssembly; `none` where the model could not be loaded and the cloud answers. */
  kind: "gpu" | "cpu" | "none";
  /** The adapter's name, "CPU (WASM SIMD)", "CPU (WASM relaxed SIMD, quads)" or "CPU (WASM relaxed SIMD, pairs)". */
  name: string;
  /** Whether the GPU adapter is a software implementation. */
  isFallbackAdapter: boolean;
  /** Why this device was chosen, in words. */
  reason: string;
  /** How kernels are cut, where it is a GPU. */
  tuning?: TuningReport;
}

/** Where a model's files came from, and whether they are kept. */
export interface StorageReport {
  /** Whether the files are on this device now, so that the next load needs no network. */
  kept: boolean;
  /** Why they are not, in words; empty where they are. */
  reason: string;
  /** Bytes that this load fetched over the network. */
  fetchedBytes: number;
  /** Bytes that it read from the store. */
  storedBytes: number;
  /** A name for what the files hold, as `models.list` tells it; null where nothing is kept. */
  version: string | null;
  /** Whether the version before this one is kept until this one has answered. */
  previousKept: boolean;
  /** Why this load went back to the version before an update; null where it did not. */
  rolledBack: string | null;
  /** What the publisher's manifest says, and whether it carries the signature of the key that was pinned; null where there is none. */
  manifest: { name: string; licence: string | null; signed: boolean } | null;
}

/** What was loaded, and where. */
export interface EngineInfo {
  /** A decoder writes texts, an encoder embeds and classifies them; `none` where only the cloud answers. */
  kind: "decoder" | "encoder" | "none";
  /** The model's name. */
  model: string;
  /** The architecture that its configuration names. */
  architecture: string;
  /** Where it runs, and why there. */
  device: DeviceReport;
  /** Bytes of weights and caches on the device when the load ended. */
  memoryBytes: number;
  /** Tokens that prompt and answer may take together; those of a text where it is an encoder. */
  contextTokens: number;
  /** Tokens in the vocabulary. */
  vocabSize: number;
  /** What became of the matrix weights. */
  quantize: QuantizeChoice | (string & {});
  /** The fingerprint of the weights, by which calibrations are found. */
  fingerprint: string;
  /** Whether messages can be turned into a prompt; without a chat template the model only continues text. */
  hasChatTemplate: boolean;
  /** Where the files came from, and whether they are kept. */
  storage: StorageReport;
  /** Values of an encoder's vectors. */
  embeddingDimensions?: number;
  /** Names of the prompts that an encoder's files have, for `embed`'s option `prompt`. */
  prompts?: string[];
  /** Labels of an encoder's classification head, where it has one. */
  labels?: string[];
}

/** Memory in use now. */
export interface MemoryReport {
  /** Bytes of weights and of sessions' caches on the device. On a CPU they lie in the WebAssembly memory, as the cache does that is kept for the next session. */
  deviceBytes: number;
  /** Bytes of the WebAssembly memory. It never shrinks; it ends with the engine. */
  wasmBytes: number;
}
