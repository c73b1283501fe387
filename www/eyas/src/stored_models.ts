import { Client, type WorkerLike } from "./client.js";
import { EyasError } from "./error.js";
import { type ModelSource, wireSource } from "./model_source.js";
import type { ModelsRequest } from "./protocol.js";
import { storeId } from "./store_options.js";

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
  readonly #cpuWasm: () => string | URL;

  /** Made by the package's entries. */
  constructor(startWorker: () => WorkerLike, cpuWasm: () => string | URL) {
    this.#startWorker = startWorker;
    this.#cpuWasm = cpuWasm;
  }

  async #ask(request: ModelsRequest): Promise<StoredModel[] | boolean> {
    const client = new Client(this.#startWorker());
    const cpuWasm = new URL(this.#cpuWasm(), globalThis.document?.baseURI ?? globalThis.location?.href).href;
    try {
      return await client.call<"models">(() => ({ type: "models", request, cpuWasm }));
    } finally {
      void client.dispose();
    }
  }

  /** All models, the last used first; none where the browser keeps nothing for this page. */
  async list(): Promise<StoredModel[]> {
    return (await this.#ask({ kind: "list" })) as StoredModel[];
  }

  /** Removes a model, when no tab is loading it any more. Engines that have it loaded go on. False where it is not here. */
  async remove(model: ModelSource): Promise<boolean> {
    const source = wireSource(model, globalThis.document?.baseURI ?? globalThis.location?.href);
    if (source.kind === "files" && source.files.some(({ blob }) => blob)) {
      throw new EyasError("bad-input", "files that a person chose are never stored; give the model's address");
    }
    return (await this.#ask({ kind: "remove", id: storeId(source) })) as boolean;
  }

  /** Asks the browser not to throw this origin's data away when the device is short of room. Some ask the person. False where it may. */
  async persist(): Promise<boolean> {
    return (await globalThis.navigator?.storage?.persist?.()) ?? false;
  }
}
