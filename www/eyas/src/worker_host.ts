import { chooseDevice, planAfterFailure, type DevicePlan, type GpuLike } from "./device_choice.js";
import type { DeviceReport, EngineInfo } from "./engine_info.js";
import { EyasError, errorToData } from "./error.js";
import { eventLoopTurn } from "./event_loop_turn.js";
import type { Call, FromWorker, ToWorker } from "./protocol.js";
import type { Progress } from "./progress.js";
import type { WasmEngine, WasmModule, WasmSession } from "./wasm_contract.js";

/** What the worker's environment gives to the host; tests give their own. */
export interface HostEnvironment {
  post(message: FromWorker): void;
  gpu: GpuLike | undefined;
  isSecureContext: boolean;
  modules: { gpu: WasmModule; cpu: WasmModule };
  fetchModule(url: string, onProgress: (progress: Progress) => void, signal: AbortSignal): Promise<WebAssembly.Module>;
}

type LoadCall = Extract<Call, { type: "load" }>;
type GenerateCall = Extract<Call, { type: "generate" }>;

function aborted(): EyasError {
  return new EyasError("aborted", "the operation was aborted by its caller");
}

/** The worker's side: answers one call after another, and hears aborts between tokens. */
export class WorkerHost {
  readonly #environment: HostEnvironment;
  readonly #sessions = new Map<number, WasmSession>();
  readonly #aborts = new Map<number, AbortController>();
  #engine: WasmEngine | undefined;
  #memory: WebAssembly.Memory | undefined;
  #device: DeviceReport | undefined;
  #last: Promise<void> = Promise.resolve();

  constructor(environment: HostEnvironment) {
    this.#environment = environment;
  }

  /** Takes a message of the page. Calls run in the order in which they come. */
  receive(message: ToWorker): void {
    const { id } = message;
    if ("abort" in message) {
      this.#aborts.get(id)?.abort(aborted());
      return;
    }
    const controller = new AbortController();
    this.#aborts.set(id, controller);
    this.#last = this.#last.then(async () => {
      try {
        controller.signal.throwIfAborted();
        this.#environment.post({ type: "result", id, value: await this.#answer(id, message.call, controller.signal) });
      } catch (error) {
        this.#fail(id, error);
      }
      this.#aborts.delete(id);
    });
  }

  #fail(id: number, error: unknown): void {
    if (error instanceof WebAssembly.RuntimeError) {
      this.panic(error.message); // a trap may have left the module in any state
    } else {
      this.#environment.post({ type: "error", id, error: errorToData(error) });
    }
  }

  /** Reports that the module is broken. */
  panic(message: string): void {
    const code = /memory allocation|out of memory/i.test(message) ? "out-of-memory" : "internal";
    this.#environment.post({ type: "panic", error: { code, message: `the engine panicked: ${message}`, retryable: false } });
  }

  async #answer(id: number, call: Call, signal: AbortSignal) {
    switch (call.type) {
      case "load":
        return this.#load(id, call, signal);
      case "generate":
        return this.#generate(id, call, signal);
      case "fork":
        this.#sessions.set(call.to, await this.#session(call.session).fork());
        return undefined;
      case "close-session":
        this.#sessions.get(call.session)?.free();
        this.#sessions.delete(call.session);
        return undefined;
      case "memory":
        return { deviceBytes: this.#loaded().info().memoryBytes, wasmBytes: this.#memory?.buffer.byteLength ?? 0 };
      case "dispose":
        this.#free();
        return undefined;
    }
  }

  #loaded(): WasmEngine {
    if (!this.#engine) {
      throw new EyasError("internal", "the worker has no engine; expected a load before any other call");
    }
    return this.#engine;
  }

  #session(id: number): WasmSession {
    let session = this.#sessions.get(id);
    if (!session) {
      session = this.#loaded().session();
      this.#sessions.set(id, session);
    }
    return session;
  }

  async #load(id: number, call: LoadCall, signal: AbortSignal): Promise<EngineInfo> {
    const { gpu, isSecureContext } = this.#environment;
    let plan = await chooseDevice(call.device, gpu, isSecureContext);
    for (;;) {
      try {
        return await this.#loadOn(plan, id, call, signal);
      } catch (error) {
        const next = signal.aborted ? undefined : planAfterFailure(call.device, plan, error);
        if (!next) {
          throw error;
        }
        plan = next;
      }
    }
  }

  async #loadOn(plan: DevicePlan, id: number, call: LoadCall, signal: AbortSignal): Promise<EngineInfo> {
    const { fetchModule, modules, post } = this.#environment;
    const onProgress = (progress: Progress) => post({ type: "progress", id, progress });
    const wasm = modules[plan.kind];
    const module = await fetchModule(plan.kind === "gpu" ? call.gpuWasm : call.cpuWasm, onProgress, signal);
    signal.throwIfAborted();
    const { memory } = await wasm.default({ module_or_path: module });
    const handle = new wasm.CancelHandle();
    const cancel = () => handle.cancel();
    signal.addEventListener("abort", cancel);
    try {
      signal.throwIfAborted();
      const engine = await wasm.WasmEngine.load(call.source, call.options, onProgress, handle);
      this.#engine = engine;
      this.#memory = memory;
      const info = engine.info();
      this.#device = { ...info.device, ...plan.adapter, reason: plan.reason };
      return { ...info, device: this.#device };
    } finally {
      signal.removeEventListener("abort", cancel);
    }
  }

  async #generate(id: number, call: GenerateCall, signal: AbortSignal) {
    const generation = this.#session(call.session).start(call.request);
    try {
      for (;;) {
        const event = await generation.next();
        if (event.type === "done") {
          const { type: _, ...completion } = event;
          const { name = "", reason = "" } = this.#device ?? {};
          return { ...completion, provenance: { ...completion.provenance, device: name, reason } };
        }
        this.#environment.post({ type: "event", id, event });
        await eventLoopTurn();
        signal.throwIfAborted();
      }
    } finally {
      generation.free();
    }
  }

  #free(): void {
    for (const session of this.#sessions.values()) {
      session.free();
    }
    this.#sessions.clear();
    this.#engine?.free();
    this.#engine = undefined;
  }
}
