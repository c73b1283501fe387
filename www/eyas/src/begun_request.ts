import type { DevicePlan } from "./device_choice.js";
import { type LoadCall, savesData, storeOf } from "./load_call.js";

/**
 * Plain requests for a model's file and its manifest, sent while the module that reads them is still on its way. What comes meanwhile waits where the browser
 * keeps what nobody has read yet (64 MB in Chromium).
 */
export class BegunRequests {
  readonly #controller = new AbortController();
  readonly #end = () => this.#controller.abort();
  readonly #signal: AbortSignal;
  readonly #answers = new Map<string, Promise<Response>>();

  /** Sends them as `HttpNetwork` in `crates/eyas-web/src/http_network.rs` would: without credentials, without a referrer. */
  constructor(urls: readonly string[], signal: AbortSignal) {
    this.#signal = signal;
    signal.addEventListener("abort", this.#end);
    for (const url of new Set(urls)) {
      const answer = fetch(url, { credentials: "omit", referrerPolicy: "no-referrer", signal: this.#controller.signal });
      answer.catch(() => {}); // whoever takes it hears of it
      this.#answers.set(url, answer);
    }
  }

  /** The answer to the request for this address, once, where there was one. */
  take(url: string): Promise<Response> | undefined {
    const answer = this.#answers.get(url);
    this.#answers.delete(url);
    return answer;
  }

  /** Gives up those that are not over. */
  discard(): void {
    this.#signal.removeEventListener("abort", this.#end);
    this.#end();
  }
}

/**
 * Sends the requests for a model that is one file and not kept, before its module is there. Not where something that comes first decides whether it
 * is fetched at all: what is kept, a budget, a signature, a device that saves data, a GPU that may turn out to compute wrong.
 */
export function beginModel({ kind }: DevicePlan, call: LoadCall, signal: AbortSignal): BegunRequests | undefined {
  const { source, tier } = call;
  const store = storeOf(call);
  const isOne = source.kind === "gguf" && !/-\d{5}-of-\d{5}\.gguf$/i.test(new URL(source.url).pathname);
  const isDecided = kind === "cpu" && store.id === undefined && store.publicKey === undefined && !tier.budget && !savesData(store);
  // The manifest is read first.
  return isOne && isDecided ? new BegunRequests([...(store.manifest ? [store.manifest.url] : []), source.url], signal) : undefined;
}
