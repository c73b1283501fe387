interface Waiting {
  start: () => void;
}

/** Runs tasks one at a time in the order in which they came. A task that waits can be taken out by its signal. */
export class CallQueue {
  readonly #waiting: Waiting[] = [];
  #busy = false;

  /**
   * Runs `task` when all earlier ones have ended. Where `signal` is aborted before that, rejects with its reason and
   * never runs the task.
   */
  run<T>(task: () => Promise<T>, signal?: AbortSignal): Promise<T> {
    return new Promise((resolve, reject) => {
      const abort = () => {
        this.#waiting.splice(this.#waiting.indexOf(entry), 1);
        signal?.removeEventListener("abort", abort);
        reject(signal?.reason);
      };
      const entry: Waiting = {
        start: () => {
          signal?.removeEventListener("abort", abort);
          task().then(resolve, reject).finally(() => this.#next());
        },
      };
      if (signal?.aborted) {
        reject(signal.reason);
        return;
      }
      signal?.addEventListener("abort", abort);
      this.#waiting.push(entry);
      if (!this.#busy) {
        this.#next();
      }
    });
  }

  #next(): void {
    const entry = this.#waiting.shift();
    this.#busy = entry !== undefined;
    entry?.start();
  }
}
