// A worker without a browser: the real host behind the real client, joined by copied messages, with an engine that
// answers `echo: <the request>` one character a token.
import internals from "./internals.mjs";

const { Client, Eyas, EyasError, WorkerHost, loadInto } = internals;

/** What the fake engine does, for tests to look at and to steer. */
export class Script {
  log = [];
  loads = [];
  failLoad = undefined;
  failNext = undefined;
  hang = false;
  stepMs = 0;
  requests = [];
  tiers = [];
  marks = [];
  change = undefined;
  /** Called before every token with how many there were; what it throws is the generation's error. */
  onToken = undefined;
  onEmbed = undefined;
  /** What is asked of the planner, and what it says. */
  planned = [];
  plan = () => ({ asked: { quantize: "q8", contextTokens: 8, need: {}, excesses: [] }, wouldFit: [], answerer: "local", code: null, detail: "fits", matrices: [] });
  /** What a completion says besides. */
  completion = undefined;
  /** Why the cloud answers, where it does. */
  localError = undefined;
  freed = 0;
  open = 0;
  /** What `info.storage` says besides. */
  storage = {};
  /** What became of the versions of a model. */
  decided = [];
  /** Says whether a judgement of a version had anything to decide. */
  judge = undefined;
}

function textOf({ messages, prompt }) {
  return messages ? messages.map(({ role, content }) => `${role}:${content}`).join("|") : `text:${prompt}`;
}

function fakeModule(kind, script) {
  class CancelHandle {
    cancel() {
      this.cancelled?.(new EyasError("aborted", "cancelled"));
    }
    free() {}
  }
  /** As the real one, but with a session for every number and no cloud of its own; `script.cloud` says what the tier does. */
  class WasmTier {
    constructor(options, host) {
      script.tierOptions = options;
      script.host = host;
      this.sessions = new Set();
    }
    async beginLoad(key) {
      script.marks.push(`begin ${key}`);
    }
    async endLoad() {
      script.marks.push("end");
    }
    attach() {}
    detach(code) {
      script.detached = code;
      return Boolean(script.tierOptions.cloud);
    }
    #open(session) {
      if (!this.sessions.has(session)) {
        this.sessions.add(session);
        script.open += 1;
      }
    }
    start(request, tier) {
      this.#open(tier.session);
      script.requests.push(request);
      script.tiers.push(tier);
      const { number } = tier;
      if (request.options.temperature === 666) {
        throw new EyasError("context-overflow", "too long");
      }
      const text = `echo: ${textOf(request)}`;
      let { change, thought } = script;
      let next = -1;
      script.log.push(`start ${textOf(request)}`);
      return {
        next: async () => {
          await new Promise((resolve) => (script.hang ? undefined : setTimeout(resolve, script.stepMs)));
          if (script.failNext) {
            throw script.failNext;
          }
          next += 1;
          script.onToken?.(next - 1);
          if (next === 0) {
            return { type: "prefill", doneTokens: 3, totalTokens: 3 };
          }
          if (change && next === 4) {
            next = 0;
            const event = { type: change, reason: "cannot", detail: "device-lost" };
            change = undefined;
            return event;
          }
          if (next > text.length) {
            script.log.push(`end ${textOf(request)}`);
            const provenance = { tier: script.localError ? "cloud" : "local", device: "", reason: "may-not", detail: "", localError: script.localError ?? null, request: number };
            const { usage = { promptTokens: 0, completionTokens: 0 }, provenance: other } = script.completion ?? {};
            return { type: "done", text, tokenIds: [1], finishReason: "stop", usage, provenance: { ...provenance, ...other }, logprobs: [], seed: 1 };
          }
          if (thought) {
            const event = { type: "reasoning", text: thought };
            thought = undefined;
            next -= 1;
            return event;
          }
          return { type: "delta", text: text[next - 1] };
        },
        free: () => script.log.push("free generation"),
      };
    }
    async fork(from, to) {
      if (this.sessions.has(from)) {
        this.#open(to);
      }
    }
    closeSession(session) {
      script.open -= Number(this.sessions.delete(session));
    }
    free() {
      script.open -= this.sessions.size;
      this.sessions.clear();
    }
  }
  class WasmEngine {
    static load(source, options, onProgress, cancel) {
      script.loads.push({ kind, source, options });
      return new Promise((resolve, reject) => {
        cancel.cancelled = reject;
        onProgress({ phase: "weights", loadedBytes: 1, totalBytes: 2, detail: "w" });
        const error = script.failLoad?.(kind);
        if (error) {
          reject(error);
        } else if (!script.hang) {
          resolve(new WasmEngine());
        }
      });
    }
    async embed(text) {
      await new Promise((resolve) => setTimeout(resolve, script.stepMs));
      script.log.push(`embed ${text}`);
      script.onEmbed?.();
      if (script.failNext) {
        throw script.failNext;
      }
      return { vector: new Float32Array([text.length, 0]), tokens: text.length, truncatedTokens: 0 };
    }
    async classify(text) {
      return [{ label: text, score: 1 }];
    }
    keptTuning() {}
    info() {
      return { model: "fake", device: { kind, name: kind, isFallbackAdapter: false, reason: "?" }, memoryBytes: 5, hasChatTemplate: true, storage: { kept: false, reason: "", fetchedBytes: 0, storedBytes: 0, version: null, previousKept: false, rolledBack: null, ...script.storage } };
    }
    free() {
      script.freed += 1;
    }
  }
  const versions = {
    judgeModel: async (_host, id, version, judgement) => {
      script.decided.push(`${judgement} ${id} ${version}`);
      return script.judge?.(judgement) ?? true;
    },
  };
  const planModel = async (...wanted) => {
    script.planned.push(wanted);
    return script.plan(...wanted);
  };
  return { default: async () => ({ memory: { buffer: new ArrayBuffer(65536) } }), CancelHandle, WasmEngine, WasmTier, planModel, ...versions };
}

