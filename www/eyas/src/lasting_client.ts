import type { CallListeners, Client } from "./client.js";
import type { Completion } from "./completion.js";
import type { EgressLedger } from "./egress_ledger.js";
import type { EngineInfo } from "./engine_info.js";
import { EyasError } from "./error.js";
import { KeptPrivacy } from "./kept_privacy.js";
import type { Answers, Call } from "./protocol.js";
import { Replay } from "./replay.js";
import { RequestTries } from "./request_tries.js";
import { type UsageReport, UsageTotals } from "./usage_totals.js";

export type LoadCall = Extract<Call, { type: "load" }>;

/** So often in a row, without an answer in between, a device may go away before the engine goes on with the CPU, with the cloud alone, or gives up. */
export const MAX_LOSSES = 3;

/** Tries of one call, so that it ends whatever happens: as many losses as a device may have, then the CPU, then the cloud. */
const MAX_TRIES = MAX_LOSSES + 3;

/** After so long a device that was given up, or could not be loaded again, is tried once more. */
export const RETRY_DEVICE_MS = 30_000;

/**
 * A client whose engine comes back. Where its device is lost or its worker breaks in the middle of an answer, a new worker loads the same model, from
 * the store where it is there, and computes the answer again from its beginning; the caller hears only what it has not heard yet.
 */
export class LastingClient {
  readonly #start: () => Client;
  readonly #load: LoadCall;
  readonly #recovers: boolean;
  readonly #ledger: EgressLedger;
  readonly #totals: UsageTotals;
  readonly #now: () => number;
  #client: Client;
  #info: EngineInfo | undefined;
  #losses = 0;
  #revival: Promise<void> | undefined;
  /** The client that a revival loads the model into. */
  #coming: Client | undefined;
  #disposed: Promise<void> | undefined;
  /** Clients that were given up: calls that still waited for them wait for the next one. */
  readonly #retired = new WeakSet<Client>();
  /** Clients whose device was lost while the cloud answered: nothing more is asked of them. */
  readonly #lost = new WeakSet<Client>();
  readonly #privacy: KeptPrivacy;
  /** Requests of all workers. */
  #requests = 0;
  /** Why the model had to be loaded again when that failed. */
  #loss: EyasError | undefined;
  /** When the device was last tried in vain. */
  #gaveUpMs: number | undefined;
  /** Whether the cloud answers alone for a device that was there once. */
  #isAlone = false;
  /** Sessions that the worker at hand knows. */
  #sessions = new Set<number>();

  /** `now` tells milliseconds from any start. */
  constructor(start: () => Client, load: LoadCall, recovers: boolean, ledger: EgressLedger, now = () => performance.now()) {
    this.#start = start;
    this.#load = load;
    this.#recovers = recovers;
    this.#ledger = ledger;
    this.#now = now;
    this.#totals = new UsageTotals(load.tier.cloud?.prices !== undefined);
    this.#privacy = new KeptPrivacy(load.tier.privacy, load.tier.cloud?.taintScope);
    this.#client = start();
  }

  /** Answers, tokens, bytes and cost so far. */
  get usage(): UsageReport {
    return this.#totals.report(this.#ledger);
  }

  /** What was loaded, where it runs now and why there. */
  get info(): EngineInfo {
    return this.#info as EngineInfo;
  }

  /** Loads the model for the first time. */
  async load(listeners: CallListeners): Promise<void> {
    const client = this.#client;
    try {
      this.#info = await client.call<"load">(() => this.#load, listeners);
    } catch (error) {
      if (!this.#recovers || this.#disposed || !client.isBroken || !(error instanceof EyasError) || this.#load.store.id === undefined) {
        throw error;
      }
      // What broke the worker may be a newer version of the model, behind which the one before is kept.
      const broke = { code: error.code, message: error.message, again: false };
      const next = this.#start();
      this.#client = next;
      this.#info = await next.call<"load">(() => ({ ...this.#load, broke }), listeners);
    }
  }

