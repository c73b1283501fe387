import type { DevicePlan } from "./device_choice.js";
import { type LoadCall, savesData, storeOf } from "./load_call.js";

/**
 * A plain request for a model's file, sent while the module that reads it is still on its way. What comes meanwhile waits where the browser keeps what nobody
 * has read yet (64 MB in Chromium).
 */
export class BegunRequest {
  readonly #controller = new AbortController();
  readonly #end = () => this.#controller.abort();
  readonly #url: string;
  readonly #signal: AbortSignal;
  #answer: Promise<Response> | undefined;

  /** Sends it as `HttpNetwork` in `crates/eyas-web/src/http_network.rs` would: without credentials, without a referrer. */
  constructor(url: string, signal: AbortSignal) {
    this.#url = url;
    this.#signal = signal;
    signal.addEventListener("abort", this.#end);
    this.#answer = fetch(url, { credentials: "omit", referrerPolicy: "no-referrer", signal: this.#controller.signal });
    this.#answer.catch(() => {}); // whoever takes it hears of it
  }

  /** The answer, once, where it is to this address. */
  take(url: string): Promise<Response> | undefined {
    if (url !== this.#url) {
      return undefined;
    }
    const answer = this.#answer;
    this.#answer = undefined;
    return answer;
  }

  /** Gives the request up, if it is not over. */
  discard(): void {
    this.#signal.removeEventListener("abort", this.#end);
    this.#end();
  }
}

/**
 * Sends the request for a model that is one file and not kept, before its module is there. Not where something that comes first decides whether it
 * is fetched at all: what is kept, a budget, a signature, a device that saves data, a GPU that may turn out to compute wrong.
 */
export function beginModel({ kind }: DevicePlan, call: LoadCall, signal: AbortSignal): BegunRequest | undefined {
  const { source, tier } = call;
  const store = storeOf(call);
  const isOne = source.kind === "gguf" && !/-\d{5}-of-\d{5}\.gguf$/i.test(new URL(source.url).pathname);
  const isDecided = kind === "cpu" && store.id === undefined && store.publicKey === undefined && !tier.budget && !savesData(store);
  return isOne && isDecided ? new BegunRequest(source.url, signal) : undefined;
}