/** Lets workers find a private file system while the test `t` runs, in which the fake engine keeps nothing. */
export function fakeStorage(t) {
  const given = {
    isSecureContext: true,
    navigator: { storage: { getDirectory: async () => ({ getDirectoryHandle: async () => ({}) }) }, locks: { query: async () => ({}), request: async () => {} } },
    FileSystemFileHandle: class {
      createSyncAccessHandle() {}
    },
  };
  for (const [name, value] of Object.entries(given)) {
    const before = Object.getOwnPropertyDescriptor(globalThis, name);
    Object.defineProperty(globalThis, name, { value, configurable: true });
    t.after(() => (before ? Object.defineProperty(globalThis, name, before) : delete globalThis[name]));
  }
}

/** A worker made of a host in this thread. `emit` raises the worker's own events. */
export function fakeWorker(script, gpu) {
  const listeners = { message: [], error: [], messageerror: [] };
  let alive = true;
  const emit = (type, event) => alive && listeners[type].forEach((listener) => listener(event));
  const post = (message) => {
    const data = structuredClone(message);
    setImmediate(() => emit("message", { data }));
  };
  const host = new WorkerHost({ post, gpu, isSecureContext: true, modules: { gpu: fakeModule("gpu", script), cpu: fakeModule("cpu", script) }, fetchModule: async () => ({}) });
  return {
    host,
    emit,
    isAlive: () => alive,
    postMessage(message) {
      const data = structuredClone(message);
      setImmediate(() => alive && host.receive(data));
    },
    terminate() {
      alive = false;
    },
    addEventListener: (type, listener) => listeners[type].push(listener),
  };
}

/** An engine over fake workers, of which it gets a second one only where it is to recover. */
export async function fakeEngine(script = new Script(), options = {}, gpu = undefined) {
  const workers = [];
  const start = () => {
    workers.push(fakeWorker(script, gpu));
    return workers.at(-1);
  };
  const assets = { gpuWasm: "http://localhost/gpu.wasm", cpuWasm: "http://localhost/cpu.wasm" };
  const eyas = await loadInto(start, assets, { model: "https://example.test/m/", recover: false, ...options });
  return { eyas, worker: workers[0], workers, script };
}

export { Client, Eyas, EyasError };
