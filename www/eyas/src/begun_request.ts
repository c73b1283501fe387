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
