import { beginModel, type BegunRequests } from "./begun_request.js";
import { chooseDevice, planAfterFailure, type DevicePlan, type GpuLike } from "./device_choice.js";
import type { Embedding } from "./embedding.js";
import type { DeviceReport, EngineInfo } from "./engine_info.js";
import { EyasError, errorFromData, errorToData } from "./error.js";
import { eventLoopTurn } from "./event_loop_turn.js";
import { type LoadCall, loadMarkKey, type PlanCall, savesData, storeOf, UNASKED_BYTES } from "./load_call.js";
import { answerModels, withoutStore } from "./models_call.js";
import { cloudMayAnswer, type Plan, planWithoutModel } from "./plan.js";
import type { Call, FromWorker, ToWorker } from "./protocol.js";
import type { Progress } from "./progress.js";
import { SharedProgress } from "./shared_progress.js";
import { deviceFolder, type StoreHost, storeHost } from "./store_host.js";
import type { WireStoreOptions } from "./store_options.js";
import { type Ask, tierHost } from "./tier_host.js";
import { updateModel } from "./update_call.js";
import { type Judgement, VersionProof } from "./version_proof.js";
import type { WasmAnswer, WasmCancelHandle, WasmEngine, WasmModule, WasmStoreModule, WasmStoring, WasmTier } from "./wasm_contract.js";

/** What the worker's environment gives to the host; tests give their own. */
export interface HostEnvironment {
  post(message: FromWorker): void;
  gpu: GpuLike | undefined;
  isSecureContext: boolean;
  modules: { gpu: WasmModule; cpu: WasmStoreModule };
  fetchModule(url: string, onProgress: (progress: Progress) => void, signal: AbortSignal): Promise<WebAssembly.Module>;
}

type GenerateCall = Extract<Call, { type: "generate" }>;
type ModelsCall = Extract<Call, { type: "models" }>;

/** Under which, with an adapter's name, is kept what was measured on it. */
const TUNING_KEY = "eyas-tuning";

function aborted(): EyasError {
  return new EyasError("aborted", "the operation was aborted by its caller");
}

/** The worker's side: answers one call after another, and hears aborts between tokens. */
export class WorkerHost {
  readonly #environment: HostEnvironment;
  readonly #aborts = new Map<number, AbortController>();
  readonly #asked = new Map<number, { resolve: (value: string | undefined) => void; reject: (error: unknown) => void }>();
  #lastAsk = 0;
  #signal: AbortSignal | undefined;
  #wasm: WasmModule | undefined;
  #tier: WasmTier | undefined;
  #engine: WasmEngine | undefined;
  #memory: WebAssembly.Memory | undefined;
  #proof: VersionProof | undefined;
  #putBack: Promise<string | undefined> | undefined;
  #device: DeviceReport | undefined;
  #last: Promise<void> = Promise.resolve();

  constructor(environment: HostEnvironment) {
    this.#environment = environment;
  }

