import { CallQueue } from "./call_queue.js";
import type { GenerationEvent } from "./completion.js";
import type { EgressEntry } from "./egress_ledger.js";
import { EyasError, errorFromData, errorToData } from "./error.js";
import { PageStore } from "./page_store.js";
import type { Answers, Call, FromWorker, ToWorker } from "./protocol.js";
import type { Progress } from "./progress.js";
import type { Ask } from "./tier_host.js";
import type { CloudOptions } from "./tier_options.js";

/** The part of a Worker that the client needs. */
export interface WorkerLike {
  postMessage(message: ToWorker): void;
  terminate(): void;
  addEventListener(type: "message" | "error" | "messageerror", listener: (event: Event) => void): void;
}

/** Who listens to a call while it runs. */
export interface CallListeners {
  onProgress?: ((progress: Progress) => void) | undefined;
  onEvent?: ((event: Exclude<GenerationEvent, { type: "done" }>) => void) | undefined;
  /** Called with the answer before the next call in the queue is asked for. */
  onResult?: ((answer: never) => void) | undefined;
  signal?: AbortSignal | undefined;
  /** Whether the call may be made again where its device is lost: it says nothing before its end, and changes nothing. */
  repeatable?: boolean;
}

/** What the page does for the tiers in the worker. */
export interface PageSide {
  getToken?: CloudOptions["getToken"];
  onEgress?: (entry: EgressEntry) => void;
  /** Called when the worker is gone, whatever ended it. */
  onEnd?: () => void;
}

interface Pending {
  resolve: (value: never) => void;
  reject: (error: unknown) => void;
  listeners: CallListeners;
  signal: AbortSignal;
}

/** How long a worker may take to end a load or to free its memory before it is terminated. */
const GRACE_MS = 2000;

/** The page's side of one worker: requests with answers, one at a time, each of which a signal can abort. */
export class Client {
  readonly #worker: WorkerLike;
  readonly #page: PageSide;
  readonly #store = new PageStore();
  readonly #queue = new CallQueue();
  readonly #pending = new Map<number, Pending>();
  readonly #end = new AbortController();
  #lastId = 0;
  #later: EyasError | undefined;
  #disposed: Promise<void> | undefined;

  constructor(worker: WorkerLike, page: PageSide = {}) {
    this.#worker = worker;
    this.#page = page;
    worker.addEventListener("message", (event) => this.#receive((event as MessageEvent<FromWorker>).data));
    worker.addEventListener("error", (event) => {
      const { message, filename } = event as ErrorEvent;
      this.#poison(new EyasError("internal", message ? `the worker failed: ${message}` : `the worker's script could not be started${filename ? ` from ${filename}` : ""}; check that its URL is served as JavaScript`));
    });
    worker.addEventListener("messageerror", () => this.#poison(new EyasError("internal", "a message between page and worker could not be read")));
  }

  /**
   * Makes a call after all earlier ones have ended. `call` is asked for when its turn comes. An abort rejects at once with
   * the signal's reason; the next call waits until the worker has really stopped.
   */
  async call<K extends keyof Answers>(call: () => Extract<Call, { type: K }>, listeners: CallListeners = {}): Promise<Answers[K]> {
    const { signal } = listeners;
    signal?.throwIfAborted();
    this.#throwIfEnded();
    const own = new AbortController();
    const abort = () => own.abort(signal?.reason);
    const end = () => own.abort(this.#end.signal.reason);
    signal?.addEventListener("abort", abort);
    this.#end.signal.addEventListener("abort", end);
    let giveUp = () => {};
    try {
      return await new Promise<Answers[K]>((resolve, reject) => {
        giveUp = () => reject(own.signal.reason);
        own.signal.addEventListener("abort", giveUp);
        this.#queue.run(async () => this.#send(call(), listeners, own.signal), own.signal).then(resolve, reject);
      });
    } finally {
      own.signal.removeEventListener("abort", giveUp);
      signal?.removeEventListener("abort", abort);
      this.#end.signal.removeEventListener("abort", end);
    }
  }

  /** Posts a call and settles when the worker has ended it, even where its caller no longer waits. */
  #send<K extends keyof Answers>(call: Extract<Call, { type: K }>, listeners: CallListeners, signal: AbortSignal): Promise<Answers[K]> {
    const id = ++this.#lastId;
    const answer = new Promise<Answers[K]>((resolve, reject) => {
      this.#pending.set(id, { resolve, reject, listeners, signal });
    });
    const abort = () => {
      if (this.#pending.has(id) && !this.#end.signal.aborted) {
        this.#worker.postMessage({ id, abort: true });
      }
    };
    signal.addEventListener("abort", abort);
    try {
      this.#worker.postMessage({ id, call });
    } catch (cause) {
      this.#pending.delete(id);
      return Promise.reject(new EyasError("bad-input", "an argument can't be sent to the worker; expected plain data", { cause }));
    }
    return answer.finally(() => signal.removeEventListener("abort", abort));
  }

  #receive(message: FromWorker): void {
    if (message.type === "panic") {
      this.#poison(errorFromData(message.error));
      return;
    }
    if (message.type === "egress") {
      this.#page.onEgress?.(message.entry);
      return;
    }
    if (message.type === "ask") {
      void this.#answer(message.ask, message.what);
      return;
    }
    const pending = this.#pending.get(message.id);
    if (!pending) {
      return;
    }
    const heard = pending.signal.aborted ? {} : pending.listeners;
    switch (message.type) {
      case "progress":
        heard.onProgress?.(message.progress);
        return;
      case "event":
        heard.onEvent?.(message.event);
        return;
      case "result":
        this.#pending.delete(message.id);
        heard.onResult?.(message.value as never);
        pending.resolve(message.value as never);
        return;
      case "error":
        this.#pending.delete(message.id);
        pending.reject(errorFromData(message.error));
    }
  }

  /** Answers what the worker asks of the page. */
  async #answer(ask: number, what: Ask): Promise<void> {
    try {
      let value: string | undefined;
      if (what.kind === "token") {
        value = await this.#page.getToken?.({ refresh: what.refresh });
      } else if (what.kind === "store-get") {
        value = await this.#store.get(what.key);
      } else if (what.kind === "store-leave") {
        this.#store.leave(what.key, what.text);
      } else {
        this.#store.set(what.key, what.text);
      }
      this.#worker.postMessage({ ask, value: value === undefined || value === null ? undefined : String(value) });
    } catch (error) {
      this.#worker.postMessage({ ask, error: errorToData(error) });
    }
  }

