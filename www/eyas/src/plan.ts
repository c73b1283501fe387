import { wireStoreOptions } from "./store_options.js";
import { Client, type WorkerLike } from "./client.js";
import { type ErrorCode, errorToData } from "./error.js";
import { engineOptions, type LoadOptions } from "./load_options.js";
import { wireSource } from "./model_source.js";
import { type WireTierOptions, wireTierOptions } from "./tier_options.js";

/** What a model would take, in bytes. Weights and cache are exact, scratch and staging are upper bounds. */
export interface MemoryNeed {
  /** The weights on the device. */
  weightBytes: number;
  /** One session's keys and values for the whole context. */
  cacheBytes: number;
  /** Intermediate results; on a GPU all that its other buffers take, tables and recorded steps too, and what they are larger than the tensors in them. */
  scratchBytes: number;
  /** What a load holds besides the finished weights. */
  stagingBytes: number;
  /** The largest single buffer. */
  largestBufferBytes: number;
  /** The model's tensors in its files. */
  downloadBytes: number;
  /** Of these, what this device has stored already; the rest must be fetched, and is what `budget.downloadBytes` and the storage's quota bound. */
  storedBytes: number;
}

/**
 * A way to load the model, and the bounds that it exceeds; none of them means that it fits. `lastLoadBytes` is exceeded where the last load as it was asked for
 * never ended, which a tab's memory is the likely cause of: three quarters of what it would have taken.
 */
export interface PlanVariant {
  quantize: string;
  contextTokens: number;
  need: MemoryNeed;
  excesses: { bound: "memoryBytes" | "downloadBytes" | "largestBufferBytes" | "deviceMemoryBytes" | "storageBytes" | "lastLoadBytes"; limitBytes: number; needBytes: number }[];
}

/** What a load would come to. */
export interface Plan {
  /** As it was asked for; null where no device or no model could be found to plan for. */
  asked: PlanVariant | null;
  /** Where that does not fit: what would, the variant that gives up least first. */
  wouldFit: PlanVariant[];
  /** Who would answer. */
  answerer: "local" | "cloud" | "nobody";
  /** What `load` on this device would fail with; null where it would not. */
  code: ErrorCode | null;
  /** The same in words. */
  detail: string;
  /** Name and bytes of each matrix of weights. */
  matrices: [name: string, bytes: number][];
}

/** Whether somebody else may answer where this device can't. */
export function cloudMayAnswer({ cloud, privacy }: WireTierOptions): boolean {
  return cloud !== undefined && privacy !== "local-only";
}

/** What a load comes to that fails before its bytes are known. Wrong arguments, an abort and a broken module are no plan: they are thrown. */
export function planWithoutModel(error: unknown, tier: WireTierOptions): Plan {
  const { code, message } = errorToData(error);
  if (code === "bad-input" || code === "aborted" || code === "internal" || error instanceof WebAssembly.RuntimeError) {
    throw error;
  }
  const [answerer, words] = cloudMayAnswer(tier) ? (["cloud", "the cloud would answer"] as const) : (["nobody", "nobody would answer"] as const);
  return { asked: null, wouldFit: [], answerer, code, detail: `${message}; ${words}`, matrices: [] };
}

/** Plans a load in a worker of its own, which it ends. */
export async function planIn(startWorker: () => WorkerLike, cpuWasm: string | URL, options: LoadOptions, alsoKnown?: readonly string[]): Promise<Plan> {
  const { device, engine } = engineOptions(options, alsoKnown);
  const base = globalThis.document?.baseURI ?? globalThis.location?.href;
  const source = wireSource(options.model, base);
  const { wire: tier } = wireTierOptions(options);
  const store = wireStoreOptions(options, source, base);
  const { signal, onProgress } = options;
  signal?.throwIfAborted();
  const client = new Client(startWorker());
  try {
    return await client.call<"plan">(() => ({ type: "plan", source, device, options: engine, tier, store, cpuWasm: new URL(cpuWasm, base).href }), { signal, onProgress });
  } finally {
    void client.dispose();
  }
}