  /** Takes a message of the page. Calls run in the order in which they come. */
  receive(message: ToWorker): void {
    if ("ask" in message) {
      const asked = this.#asked.get(message.ask);
      this.#asked.delete(message.ask);
      if (message.error) {
        asked?.reject(errorFromData(message.error));
      } else {
        asked?.resolve(message.value);
      }
      return;
    }
    const { id } = message;
    if ("abort" in message) {
      this.#aborts.get(id)?.abort(aborted());
      return;
    }
    const controller = new AbortController();
    this.#aborts.set(id, controller);
    this.#last = this.#last.then(async () => {
      this.#signal = controller.signal;
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
      case "plan":
        return this.#plan(id, call, signal);
      case "generate":
        return this.#generate(id, call, signal);
      case "embed":
        return this.#embed(call.texts, call.prompt, signal);
      case "classify":
        return this.#proving(() => this.#model().classify(call.text, call.second));
      case "fork":
        await this.#loaded().fork(call.session, call.to);
        return undefined;
      case "close-session":
        this.#loaded().closeSession(call.session);
        return undefined;
      case "models":
        return this.#models(id, call, signal);
      case "update": {
        const shared = new SharedProgress();
        return updateModel(call, {
          ...this.#environment,
          startCpu: async () => {
            await this.#start("cpu", call.cpuWasm, id, signal);
            return this.#environment.modules.cpu;
          },
          startGpu: async () => (await this.#start("gpu", call.gpuWasm, id, signal)).wasm,
          storing: (wanted) => this.#storing(wanted, (progress) => this.#environment.post({ type: "progress", id, progress }), shared),
          cancellable: (wasm, work) => this.#cancellable(wasm, signal, work),
          onProgress: (progress) => {
            this.#environment.post({ type: "progress", id, progress });
            shared.tell(progress);
          },
          signal,
        });
      }
      case "memory":
        return { deviceBytes: this.#engine?.info().memoryBytes ?? 0, wasmBytes: this.#memory?.buffer.byteLength ?? 0 };
      case "dispose":
        await this.#proof?.settled();
        this.#free();
        return undefined;
    }
  }

  #loaded(): WasmTier {
    if (!this.#tier) {
      throw new EyasError("internal", "the worker has no engine; expected a load before any other call");
    }
    return this.#tier;
  }

