import type { GenerationEvent } from "./completion.js";
import type { Embedding, LabelScore } from "./embedding.js";
import type { EngineInfo } from "./engine_info.js";
import type { EngineOptions } from "./load_options.js";
import type { WireSource } from "./model_source.js";
import type { Progress } from "./progress.js";
import type { Plan } from "./plan.js";
import type { GenerationRequest } from "./protocol.js";
import type { StoreHost } from "./store_host.js";
import type { ImportedModel, StoredModel } from "./stored_models.js";
import type { TierHost } from "./tier_host.js";
import type { WireTierOptions, WireTierRequest } from "./tier_options.js";
import type { Judgement } from "./version_proof.js";

/** An answer in the making: each `next` computes or receives one part. Freeing it leaves the session usable. */
export interface WasmAnswer {
  next(): Promise<GenerationEvent>;
  free(): void;
}

/** Both tiers of one engine, with its sessions. */
export interface WasmTier {
  beginLoad(key: string): Promise<void>;
  endLoad(): Promise<void>;
  attach(engine: WasmEngine): void;
  detach(code: string, message: string): boolean;
  start(request: GenerationRequest, tier: WireTierRequest & { session: number }, cancel: WasmCancelHandle): WasmAnswer;
  fork(from: number, to: number): Promise<void>;
  closeSession(session: number): void;
  free(): void;
}

/** A model on the device. */
export interface WasmEngine {
  info(): EngineInfo;
  /** What this load measured on its adapter, for `WasmEngine.load` on it. */
  keptTuning(): string | undefined;
  embed(text: string, prompt?: string): Promise<Embedding>;
  classify(text: string, second?: string): Promise<LabelScore[]>;
  free(): void;
}

/** Ends a load: whatever it awaits next fails with `aborted`. */
export interface WasmCancelHandle {
  cancel(): void;
  free(): void;
}

/** What is to be kept of a model: `StoreOptions` in `crates/eyas-web/src/opening.rs`. */
export interface WasmStoring {
  id?: string;
  reason?: string;
  required?: boolean;
  evictable?: boolean;
  sha256?: Readonly<Record<string, string>>;
  unaskedBytes?: number;
  manifestUrl?: string;
  manifestLists?: string;
  publicKey?: string;
}

/** What the crate `eyas-web` exports from the GPU module and the CPU module. */
export interface WasmModule {
  default(options: { module_or_path: WebAssembly.Module }): Promise<{ memory: WebAssembly.Memory }>;
  CancelHandle: new () => WasmCancelHandle;
  WasmTier: new (options: WireTierOptions, host: TierHost) => WasmTier;
  planModel(source: WireSource, options: EngineOptions, device: "gpu" | "cpu", budget: object, cloudAllowed: boolean, cancel: WasmCancelHandle, host: StoreHost, storing: WasmStoring, mark?: string): Promise<Plan>;
  judgeModel(host: StoreHost, id: string, version: string, judgement: Judgement | "put-back", cancel: WasmCancelHandle): Promise<boolean>;
  tryNewer(source: WireSource, options: EngineOptions, onProgress: (progress: Progress) => void, cancel: WasmCancelHandle, host: StoreHost, storing: WasmStoring): Promise<string | undefined>;
  WasmEngine: {
    load(source: WireSource, options: EngineOptions, onProgress: (progress: Progress) => void, cancel: WasmCancelHandle, host: StoreHost, storing: WasmStoring, tuning?: string): Promise<WasmEngine>;
  };
}

/** A model on its way out of the store. */
export interface WasmExport {
  readonly totalBytes: number;
  next(): Promise<Uint8Array | undefined>;
  free(): void;
}

/** What only the CPU module exports besides: the store without an engine. */
export interface WasmStoreModule extends WasmModule {
  exportModel(host: StoreHost, id: string, cancel: WasmCancelHandle): Promise<WasmExport>;
  importModel(host: StoreHost, file: Blob, id: string | undefined, evictable: boolean, onBytes: (bytes: number) => void, cancel: WasmCancelHandle): Promise<ImportedModel>;
  listModels(host: StoreHost, cancel: WasmCancelHandle): Promise<StoredModel[]>;
  removeModel(host: StoreHost, id: string, cancel: WasmCancelHandle): Promise<boolean>;
  fetchNewer(onProgress: (progress: Progress) => void, cancel: WasmCancelHandle, host: StoreHost, storing: WasmStoring): Promise<{ newer: boolean; fetchedBytes: number }>;
}
