import type { GenerationEvent } from "./completion.js";

type Event = Exclude<GenerationEvent, { type: "done" }>;

/**
 * Lets a listener hear an answer once, however often it is computed: when it begins anew, what was heard already is compared and not heard again.
 */
export class Replay {
  readonly #listener: (event: Event) => void;
  readonly #onDivergence: () => void;
  #heard = "";
  #again: string | undefined;

  /** `onDivergence` is called when a repetition says something else than what was heard. */
  constructor(listener: (event: Event) => void, onDivergence: () => void) {
    this.#listener = listener;
    this.#onDivergence = onDivergence;
  }

  /** The answer is computed from its beginning again. */
  rewind(): void {
    this.#again = "";
  }

  /** Whether everything that was heard has come again. */
  get isCaughtUp(): boolean {
    return this.#again === undefined || this.#again === this.#heard;
  }

  hear(event: Event): void {
    if (event.type === "withdrawn") {
      this.#heard = "";
      this.#again = undefined;
    }
    if (event.type !== "delta") {
      this.#listener(event);
      return;
    }
    if (this.#again === undefined) {
      this.#heard += event.text;
      this.#listener(event);
      return;
    }
    this.#again += event.text;
    if (this.#again.length <= this.#heard.length ? !this.#heard.startsWith(this.#again) : !this.#again.startsWith(this.#heard)) {
      this.#onDivergence();
    } else if (this.#again.length > this.#heard.length) {
      const text = this.#again.slice(this.#heard.length);
      this.#heard = this.#again;
      this.#again = undefined;
      this.#listener({ ...event, text });
    }
  }
}
