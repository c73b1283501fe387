import type { GenerationEvent } from "./completion.js";
import type { EngineInfo } from "./engine_info.js";
import type { EngineOptions } from "./load_options.js";
import type { WireSource } from "./model_source.js";
import type { Progress } from "./progress.js";
import type { GenerationRequest } from "./protocol.js";

/** A running generation: each `next` computes one chunk of the prompt or one token. Freeing it leaves the session usable. */
export interface WasmGeneration {
  next(): Promise<GenerationEvent>;
  free(): void;
}

/** A conversation's cache on the device. */
export interface WasmSession {
  start(request: GenerationRequest): WasmGeneration;
  fork(): Promise<WasmSession>;
  free(): void;
}

/** A model on the device. */
export interface WasmEngine {
  info(): EngineInfo;
  session(): WasmSession;
  free(): void;
}

/** Ends a load: whatever it awaits next fails with `aborted`. */
export interface WasmCancelHandle {
  cancel(): void;
  free(): void;
}

/** What the crate `eyas-web` exports, the same from the GPU module and the CPU module. */
export interface WasmModule {
  default(options: { module_or_path: WebAssembly.Module }): Promise<{ memory: WebAssembly.Memory }>;
  CancelHandle: new () => WasmCancelHandle;
  WasmEngine: {
    load(source: WireSource, options: EngineOptions, onProgress: (progress: Progress) => void, cancel: WasmCancelHandle): Promise<WasmEngine>;
  };
}
