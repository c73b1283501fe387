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
  /** The answer's status; null where there is none. */
  status: number | null;
  /**
   * What the server had written when its answer broke off, was refused or was given up: its own count of tokens, or else (`isCounted` is false) a token for each
   * piece of text and for each four bytes of the request. Null where the answer was used, or nothing came.
   */
  brokenOff: { promptTokens: number; completionTokens: number; isCounted: boolean; cost: number | null } | null;
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

  /** The entries of one request, by the number that its provenance has. */
  of(request: number): EgressEntry[] {
    return this.entries().filter((entry) => entry.request === request);
  }

  /**
   * What writes for one worker, which numbers its entries from 1, and ends with it: what such a worker left in the air may have arrived.
   * @internal
   */
  page(): { write(entry: EgressEntry): void; end(): void } {
    const places = new Map<number, number>();
    return {
      write: (entry) => {
        const place = places.get(entry.id) ?? this.#entries.length;
        places.set(entry.id, place);
        this.#write(place, { ...entry, id: place + 1 });
      },
      end: () => {
        for (const place of places.values()) {
          const entry = this.#entries[place];
          if (entry?.outcome === "sent") {
            this.#write(place, { ...entry, outcome: "unknown" });
          }
        }
      },
    };
  }

  #write(place: number, entry: EgressEntry): void {
    this.#entries[place] = entry;
    for (const listener of this.#listeners) {
      listener({ ...entry });
    }
  }
}
