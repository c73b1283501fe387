import type { Assets } from "./assets.js";
import { type CallListeners, Client, type WorkerLike } from "./client.js";
import { EyasError } from "./error.js";
import { engineOptions } from "./load_options.js";
import { type ModelSource, type WireSource, wireSource } from "./model_source.js";
import { TRIAL_OPTIONS, UPDATE_OPTION_NAMES, type UpdateOptions, type UpdateReport } from "./model_update.js";
import { ensure, requireFunction, requireKnownKeys, requireSignal, shown } from "./option_check.js";
import type { Progress } from "./progress.js";
import type { Answers, Call, ModelsRequest } from "./protocol.js";
import { storeId, wireStoreOptions } from "./store_options.js";

/** A file of a model on this device. */
export interface StoredFile {
  /** Its name. */
  name: string;
  /** Its size when it is complete. */
  bytes: number;
  /** Bytes that are here. */
  storedBytes: number;
  /** Its SHA-256; null while it is incomplete. */
  sha256: string | null;
}

/** A model on this device. */
export interface StoredModel {
  /** Its address; `load` and `remove` take it as `model`. */
  id: string;
  /** Bytes that are stored. */
  bytes: number;
  /** Whether it loads without a network. */
  complete: boolean;
  /** When it was last loaded, in milliseconds of the Unix epoch. */
  lastUsedMs: number;
  /** Whether it may go when another model needs its room. */
  evictable: boolean;
  /** A name for what its files hold; null while it is incomplete. */
  version: string | null;
  /** Whether the version before this one is still kept. */
  hasPrevious: boolean;
  /** Its files. */
  files: StoredFile[];
}

/** Who listens to an export or an import. */
export interface TransferOptions {
  /** Called with the bytes that are through. */
  onProgress?: (progress: Progress) => void;
  /** Ends it; it then rejects with the signal's own reason. */
  signal?: AbortSignal;
}

/** How a model is taken in. */
export interface ImportOptions extends TransferOptions {
  /** The model that the file must hold; absent: whichever it says. */
  model?: ModelSource;
  /** As for `load`. */
  evictable?: boolean;
}

/** What was taken in. */
export interface ImportedModel {
  /** The model's address: what `load` takes as `model`. */
  id: string;
  /** A name for what its files hold, as `list` tells it. */
  version: string;
}

function checkedListeners({ onProgress, signal }: TransferOptions): CallListeners {
  if (onProgress !== undefined) {
    requireFunction("onProgress", onProgress);
  }
  if (signal !== undefined) {
    requireSignal(signal);
  }
  return { onProgress, signal };
}

const pageUrl = () => globalThis.document?.baseURI ?? globalThis.location?.href;

/** The source of a model that may be stored. */
function storedSource(model: ModelSource): WireSource {
  const source = wireSource(model, pageUrl());
  if (source.kind === "files" && source.files.some(({ blob }) => blob)) {
    throw new EyasError("bad-input", "files that a person chose are never stored; give the model's address");
  }
  return source;
}

/**
 * The models on this device, of this origin.
 *
 * ```ts
 * for (const { id, bytes, lastUsedMs } of await models.list()) console.log(id, bytes, new Date(lastUsedMs));
 * await models.remove("org/name");
 * ```
 */
export class StoredModels {
  readonly #startWorker: () => WorkerLike;
  readonly #wasm: () => Omit<Assets, "worker">;

  /** Made by the package's entries. */
  constructor(startWorker: () => WorkerLike, wasm: () => Omit<Assets, "worker">) {
    this.#startWorker = startWorker;
    this.#wasm = wasm;
  }

  /** Makes one call in a worker of its own. */
  async #call<K extends "models" | "update">(call: (wasm: { gpuWasm: string; cpuWasm: string }) => Extract<Call, { type: K }>, listeners: CallListeners = {}): Promise<Answers[K]> {
    listeners.signal?.throwIfAborted();
    const client = new Client(this.#startWorker());
    const { gpuWasm, cpuWasm } = this.#wasm();
    const wasm = { gpuWasm: new URL(gpuWasm, pageUrl()).href, cpuWasm: new URL(cpuWasm, pageUrl()).href };
    try {
      return await client.call<K>(() => call(wasm), listeners);
    } finally {
      void client.dispose();
    }
  }