  /** The worker is broken: every call that waits, and every later one, rejects with `error`. */
  #poison(error: EyasError): void {
    this.#stop(error, new EyasError("internal", `${error.message}; this engine is unusable: dispose it and load the model again`, { cause: error }));
  }

  #stop(now: EyasError, later: EyasError): void {
    if (this.#end.signal.aborted) {
      return;
    }
    this.#later = later;
    this.#terminate();
    this.#end.abort(now);
    for (const { reject } of this.#pending.values()) {
      reject(now);
    }
    this.#pending.clear();
  }

  #terminate(): void {
    this.#worker.terminate();
    this.#store.clear();
    this.#page.onEnd?.();
  }

  /** Whether the worker broke, so that no call can be answered any more. */
  get isBroken(): boolean {
    return this.#later !== undefined;
  }

  #throwIfEnded(): void {
    if (this.#disposed) {
      throw new EyasError("bad-input", "the engine was disposed; load the model again");
    }
    if (this.#later) {
      throw this.#later;
    }
  }

  /**
   * Ends everything: calls that wait reject with `aborted`, the worker frees the device's memory and is terminated (at
   * the latest after two seconds). Later calls reject with `bad-input`. Disposing again changes nothing.
   */
  dispose(message = "the engine was disposed while the call was under way"): Promise<void> {
    this.#disposed ??= this.#dispose(new EyasError("aborted", message));
    return this.#disposed;
  }

  async #dispose(reason: EyasError): Promise<void> {
    if (this.#end.signal.aborted) {
      return;
    }
    const running = [...this.#pending];
    for (const [id, { reject }] of running) {
      this.#worker.postMessage({ id, abort: true });
      reject(reason);
    }
    this.#pending.clear();
    this.#end.abort(reason);
    let timer: ReturnType<typeof setTimeout> | undefined;
    const late = new Promise((resolve) => {
      timer = setTimeout(resolve, GRACE_MS);
    });
    const freed = new Promise<void>((resolve) => {
      const id = ++this.#lastId;
      this.#pending.set(id, { resolve, reject: () => resolve(), listeners: {}, signal: new AbortController().signal });
      this.#worker.postMessage({ id, call: { type: "dispose" } });
    });
    await Promise.race([freed, late]);
    clearTimeout(timer);
    this.#terminate();
  }
}
