import type { EgressEntry } from "./egress_ledger.js";
import { startTimer } from "./timer.js";

/** What the worker asks of the page. */
export type Ask = { kind: "token"; refresh: boolean } | { kind: "store-get"; key: string } | { kind: "store-set"; key: string; text: string | undefined } | { kind: "store-leave"; key: string; text: string };

/** What the tiers in the WebAssembly module call; its other side is `crates/eyas-web/src/host.rs`. */
export interface TierHost {
  sleep(ms: number): { done: Promise<void>; cancel(): void };
  post(url: string, token: string | undefined, body: Uint8Array): CloudPost;
  token(refresh: boolean): Promise<string | undefined>;
  egress(entry: EgressEntry): void;
  storeGet(key: string): Promise<string | undefined>;
  storeSet(key: string, text: string | undefined): Promise<unknown>;
  storeLeave(key: string, text: string): Promise<unknown>;
}

/** A request under way: what it comes to, and its end for whoever gives it up, before the head came as well as after. */
export interface CloudPost {
  answer: Promise<CloudAnswer>;
  close(): void;
}

/** What a server answered: the head at once, the body in chunks. */
export class CloudAnswer {
  readonly status: number;
  readonly #response: Response;
  readonly #reader: ReadableStreamDefaultReader<Uint8Array> | undefined;

  constructor(response: Response) {
    this.status = response.status;
    this.#response = response;
    this.#reader = response.body?.getReader();
  }

  header(name: string): string | undefined {
    return this.#response.headers.get(name) ?? undefined;
  }

  async chunk(): Promise<Uint8Array | undefined> {
    return (await this.#reader?.read())?.value;
  }
}

const HINT = "the network is down, the server does not exist or redirects, or it does not allow this origin (CORS)";

/** The worker's side. `signal` is the one of the call that runs: calls run one at a time. */
export function tierHost(signal: () => AbortSignal | undefined, ask: (what: Ask) => Promise<string | undefined>, egress: (entry: EgressEntry) => void): TierHost {
  return {
    sleep: (ms) => startTimer(ms, signal()),
    post(url, token, body) {
      const headers: Record<string, string> = { "content-type": "application/json", accept: "text/event-stream" };
      if (token !== undefined) {
        headers["authorization"] = `Bearer ${token}`;
      }
      const controller = new AbortController();
      const current = signal();
      const close = () => {
        current?.removeEventListener("abort", close);
        controller.abort();
      };
      current?.addEventListener("abort", close);
      if (current?.aborted) {
        close();
      }
      const init: RequestInit = { method: "POST", headers, body: body as BodyInit, credentials: "omit", referrerPolicy: "no-referrer", redirect: "error", cache: "no-store", signal: controller.signal };
      const answer = fetch(url, init).then(
        (response) => new CloudAnswer(response),
        (error: unknown) => {
          throw new Error(`${String((error as Error).message)}; ${HINT}`, { cause: error });
        },
      );
      answer.catch(() => {}); // of one that was given up nobody wants to know
      return { answer, close };
    },
    token: (refresh) => ask({ kind: "token", refresh }),
    egress,
    storeGet: (key) => ask({ kind: "store-get", key }),
    storeSet: (key, text) => ask({ kind: "store-set", key, text }),
    storeLeave: (key, text) => ask({ kind: "store-leave", key, text }),
  };
}
