/** One request that was handed to the network. */
export interface EgressEntry {
  /** Numbers the entries of an engine, from 1. */
  id: number;
  /** When, in milliseconds of the Unix epoch. */
  unixMs: number;
  /** Scheme, host and port. */
  origin: string;
  /** The request that it served; `provenance.request` has the same number. */
  request: number;
  /** Which attempt of that request it was, from 1. */
  attempt: number;
  /** Bytes of the body. Headers hold the token and what the browser adds. */
  bytes: number;
  /** Why the device did not answer. */
  reason: "cannot" | "should-not" | "may-not";
  /** The same in words. */
  detail: string;
  /** `answered`: the server answered, so the bytes arrived; `unknown`: the network failed or the request was given up before, so they may have. */
  outcome: "sent" | "answered" | "unknown";
}

/** Every request of an engine that was handed to the network, written down before its bytes were. */
export class EgressLedger {
  readonly #entries: EgressEntry[] = [];
  readonly #listeners = new Set<(entry: EgressEntry) => void>();

  /** All entries, in order; copies, as they are now. */
  entries(): EgressEntry[] {
    return this.#entries.map((entry) => ({ ...entry }));
  }

  /** Bytes of all entries. */
  get totalBytes(): number {
    return this.#entries.reduce((total, entry) => total + entry.bytes, 0);
  }

  /** Calls `listener` for every new entry and every change of an outcome; returns what ends that. */
  subscribe(listener: (entry: EgressEntry) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** All entries as JSON, one a line. */
  export(): string {
    return this.#entries.map((entry) => `${JSON.stringify(entry)}\n`).join("");
  }

  /**
   * What writes for another worker, which numbers its entries and requests from 1.
   * @internal
   */
  page(requestsBefore: number): (entry: EgressEntry) => void {
    const entriesBefore = this.#entries.length;
    return (entry) => this.#write({ ...entry, id: entry.id + entriesBefore, request: entry.request + requestsBefore });
  }

  #write(entry: EgressEntry): void {
    this.#entries[entry.id - 1] = entry;
    for (const listener of this.#listeners) {
      listener({ ...entry });
    }
  }
}
