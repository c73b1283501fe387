import type { Progress } from "./progress.js";

/** Other tabs are told of a download so often at most. */
const PAUSE_MS = 100;

const channelOf = (folder: string) => ("BroadcastChannel" in globalThis ? new BroadcastChannel(`eyas-progress/${folder}`) : undefined);

/** Tells the progress of a load to the tabs that wait for its model, and hears theirs. */
export class SharedProgress {
  readonly #held = new Map<string, BroadcastChannel>();
  readonly #now: () => number;
  #last: { ms: number; phase: string } | undefined;

  /** `now` tells milliseconds from any start. */
  constructor(now = () => performance.now()) {
    this.#now = now;
  }

  /** From now on this load has the model in `folder`, until what is returned is called. */
  hold(folder: string): () => void {
    const channel = channelOf(folder);
    if (!channel) {
      return () => {};
    }
    this.#held.set(folder, channel);
    return () => {
      channel.close();
      if (this.#held.get(folder) === channel) {
        this.#held.delete(folder);
      }
    };
  }

  /** Tells whoever waits for a model that this load has. */
  tell(progress: Progress): void {
    const ms = this.#now();
    if (this.#last && this.#last.phase === progress.phase && ms - this.#last.ms < PAUSE_MS) {
      return;
    }
    this.#last = { ms, phase: progress.phase };
    this.#held.forEach((channel) => channel.postMessage(progress));
  }

  /** Hears of the load that has the model in `folder`, until what is returned is called. */
  static listen(folder: string, onProgress: (progress: Progress) => void): () => void {
    const channel = channelOf(folder);
    if (!channel) {
      return () => {};
    }
    channel.onmessage = ({ data }: MessageEvent<Progress>) => onProgress(data);
    return () => channel.close();
  }
}