  /** As `Client.call`; answers, embeddings and labels outlive their device. */
  async call<K extends keyof Answers>(make: () => Extract<Call, { type: K }>, listeners: CallListeners = {}): Promise<Answers[K]> {
    const { signal, onEvent } = listeners;
    const outlives = onEvent !== undefined || listeners.repeatable === true;
    const own = new AbortController();
    const abort = () => own.abort(signal?.reason);
    signal?.addEventListener("abort", abort);
    if (signal?.aborted) {
      abort();
    }
    let seed: number | undefined;
    let loss: EyasError | undefined;
    const replay = new Replay(
      (event) => onEvent?.(event),
      () => own.abort(new EyasError("device-lost", `${loss?.message}; computed again, the answer went another way, so it could not be gone on with`, { cause: loss })),
    );
    let tries: RequestTries | undefined;
    const call = () => {
      const made: Call = make();
      if (made.type !== "generate") {
        return made as Extract<Call, { type: K }>;
      }
      tries ??= new RequestTries((this.#requests += 1), this.#ledger);
      this.#sessions.add(made.session);
      const { text, reasoning } = replay.heard;
      const earlier = tries.earlier(text, reasoning);
      const tier = { ...made.tier, number: tries.number, privacy: this.#privacy.of(made.session, made.tier.privacy), ...(earlier ? { earlier } : {}) };
      // What is drawn must be drawn again.
      if ((made.request.options.temperature ?? 0) > 0 && made.request.options.seed === undefined) {
        seed ??= crypto.getRandomValues(new Uint32Array(1))[0] as number;
        return { ...made, tier: { ...tier, ownSeed: true }, request: { ...made.request, options: { ...made.request.options, seed } } } as unknown as Extract<Call, { type: K }>;
      }
      return { ...made, tier } as unknown as Extract<Call, { type: K }>;
    };
    try {
      if (outlives && this.#isAlone) {
        await unlessAborted(this.#comeBack(), own.signal);
      }
      for (let count = 1; ; count += 1) {
        const client = this.#client;
        try {
          const onResult = (answer: never) => {
            if (lostItsDevice(answer)) {
              this.#lost.add(client);
            }
            listeners.onResult?.(answer);
          };
          const ask = () => {
            if (this.#recovers && this.#lost.has(client)) {
              throw new EyasError("device-lost", "the device was lost, and the cloud answered for it");
            }
            return call();
          };
          const answer = await client.call<K>(ask, { ...listeners, onResult, signal: own.signal, ...(onEvent ? { onEvent: (event) => replay.hear(event) } : {}) });
          if (!replay.isCaughtUp) {
            own.abort(new EyasError("device-lost", `${loss?.message}; computed again, the answer was shorter than what was shown`, { cause: loss }));
            throw own.signal.reason;
          }
          if (tries) {
            this.#totals.add(answer as Completion);
          }
          if (this.#lost.has(client)) {
            this.#reviveBehind(client);
          } else if (outlives && !this.#isAlone) {
            this.#losses = 0;
          }
          return answer;
        } catch (error) {
          tries?.fail();
          if (!outlives || own.signal.aborted || count >= MAX_TRIES || !this.#isLoss(client, error)) {
            throw error;
          }
          // A client that is gone says so of every call; what became of its device says more.
          loss = this.#retired.has(client) && this.#loss ? this.#loss : (error as EyasError);
          await unlessAborted(this.#revive(client, loss), own.signal);
          replay.rewind();
        }
      }
    } finally {
      signal?.removeEventListener("abort", abort);
    }
  }

  /** Copies a session; one that the worker does not know yet is made from its messages when it is first used. */
  async fork(call: () => Extract<Call, { type: "fork" }>): Promise<void> {
    const made = call();
    this.#privacy.fork(made.session, made.to);
    if (!this.#sessions.has(made.session)) {
      return;
    }
    const client = this.#client;
    try {
      await client.call<"fork">(() => made);
      this.#sessions.add(made.to);
    } catch (error) {
      if (!this.#isLoss(client, error)) {
        throw error;
      }
    }
  }

  #isLoss(client: Client, error: unknown): boolean {
    if (!this.#recovers || this.#disposed || !(error instanceof EyasError)) {
      return false;
    }
    // Where the cloud answers alone, its failures may name the device that was lost before; no other one is to be had for that.
    const hasDevice = client !== this.#client || !this.#isAlone;
    return (error.code === "device-lost" && hasDevice) || client.isBroken || this.#retired.has(client);
  }

  /** The cloud answered for a device that was lost: the next request shall find one again. Whoever comes meanwhile waits, and is told of a failure. */
  #reviveBehind(client: Client): void {
    const loss = new EyasError("device-lost", "the device was lost, and the cloud answered for it");
    if (this.#isLoss(client, loss)) {
      this.#revive(client, loss).catch(() => {});
    }
  }

  /** Loads the model again in a new worker, once for all calls that lost the old one. */
  async #revive(lost: Client, loss: EyasError): Promise<void> {
    if (this.#client === lost) {
      this.#revival ??= this.#reload(lost, loss).finally(() => {
        this.#revival = undefined;
      });
    }
    await this.#revival;
  }