  /** The model on this device; `unsupported-model` where only the cloud answers. */
  #model(): WasmEngine {
    if (!this.#engine) {
      throw new EyasError("unsupported-model", `no model on this device can embed or classify: ${this.#device?.reason ?? "none was loaded"}`);
    }
    return this.#engine;
  }

  /** One text after another, and an ear for aborts between them. */
  async #embed(texts: readonly string[], prompt: string | undefined, signal: AbortSignal): Promise<Embedding[]> {
    const model = this.#model();
    const embeddings: Embedding[] = [];
    for (const text of texts) {
      embeddings.push(await this.#proving(() => model.embed(text, prompt)));
      await eventLoopTurn();
      signal.throwIfAborted();
    }
    return embeddings;
  }

  /** Lets the model answer, which proves its version or does not. */
  async #proving<T>(answer: () => Promise<T>): Promise<T> {
    await this.#proof?.begins();
    try {
      const answered = await answer();
      this.#proof?.answered();
      return answered;
    } catch (error) {
      throw (await this.#proof?.failed(error)) ?? error;
    }
  }

  /** Asks the page, and waits at most until the call that runs is aborted. */
  #ask(what: Ask): Promise<string | undefined> {
    const ask = ++this.#lastAsk;
    return new Promise((resolve, reject) => {
      this.#asked.set(ask, { resolve, reject });
      this.#environment.post({ type: "ask", ask, what });
    });
  }

  async #load(id: number, call: LoadCall, signal: AbortSignal): Promise<EngineInfo> {
    const { gpu, isSecureContext } = this.#environment;
    let plan: DevicePlan;
    try {
      if (call.givenUp) {
        throw new EyasError(call.givenUp.code, call.givenUp.message);
      }
      plan = await chooseDevice(call.device, gpu, isSecureContext);
    } catch (error) {
      await this.#startTier({ kind: "cpu", reason: "" }, id, call, signal);
      return this.#withoutModel(error, call);
    }
    for (;;) {
      try {
        return await this.#loadOn(plan, id, call, signal);
      } catch (error) {
        const next = signal.aborted ? undefined : planAfterFailure(call.device, plan, error);
        if (!next) {
          signal.throwIfAborted();
          return this.#withoutModel(error, call);
        }
        plan = next;
      }
    }
  }

  /** What the failure of a load comes to: the cloud answers if it may, else the failure is the load's. */
  #withoutModel(error: unknown, call: LoadCall): EngineInfo {
    const { code, message } = errorToData(error);
    const isOurs = code === "bad-input" || code === "aborted" || error instanceof WebAssembly.RuntimeError || call.broke?.again === false;
    if (isOurs || !this.#tier?.detach(code, message) || !call.tier.cloud) {
      throw error;
    }
    const device: DeviceReport = { kind: "none", name: "no model on this device", isFallbackAdapter: false, reason: `${code}: ${message}` };
    this.#device = device;
    const { model } = call.tier.cloud;
    return { kind: "none", model, architecture: "", device, memoryBytes: 0, contextTokens: 0, vocabSize: 0, quantize: "none", fingerprint: "", hasChatTemplate: true, storage: { kept: false, reason: "no model was loaded", fetchedBytes: 0, storedBytes: 0, version: null, previousKept: false, rolledBack: null, manifest: null } };
  }

  /** Fetches the module of a device. */
  async #start(kind: "gpu" | "cpu", url: string, id: number, signal: AbortSignal): Promise<{ wasm: WasmModule; memory: WebAssembly.Memory }> {
    const { fetchModule, modules, post } = this.#environment;
    const wasm = modules[kind];
    const module = await fetchModule(url, (progress) => post({ type: "progress", id, progress }), signal);
    signal.throwIfAborted();
    const { memory } = await wasm.default({ module_or_path: module });
    return { wasm, memory };
  }

  /** Fetches the module of a device and makes the tiers in it. */
  async #startTier(plan: DevicePlan, id: number, call: LoadCall, signal: AbortSignal): Promise<{ wasm: WasmModule; memory: WebAssembly.Memory; tier: WasmTier }> {
    const { post } = this.#environment;
    const { wasm, memory } = await this.#start(plan.kind, plan.kind === "gpu" ? call.gpuWasm : call.cpuWasm, id, signal);
    this.#tier?.free();
    this.#tier = undefined;
    const tier = new wasm.WasmTier(call.tier, tierHost(() => this.#signal, (what) => this.#ask(what), (entry) => post({ type: "egress", entry })));
    [this.#wasm, this.#tier, this.#memory] = [wasm, tier, memory];
    return { wasm, memory, tier };
  }

  async #loadOn(plan: DevicePlan, id: number, call: LoadCall, signal: AbortSignal): Promise<EngineInfo> {
    const begun = beginModel(plan, call, signal);
    try {
      return await this.#loadWith(begun, plan, id, call, signal);
    } finally {
      begun?.discard();
    }
  }

  async #loadWith(begun: BegunRequests | undefined, plan: DevicePlan, id: number, call: LoadCall, signal: AbortSignal): Promise<EngineInfo> {
    const shared = new SharedProgress();
    const post = (progress: Progress) => this.#environment.post({ type: "progress", id, progress });
    const onProgress = (progress: Progress) => {
      post(progress);
      shared.tell(progress);
    };
    const { wasm, tier } = await this.#startTier(plan, id, call, signal);
    const { host, storing } = await this.#storing(storeOf(call), post, shared, begun);
    const rolledBack = await (this.#putBack ??= this.#putBackOnce(call, wasm, host, storing));
    return this.#cancellable(wasm, signal, async (handle) => {
      const { memoryBytes, downloadBytes } = call.tier.budget ?? {};
      if (memoryBytes !== undefined || downloadBytes !== undefined) {
        const { asked, detail } = await wasm.planModel(call.source, call.options, plan.kind, { memoryBytes, downloadBytes }, cloudMayAnswer(call.tier), handle, host, storing);
        // The store makes room, or says that it can't, when it comes to that.
        if (asked?.excesses.some(({ bound }) => bound !== "storageBytes")) {
          throw new EyasError("over-budget", detail);
        }
      }
      const { source } = call;
      const adapter = plan.adapter && `${TUNING_KEY}:${plan.adapter.name}`;
      const known = adapter && (await this.#ask({ kind: "store-get", key: adapter }));
      await tier.beginLoad(loadMarkKey(call, plan.kind));
      try {
        const engine = await wasm.WasmEngine.load(source, call.options, onProgress, handle, host, storing, known);
        this.#engine = engine;
      } finally {
        await tier.endLoad();
      }
      tier.attach(this.#engine);
      const measured = this.#engine.keptTuning();
      if (adapter && measured !== undefined) {
        this.#ask({ kind: "store-leave", key: adapter, text: measured }).catch(() => {}); // then a later load measures again
      }
      const loaded = this.#engine.info();
      const info = { ...loaded, storage: { ...loaded.storage, rolledBack: loaded.storage.rolledBack ?? rolledBack ?? null } };
      this.#proof = this.#proofOf(info, wasm, host, storing);
      this.#device = { ...info.device, ...plan.adapter, reason: call.because ?? plan.reason };
      return { ...info, device: this.#device };
    });
  }

  /** What an engine's first answer decides, where the model was updated before. */
  #proofOf({ storage: { version, previousKept } }: EngineInfo, wasm: WasmModule, host: StoreHost, { id }: WasmStoring): VersionProof | undefined {
    if (!previousKept || version === null || id === undefined) {
      return undefined;
    }
    return new VersionProof((judgement) => this.#judge(wasm, host, id, version, judgement));
  }

  #judge(wasm: WasmModule, host: StoreHost, id: string, version: string, judgement: Judgement | "put-back"): Promise<boolean> {
    const unending = new AbortController().signal;
    return this.#cancellable(wasm, unending, (handle) => wasm.judgeModel(host, id, version, judgement, handle));
  }

  /** Where this worker takes the place of one that broke: puts back the version before, if it was a newer one that broke it, and tells why. */
  async #putBackOnce({ broke }: LoadCall, wasm: WasmModule, host: StoreHost, { id }: WasmStoring): Promise<string | undefined> {
    if (!broke) {
      return undefined;
    }
    if (id !== undefined && (await this.#judge(wasm, host, id, "", "put-back"))) {
      return `${broke.code}: ${broke.message}`;
    }
    if (!broke.again) {
      throw new EyasError(broke.code, broke.message);
    }
    return undefined;
  }

  async #plan(id: number, call: PlanCall, signal: AbortSignal): Promise<Plan> {
    try {
      return await this.#planned(id, call, signal);
    } catch (error) {
      signal.throwIfAborted();
      return planWithoutModel(error, call.tier);
    }
  }

  async #planned(id: number, call: PlanCall, signal: AbortSignal): Promise<Plan> {
    const { gpu, isSecureContext, modules, post } = this.#environment;
    const chosen = await chooseDevice(call.device, gpu, isSecureContext);
    await this.#start("cpu", call.cpuWasm, id, signal);
    const { memoryBytes, downloadBytes } = call.tier.budget ?? {};
    const deviceMemory = (globalThis.navigator as { deviceMemory?: number } | undefined)?.deviceMemory;
    const limits = chosen.kind === "gpu" ? chosen.limits : undefined;
    const budget = {
      memoryBytes,
      downloadBytes,
      deviceMemoryBytes: deviceMemory && deviceMemory * 2 ** 30,
      largestBufferBytes: limits && Math.min(limits.maxBufferSize, limits.maxStorageBufferBindingSize),
    };
    const { host, storing } = await this.#storing(storeOf(call), (progress) => post({ type: "progress", id, progress }));
    const mark = await this.#ask({ kind: "store-get", key: loadMarkKey(call, chosen.kind) });
    return this.#cancellable(modules.cpu, signal, (handle) => modules.cpu.planModel(call.source, call.options, chosen.kind, budget, cloudMayAnswer(call.tier), handle, host, storing, mark));
  }

  /** What the store in the module works with, and what it is to keep. */
  async #storing(wanted: WireStoreOptions, onProgress: (progress: Progress) => void, shared?: SharedProgress, begun?: BegunRequests): Promise<{ host: StoreHost; storing: WasmStoring }> {
    const folder = wanted.id === undefined ? "the load asked for none" : await deviceFolder();
    const waiting = "another tab is loading this model; this load waits for it, and fetches nothing twice";
    const onWait = (folder: string) => {
      onProgress({ phase: "inspect", loadedBytes: 0, totalBytes: 0, detail: waiting, source: "network", fetchedBytes: 0, bytesPerSecond: null, remainingMs: null });
      // This load itself has fetched nothing.
      return SharedProgress.listen(folder, (progress) => onProgress({ ...progress, detail: waiting, fetchedBytes: 0 }));
    };
    const listener = { onWait, onHold: (folder: string) => shared?.hold(folder) ?? (() => {}) };
    const storing: WasmStoring = { sha256: wanted.sha256, evictable: wanted.evictable, required: wanted.required, ...(savesData(wanted) ? { unaskedBytes: UNASKED_BYTES } : {}) };
    const { manifest, publicKey } = wanted;
    Object.assign(storing, manifest && { manifestUrl: manifest.url, manifestLists: manifest.lists }, publicKey === undefined ? {} : { publicKey });
    if (typeof folder === "string") {
      return { host: storeHost(undefined, () => this.#signal, listener, begun), storing: { ...storing, reason: folder } };
    }
    return { host: storeHost(folder, () => this.#signal, listener), storing: { ...storing, id: wanted.id as string } };
  }

  /** The models on this device: listed, removed, written out or taken in. */
  async #models(id: number, { request, cpuWasm }: ModelsCall, signal: AbortSignal) {
    const folder = await deviceFolder();
    if (typeof folder === "string") {
      return withoutStore(request, folder);
    }
    await this.#start("cpu", cpuWasm, id, signal);
    const { cpu } = this.#environment.modules;
    const host = storeHost(folder, () => this.#signal);
    const onProgress = (progress: Progress) => this.#environment.post({ type: "progress", id, progress });
    return this.#cancellable(cpu, signal, (handle) => answerModels(request, { cpu, host, handle, signal, onProgress }));
  }

  /** Runs `work` with a handle that the signal cancels. */
  async #cancellable<T>(wasm: WasmModule, signal: AbortSignal, work: (handle: WasmCancelHandle) => Promise<T>): Promise<T> {
    const handle = new wasm.CancelHandle();
    const cancel = () => handle.cancel();
    signal.addEventListener("abort", cancel);
    try {
      signal.throwIfAborted();
      return await work(handle);
    } finally {
      signal.removeEventListener("abort", cancel);
    }
  }

  async #generate(id: number, call: GenerateCall, signal: AbortSignal) {
    const tier = this.#loaded();
    await this.#proof?.begins();
    return this.#cancellable(this.#wasm as WasmModule, signal, async (handle) => {
      let answer: WasmAnswer | undefined;
      try {
        answer = tier.start(call.request, { ...call.tier, session: call.session }, handle);
        for (;;) {
          const event = await answer.next();
          if (event.type === "done") {
            const { type: _, ...completion } = event;
            const { provenance } = completion;
            const { name = "", reason = "" } = this.#device ?? {};
            const where = provenance.tier === "local" ? { device: name, deviceReason: reason } : { deviceReason: "" };
            if (provenance.tier === "local") {
              this.#proof?.answered();
            } else {
              this.#proof?.undecided();
            }
            return { ...completion, provenance: { ...provenance, ...where } };
          }
          this.#environment.post({ type: "event", id, event });
          await eventLoopTurn();
          signal.throwIfAborted();
        }
      } catch (error) {
        throw (await this.#proof?.failed(error)) ?? error;
      } finally {
        answer?.free();
      }
    });
  }

  #free(): void {
    this.#tier?.free();
    this.#tier = undefined;
    this.#engine?.free();
    this.#engine = undefined;
  }
}
