import { EyasError } from "./error.js";
import type { Progress } from "./progress.js";
import type { ModelsRequest } from "./protocol.js";
import type { StoreHost } from "./store_host.js";
import type { ImportedModel, StoredModel } from "./stored_models.js";
import type { WasmCancelHandle, WasmStoreModule } from "./wasm_contract.js";

/** What answering needs. */
export interface ModelsWorker {
  cpu: WasmStoreModule;
  host: StoreHost;
  handle: WasmCancelHandle;
  signal: AbortSignal;
  onProgress(progress: Progress): void;
}

/** What is answered where the browser keeps nothing for this page, and why it does not. */
export function withoutStore(request: ModelsRequest, reason: string): StoredModel[] | boolean {
  switch (request.kind) {
    case "list":
      return [];
    case "remove":
      return false;
    case "export":
      throw new EyasError("model-not-found", `no model is kept here: ${reason}`);
    case "import":
      throw new EyasError("storage-full", `no model can be kept here: ${reason}`);
  }
}

/** Answers what is asked of the models on this device. */
export async function answerModels(request: ModelsRequest, worker: ModelsWorker): Promise<StoredModel[] | boolean | Blob | ImportedModel> {
  const { cpu, host, handle, onProgress } = worker;
  switch (request.kind) {
    case "list":
      return cpu.listModels(host, handle);
    case "remove":
      return cpu.removeModel(host, request.id, handle);
    case "export":
      return exported(request.id, worker);
    case "import": {
      const { file, id, evictable } = request;
      return cpu.importModel(host, file, id, evictable, (bytes) => onProgress(progressOf(bytes, file.size)), handle);
    }
  }
}

/** The model as one file. Its pieces are handed to the browser one by one, which may put them on its disk. */
async function exported(id: string, { cpu, host, handle, signal, onProgress }: ModelsWorker): Promise<Blob> {
  const model = await cpu.exportModel(host, id, handle);
  try {
    const pieces: Blob[] = [];
    let bytes = 0;
    for (;;) {
      const piece = await model.next();
      signal.throwIfAborted();
      if (!piece) {
        return new Blob(pieces, { type: "application/octet-stream" });
      }
      bytes += piece.byteLength;
      pieces.push(new Blob([piece as BlobPart]));
      onProgress(progressOf(bytes, model.totalBytes));
    }
  } finally {
    model.free();
  }
}

function progressOf(loadedBytes: number, totalBytes: number): Progress {
  return { phase: "weights", loadedBytes, totalBytes, detail: "", source: "store", fetchedBytes: 0, bytesPerSecond: null, remainingMs: null };
}
