import type { Completion, GenerationEvent } from "./completion.js";
import type { EgressEntry } from "./egress_ledger.js";
import type { Embedding, LabelScore } from "./embedding.js";
import type { EngineInfo, MemoryReport } from "./engine_info.js";
import type { ErrorCode, ErrorData } from "./error.js";
import type { SamplingOptions } from "./generate_options.js";
import type { DeviceChoice, EngineOptions } from "./load_options.js";
import type { Message } from "./message.js";
import type { WireSource } from "./model_source.js";
import type { UpdateReport } from "./model_update.js";
import type { Plan } from "./plan.js";
import type { Progress } from "./progress.js";
import type { ImportedModel, StoredModel } from "./stored_models.js";
import type { WireStoreOptions } from "./store_options.js";
import type { Ask } from "./tier_host.js";
import type { WireTierOptions, WireTierRequest } from "./tier_options.js";

/** What a generation works on: messages or text, and how to sample. */
export interface GenerationRequest {
  messages?: readonly Message[];
  prompt?: string;
  options: SamplingOptions;
  templateVariables?: Readonly<Record<string, unknown>>;
}

/** What is asked of the models on this device. */
export type ModelsRequest = { kind: "list" } | { kind: "remove" | "export"; id: string } | { kind: "import"; file: Blob; id?: string; evictable: boolean };

/** Why a load's worker takes the place of another one. Where a newer version of the model broke that one, the version before comes back. */
export interface BrokenWorker {
  code: ErrorCode;
  message: string;
  /** Whether the model is loaded also where nothing comes back; otherwise the load fails with code and message. */
  again: boolean;
}

/** The calls that the worker answers, each with its arguments. Sessions are numbered by the page and made when first used. */
export type Call =
  | { type: "load"; source: WireSource; device: DeviceChoice; options: EngineOptions; tier: WireTierOptions; store: WireStoreOptions; gpuWasm: string; cpuWasm: string; because?: string; givenUp?: { code: ErrorCode; message: string }; broke?: BrokenWorker }
  | { type: "plan"; source: WireSource; device: DeviceChoice; options: EngineOptions; tier: WireTierOptions; store: WireStoreOptions; cpuWasm: string }
  | { type: "generate"; session: number; request: GenerationRequest; tier: WireTierRequest }
  | { type: "embed"; texts: string[]; prompt?: string }
  | { type: "classify"; text: string; second?: string }
  | { type: "fork"; session: number; to: number }
  | { type: "close-session"; session: number }
  | { type: "models"; request: ModelsRequest; cpuWasm: string }
  | { type: "update"; source: WireSource; device: DeviceChoice; options: EngineOptions; store: WireStoreOptions; gpuWasm: string; cpuWasm: string }
  | { type: "memory" }
  | { type: "dispose" };

/** What each call is answered with. */
export interface Answers {
  load: EngineInfo;
  plan: Plan;
  generate: Completion;
  embed: Embedding[];
  classify: LabelScore[];
  fork: undefined;
  "close-session": undefined;
  models: StoredModel[] | boolean | Blob | ImportedModel;
  update: UpdateReport;
  memory: MemoryReport;
  dispose: undefined;
}

/** From the page to the worker: a call, the wish that a call ends, or what the worker asked for. Ids are never used twice. */
export type ToWorker = { id: number; call: Call } | { id: number; abort: true } | { ask: number; value?: string | undefined; error?: ErrorData };

/** From the worker to the page. `panic` belongs to no call: the worker is broken and must be replaced. */
export type FromWorker =
  | { type: "progress"; id: number; progress: Progress }
  | { type: "event"; id: number; event: Exclude<GenerationEvent, { type: "done" }> }
  | { type: "result"; id: number; value: Answers[keyof Answers] }
  | { type: "error"; id: number; error: ErrorData }
  | { type: "ask"; ask: number; what: Ask }
  | { type: "egress"; entry: EgressEntry }
  | { type: "panic"; error: ErrorData };