  #ask(request: ModelsRequest, listeners: CallListeners = {}): Promise<Answers["models"]> {
    return this.#call<"models">(({ cpuWasm }) => ({ type: "models", request, cpuWasm }), listeners);
  }

  /** All models, the last used first; none where the browser keeps nothing for this page. */
  async list(): Promise<StoredModel[]> {
    return (await this.#ask({ kind: "list" })) as StoredModel[];
  }

  /** Removes a model, when no tab is loading it any more. Engines that have it loaded go on. False where it is not here. */
  async remove(model: ModelSource): Promise<boolean> {
    return (await this.#ask({ kind: "remove", id: storeId(storedSource(model)) })) as boolean;
  }

  /**
   * Brings a model on this device up to date. Files that differ on the server are fetched beside the ones in use, and where that breaks off, the next
   * call goes on with it; what is the same costs one request without a body for each file. The newer version is then loaded and must answer, and only
   * then does it take the old one's place, which is kept until the new one has answered the application. Engines that have the old version loaded go on
   * with it, and loads get the old one meanwhile.
   *
   * Rejects with `model-not-found` where the model is not complete on this device; with `bad-model`, `integrity`, `unsupported-model` or
   * `model-not-found` where the newer version is broken, which is then gone again; with `download-failed`, `storage-full`, `over-budget` or
   * `out-of-memory` where it could not be fetched or tried here, and what was fetched stays for the next call. In each case the old version is as it was.
   *
   * ```ts
   * const { status } = await models.update("org/name");
   * if (status === "updated") askWhetherToReload();
   * ```
   */
  async update(model: ModelSource, options: UpdateOptions = {}): Promise<UpdateReport> {
    requireKnownKeys("update options", options, UPDATE_OPTION_NAMES);
    const source = storedSource(model);
    const { device, engine } = engineOptions({ model, ...options });
    const store = wireStoreOptions({ store: "device", ...options }, source, pageUrl());
    const { signal, onProgress } = options as UpdateOptions;
    return this.#call<"update">((wasm) => ({ type: "update", source, device, options: { ...engine, ...TRIAL_OPTIONS }, store, ...wasm }), { signal, onProgress });
  }

  /**
   * A complete model as one file, for a person to keep or to carry to another device; docs/store.md has its format. Every chunk is checked as it is read:
   * `integrity` where the store is damaged, `model-not-found` where the model is not complete here.
   */
  async export(model: ModelSource, options: TransferOptions = {}): Promise<Blob> {
    requireKnownKeys("export options", options, ["onProgress", "signal"]);
    return (await this.#ask({ kind: "export", id: storeId(storedSource(model)) }, checkedListeners(options))) as Blob;
  }

  /**
   * Takes in what `export` wrote. Nothing of it counts before every file has the SHA-256 that it should have: `integrity` where a byte differs, `bad-input`
   * where it is no such file, holds another model than `model`, or is here in another version; `storage-full`. Nothing stays of what was refused.
   * A file says itself which address its model has, so take it only from where you would take a model, or give `model` and load with `sha256` or `publicKey`.
   */
  async import(file: Blob, options: ImportOptions = {}): Promise<ImportedModel> {
    requireKnownKeys("import options", options, ["model", "evictable", "onProgress", "signal"]);
    const { model, evictable = false } = options as ImportOptions;
    ensure(file instanceof Blob, () => `import takes a File or a Blob, found ${shown(file)}`);
    ensure(typeof evictable === "boolean", () => `evictable must be true or false, found ${shown(evictable)}`);
    const id = model === undefined ? {} : { id: storeId(storedSource(model)) };
    return (await this.#ask({ kind: "import", file, evictable, ...id }, checkedListeners(options))) as ImportedModel;
  }

  /** Asks the browser not to throw this origin's data away when the device is short of room. Some ask the person. False where it may. */
  async persist(): Promise<boolean> {
    return (await globalThis.navigator?.storage?.persist?.()) ?? false;
  }
}
