import { chooseDevice, type GpuLike, planAfterFailure } from "./device_choice.js";
import { EyasError, errorToData } from "./error.js";
import type { UpdateReport } from "./model_update.js";
import type { Progress } from "./progress.js";
import type { Call } from "./protocol.js";
import type { StoreHost } from "./store_host.js";
import type { WireStoreOptions } from "./store_options.js";
import type { WasmCancelHandle, WasmModule, WasmStoreModule, WasmStoring } from "./wasm_contract.js";

/** What an update needs of its worker. */
export interface UpdateWorker {
  gpu: GpuLike | undefined;
  isSecureContext: boolean;
  /** Fetch and start a module. */
  startCpu(): Promise<WasmStoreModule>;
  startGpu(): Promise<WasmModule>;
  storing(wanted: WireStoreOptions): Promise<{ host: StoreHost; storing: WasmStoring }>;
  cancellable<T>(wasm: WasmModule, work: (handle: WasmCancelHandle) => Promise<T>): Promise<T>;
  onProgress(progress: Progress): void;
  signal: AbortSignal;
}

/** Fetches a model's newer version beside the one in use, tries it on the device that a load would take, and puts it in its place. */
export async function updateModel(call: Extract<Call, { type: "update" }>, worker: UpdateWorker): Promise<UpdateReport> {
  const { host, storing } = await worker.storing(call.store);
  if (storing.id === undefined) {
    throw new EyasError("model-not-found", `no model is kept here: ${storing.reason}`);
  }
  const { id } = storing;
  const cpu = await worker.startCpu();
  const stored = await worker.cancellable(cpu, async (handle) => (await cpu.listModels(host, handle)).find((model) => model.id === id));
  const { newer, fetchedBytes } = await worker.cancellable(cpu, (handle) => cpu.fetchNewer(worker.onProgress, handle, host, storing));
  const version = stored?.version ?? "";
  if (!newer) {
    return { status: "current", version, previousVersion: null, fetchedBytes };
  }
  let plan = await chooseDevice(call.device, worker.gpu, worker.isSecureContext);
  for (;;) {
    const wasm = plan.kind === "cpu" ? cpu : await worker.startGpu();
    try {
      const tried = await worker.cancellable(wasm, (handle) => wasm.tryNewer(call.source, call.options, worker.onProgress, handle, host, storing));
      return { status: "updated", version: tried ?? "", previousVersion: version, fetchedBytes };
    } catch (error) {
      const next = worker.signal.aborted ? undefined : planAfterFailure(call.device, plan, error);
      if (!next) {
        throw refused(error);
      }
      plan = next;
    }
  }
}

/** The trial's error, which says that nothing changed. */
function refused(error: unknown): unknown {
  const { code, message, retryable } = errorToData(error);
  if (error instanceof WebAssembly.RuntimeError || code === "aborted") {
    return error;
  }
  return new EyasError(code, `the newer version was not taken, and the model is as it was: ${message}`, { cause: error, retryable });
}
