import { EyasError, type ErrorCode, errorToData } from "./error.js";

/** What an answer fails with where the model, and nobody else, is at fault. */
const BLAMED: readonly ErrorCode[] = ["bad-device", "bad-model", "integrity", "internal", "unsupported-model"];

/** After an update: the first answer of the new version proves it, and the version before goes; where it fails, the version before comes back. */
export class VersionProof {
  readonly #decide: (proven: boolean) => Promise<boolean>;
  #isOpen = true;
  #decided: Promise<unknown> = Promise.resolve();

  /** `decide` gives up the version before, or puts it back; false where there was nothing to be decided any more. */
  constructor(decide: (proven: boolean) => Promise<boolean>) {
    this.#decide = decide;
  }

  /** The model has answered. The answer does not wait for what comes of it: undecided, the version before is kept until the next answer. */
  answered(): void {
    if (this.#isOpen) {
      this.#isOpen = false;
      this.#decided = this.#decide(true).catch(() => {});
    }
  }

  /** Ends when what an answer proved is written down. */
  async settled(): Promise<void> {
    await this.#decided;
  }

  /** An answer failed. Returns the error to be reported. */
  async failed(error: unknown): Promise<unknown> {
    const { code, message } = errorToData(error);
    if (!this.#isOpen || error instanceof WebAssembly.RuntimeError || !BLAMED.includes(code)) {
      return error;
    }
    this.#isOpen = false;
    const wentBack = await this.#decide(false).catch(() => false);
    return wentBack ? new EyasError(code, `${message}; the model's version before the last update was put back: load the model again`, { cause: error }) : error;
  }
}
