import type { Completion, StreamPart } from "./completion.js";
import { EyasError } from "./error.js";

/** Starts a generation that hands what it says to `onPart`, takes all of it back by `onWithdraw`, and ends when `signal` is aborted. */
export type StartGeneration = (onPart: (part: StreamPart) => void, onWithdraw: () => void, signal: AbortSignal) => Promise<Completion>;

/**
 * An answer as it comes. It begins at once, in its turn, whether or not anybody reads it; what was not read yet is kept,
 * and every loop over it sees the text from its beginning. Leaving a loop early (`break`, `return`, `throw`) aborts the
 * generation; `text()` and `result()` then reject with `aborted`.
 *
 * A loop over the stream itself sees the answer only; one over `parts()` what the model thinks before it, too.
 *
 * ```ts
 * for await (const delta of eyas.stream("Hello")) output.append(delta);
 * ```
 */
export class TextStream implements AsyncIterable<string> {
  readonly #parts: StreamPart[] = [];
  readonly #abort = new AbortController();
  readonly #completion: Promise<Completion>;
  /** Counts the times that everything was withdrawn; a loop then begins again. */
  #edition = 0;
  #ended = false;
  #wake: (() => void)[] = [];

  /** Made by `stream` and `send`; an application does not construct it. */
  constructor(start: StartGeneration, signal: AbortSignal | undefined) {
    const abort = () => this.#abort.abort(signal?.reason);
    signal?.addEventListener("abort", abort);
    this.#completion = start((part) => this.#push(part), () => this.#withdraw(), this.#abort.signal).finally(() => {
      signal?.removeEventListener("abort", abort);
      this.#ended = true;
      this.#wakeAll();
    });
    if (signal?.aborted) {
      abort();
    }
    this.#completion.catch(() => {}); // who reads the stream sees the error; nobody reading it is no unhandled rejection
  }

  #push(part: StreamPart): void {
    if (part.text !== "") {
      this.#parts.push(part);
      this.#wakeAll();
    }
  }

  #withdraw(): void {
    this.#parts.length = 0;
    this.#edition += 1;
  }

  #wakeAll(): void {
    for (const wake of this.#wake.splice(0)) {
      wake();
    }
  }

  /** The whole text, when it is complete. */
  async text(): Promise<string> {
    return (await this.#completion).text;
  }

  /** The completion: text, finish reason, usage, timing and where it was computed. */
  result(): Promise<Completion> {
    return this.#completion;
  }

  /** The text of the answer in parts, as they become certain. Rejects as the generation does, after the last part. */
  async *[Symbol.asyncIterator](): AsyncGenerator<string, void, undefined> {
    for await (const part of this.parts()) {
      if (part.type === "text") {
        yield part.text;
      }
    }
  }

  /** Reasoning and text in parts, in their order. Otherwise as the loop over the stream itself. */
  async *parts(): AsyncGenerator<StreamPart, void, undefined> {
    let next = 0;
    let edition = this.#edition;
    let left = true;
    try {
      for (;;) {
        if (edition !== this.#edition) {
          edition = this.#edition;
          next = 0;
        }
        while (edition === this.#edition && next < this.#parts.length) {
          yield this.#parts[next++] as StreamPart;
        }
        if (edition !== this.#edition) {
          continue;
        }
        if (this.#ended) {
          left = false;
          await this.#completion;
          return;
        }
        await new Promise<void>((resolve) => this.#wake.push(resolve));
      }
    } finally {
      if (left && !this.#ended) {
        this.#abort.abort(new EyasError("aborted", "the loop over the stream was left before its end"));
      }
    }
  }
}