  async #reload(lost: Client, loss: EyasError): Promise<void> {
    this.#losses += 1;
    let load = this.#load;
    const { tuning } = this.#info?.device ?? {};
    if (tuning) {
      // An answer goes on with the same text only where sums are made in the same order.
      const { source: _, ...sizes } = tuning;
      load = { ...load, options: { ...load.options, tuning: sizes } };
    }
    if (this.#losses > MAX_LOSSES) {
      const times = `${this.#losses} times in a row (${loss.message})`;
      if (this.#load.device === "auto" && this.#info?.device.kind === "gpu") {
        load = { ...load, device: "cpu", because: `the GPU was lost ${times}` };
      } else if (this.#load.tier.cloud) {
        load = { ...load, givenUp: { code: loss.code, message: `this device failed ${times}` } };
      } else if (this.#gaveUpMs === undefined || this.#now() - this.#gaveUpMs < RETRY_DEVICE_MS) {
        this.#gaveUpMs ??= this.#now();
        throw loss;
      }
    }
    if (lost.isBroken) {
      load = { ...load, broke: { code: loss.code, message: loss.message, again: true } };
    }
    this.#retire(lost);
    await lost.dispose();
    this.#throwIfDisposed();
    this.#sessions = new Set();
    try {
      this.#client = await this.#loaded(load);
    } catch (cause) {
      this.#throwIfDisposed();
      this.#gaveUpMs = this.#now();
      this.#loss = loss;
      throw new EyasError(loss.code, `${loss.message}; loading the model again failed: ${String((cause as Error).message)}`, { cause });
    }
  }

  /** Nothing more is asked of a client, whose worker takes along what it knew of its sessions. */
  #retire(client: Client): void {
    this.#retired.add(client);
    this.#privacy.lost();
  }

  /** A new worker with the model, or with the cloud alone. */
  async #loaded(load: LoadCall): Promise<Client> {
    const client = this.#start();
    this.#coming = client;
    try {
      const info = await client.call<"load">(() => load);
      this.#throwIfDisposed();
      this.#info = info;
      this.#isAlone = info.device.kind === "none";
      this.#gaveUpMs = this.#isAlone ? this.#now() : undefined;
      return client;
    } catch (error) {
      void client.dispose();
      throw error;
    } finally {
      this.#coming = undefined;
    }
  }

  /** Tries a device again for which the cloud has answered alone for a while. Where it is still not to be had, everything stays as it was. */
  async #comeBack(): Promise<void> {
    if (this.#gaveUpMs !== undefined && this.#now() - this.#gaveUpMs >= RETRY_DEVICE_MS) {
      this.#gaveUpMs = this.#now();
      this.#revival ??= this.#replaceCloud().finally(() => {
        this.#revival = undefined;
      });
    }
    await this.#revival;
  }

  async #replaceCloud(): Promise<void> {
    const alone = this.#client;
    // What runs or waits there comes to its end first.
    await alone.call<"memory">(() => ({ type: "memory" })).catch(() => {});
    this.#throwIfDisposed();
    const client = await this.#loaded(this.#load).catch(() => undefined);
    this.#throwIfDisposed();
    if (client && this.#isAlone) {
      void client.dispose();
    } else if (client) {
      this.#retire(alone);
      this.#sessions = new Set();
      this.#client = client;
      await alone.dispose();
    }
  }

  #throwIfDisposed(): void {
    if (this.#disposed) {
      throw new EyasError("aborted", "the engine was disposed while it was loaded again");
    }
  }

  /** As `Client.dispose`. */
  dispose(): Promise<void> {
    this.#disposed ??= Promise.all([this.#client.dispose(), this.#coming?.dispose()]).then(() => {});
    return this.#disposed;
  }
}

/** What `promise` comes to, or at once the signal's reason; the promise goes on for whoever else waits for it. */
function unlessAborted(promise: Promise<void>, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const abort = () => reject(signal.reason);
    signal.addEventListener("abort", abort);
    promise.then(resolve, reject).finally(() => signal.removeEventListener("abort", abort));
    if (signal.aborted) {
      abort();
    }
  });
}

function lostItsDevice(answer: unknown): boolean {
  const { provenance } = (answer ?? {}) as { provenance?: { localError?: string | null } };
  return provenance?.localError === "device-lost";
}
