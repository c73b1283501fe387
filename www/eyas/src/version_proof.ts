import { EyasError, type ErrorCode, errorToData } from "./error.js";

/** What an answer fails with where the model, and nobody else, is at fault. */
const BLAMED: readonly ErrorCode[] = ["bad-device", "bad-model", "integrity", "internal", "unsupported-model"];

/** What becomes of a version while the one before it is kept; `Store` in `crates/eyas-store` does it. */
export type Judgement = "begin" | "end" | "settle" | "roll-back";

/**
 * After an update: the first answer of the new version proves it, and the version before goes; where it fails, the version before comes back. That an
 * answer was begun is written down before it, so that it shows where the worker breaks in it.
 */
export class VersionProof {
  readonly #judge: (judgement: Judgement) => Promise<boolean>;
  #isOpen = true;
  #last: Promise<boolean> = Promise.resolve(false);

  /** `judge` says false where there was nothing to be decided any more. */
  constructor(judge: (judgement: Judgement) => Promise<boolean>) {
    this.#judge = judge;
  }

  /** One judgement after another; one that fails changes nothing, and the next answer decides. */
  #later(judgement: Judgement): Promise<boolean> {
    this.#last = this.#last.then(() => this.#judge(judgement)).catch(() => false);
    return this.#last;
  }

  /** Before an answer of the model. */
  async begins(): Promise<void> {
    if (this.#isOpen) {
      await this.#later("begin");
    }
  }

  /** The model has answered. The answer does not wait for what comes of it: undecided, the version before is kept until the next answer. */
  answered(): void {
    if (this.#isOpen) {
      this.#isOpen = false;
      void this.#later("settle");
    }
  }

  /** The answer ended in a way that says nothing of the model. */
  undecided(): void {
    if (this.#isOpen) {
      void this.#later("end");
    }
  }

  /** Ends when what an answer proved is written down. */
  async settled(): Promise<void> {
    await this.#last;
  }

  /** An answer failed. Returns the error to be reported. */
  async failed(error: unknown): Promise<unknown> {
    const { code, message } = errorToData(error);
    if (!this.#isOpen || error instanceof WebAssembly.RuntimeError) {
      return error; // where the module broke, what was begun stays written down
    }
    if (!BLAMED.includes(code)) {
      this.undecided();
      return error;
    }
    this.#isOpen = false;
    return (await this.#later("roll-back")) ? new EyasError(code, `${message}; the model's version before the last update was put back: load the model again`, { cause: error }) : error;
  }
}
