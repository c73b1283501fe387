import type { Assets } from "./assets.js";
import { Client, type WorkerLike } from "./client.js";
import type { Completion } from "./completion.js";
import { type ClassifyOptions, classifyText, type EmbedOptions, type Embedding, embedTexts, type LabelScore, type TextPair } from "./embedding.js";
import { EgressLedger } from "./egress_ledger.js";
import type { EngineInfo, MemoryReport } from "./engine_info.js";
import type { GenerateOptions } from "./generate_options.js";
import { inputRequest, refusalOf, streamGeneration } from "./generation.js";
import { LastingClient } from "./lasting_client.js";
import { engineOptions, type LoadOptions } from "./load_options.js";
import type { ChatInput, Message } from "./message.js";
import { wireSource } from "./model_source.js";
import { firstMessages, Session, type SessionOptions } from "./session.js";
import { wireStoreOptions } from "./store_options.js";
import type { TextStream } from "./text_stream.js";
import { wireTierOptions } from "./tier_options.js";
import type { UsageReport } from "./usage_totals.js";

/** The session that `chat` and `stream` use. */
const OWN_SESSION = 0;

/**
 * A loaded model in its own worker. Calls on one engine run one after another, in the order in which they were made; a
 * call that still waits can be aborted and then never runs. Two engines are independent of each other.
 */
export class Eyas {
  /** What was handed to the network for this engine's requests. */
  readonly ledger: EgressLedger;
  readonly #client: LastingClient;
  #lastSession = OWN_SESSION;

  /** Made by `load`; an application does not construct it. */
  constructor(client: LastingClient, ledger: EgressLedger) {
    this.#client = client;
    this.ledger = ledger;
  }

  /** What was loaded, where it runs and why there; another device after one was lost too often. */
  get info(): EngineInfo {
    return this.#client.info;
  }

  /** Answers, tokens, bytes, cost and what staying here saved, since the engine was loaded; a copy, as it is now. */
  get usage(): UsageReport {
    return this.#client.usage;
  }

  /**
   * Answers `input` and returns the completion. Rejects with an EyasError, or with the signal's own reason.
   *
   * ```ts
   * const { text } = await eyas.chat([{ role: "user", content: "Hello" }], { maxTokens: 64 });
   * ```
   */
  chat(input: ChatInput, options: GenerateOptions = {}): Promise<Completion> {
    return this.stream(input, options).result();
  }

  /** Answers `input` and returns the answer as it comes; also `.text()` and `.result()` for the whole. */
  stream(input: ChatInput, options: GenerateOptions = {}): TextStream {
    let request: { messages: readonly Message[] } | { prompt: string };
    const refuse = refusalOf(() => {
      request = inputRequest(input, this.info.hasChatTemplate);
    });
    return streamGeneration({ client: this.#client, session: OWN_SESSION, request: () => request, options, refuse });
  }

  /** Opens a conversation that keeps its messages and its cache. Throws `bad-input` for wrong options. */
  session(options: SessionOptions = {}): Session {
    return new Session(this.#client, () => ++this.#lastSession, firstMessages(options), options.privacy);
  }

  /**
   * The unit vectors of texts, in their order; the model must be an encoder. Texts are computed one by one. A text that is
   * too long is cut at its end, which `truncatedTokens` tells. Nothing of this ever leaves the device.
   *
   * ```ts
   * const [a, b] = await eyas.embed(["a lost card", "my card is gone"]);
   * const cosine = a.vector.reduce((sum, value, i) => sum + value * b.vector[i], 0);
   * ```
   */
  embed(texts: string | readonly string[], options: EmbedOptions = {}): Promise<Embedding[]> {
    return embedTexts(this.#client, texts, options);
  }

  /**
   * The labels of the model's classification head with their scores, the best first; the model must be such an encoder. A pair of texts is one
   * sequence to it, as cross-encoders and models of inference take it: `classify([question, passage])`. What is too long is cut at the ends, of the
   * longer text first.
   */
  classify(text: string | TextPair, options: ClassifyOptions = {}): Promise<LabelScore[]> {
    return classifyText(this.#client, text, options);
  }

  /** Memory in use now, on the device and in WebAssembly. */
  memory(): Promise<MemoryReport> {
    return this.#client.call<"memory">(() => ({ type: "memory" }));
  }

  /**
   * Ends the worker and with it all memory on the GPU and in WebAssembly. Calls under way reject with `aborted`, later
   * ones with `bad-input`. Disposing again changes nothing. The promise is for those who want to know when it is done.
   */
  dispose(): Promise<void> {
    return this.#client.dispose();
  }
}

/** Loads a model into a new worker that `startWorker` makes; the entries of the package differ only in `assets`. */
export async function loadInto(startWorker: () => WorkerLike, assets: Omit<Assets, "worker">, options: LoadOptions, alsoKnown?: readonly string[]): Promise<Eyas> {
  const { device, engine } = engineOptions(options, alsoKnown);
  const base = globalThis.document?.baseURI ?? globalThis.location?.href;
  const source = wireSource(options.model, base);
  const gpuWasm = new URL(assets.gpuWasm, base).href;
  const cpuWasm = new URL(assets.cpuWasm, base).href;
  const { wire: tier, getToken } = wireTierOptions(options);
  const store = wireStoreOptions(options, source, base);
  const { signal, onProgress } = options;
  signal?.throwIfAborted();
  if (store.id !== undefined && !store.evictable) {
    // What an application wants to stay is not to be thrown away by the browser; whether it agrees changes nothing here.
    void globalThis.navigator?.storage?.persist?.().catch(() => {});
  }
  const ledger = new EgressLedger();
  const start = () => {
    const page = ledger.page();
    return new Client(startWorker(), { getToken, onEgress: page.write, onEnd: page.end });
  };
  const client = new LastingClient(start, { type: "load", source, device, options: engine, tier, store, gpuWasm, cpuWasm }, options.recover ?? true, ledger);
  try {
    await client.load({ signal, onProgress });
    return new Eyas(client, ledger);
  } catch (error) {
    void client.dispose();
    throw error;
  }
}
