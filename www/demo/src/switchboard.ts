import workerUrl from "./hybrid_worker?worker&url";

/** What the page's switches take away. */
export interface Away {
  network: boolean;
  gpu: boolean;
}

/** The page's side of the switches: tells the workers that run, and those that start later. */
export class Switchboard {
  readonly #name = `eyas-switches-${crypto.randomUUID()}`;
  readonly #channel = new BroadcastChannel(this.#name);
  #away: Away = { network: false, gpu: false };

  set(away: Away): void {
    this.#away = away;
    this.#channel.postMessage(away);
  }

  /** The worker's address, with the switches as they stand. */
  get workerUrl(): string {
    return `${workerUrl}#${encodeURIComponent(`${this.#name}|${JSON.stringify(this.#away)}`)}`;
  }
}
