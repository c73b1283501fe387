import type { Privacy } from "./tier_options.js";

/**
 * Which sessions had local-only requests. A worker knows better what of a session must not leave, but a worker can be lost; in the next one such
 * a session is local-only altogether.
 */
export class KeptPrivacy {
  readonly #engine: Privacy | undefined;
  /** Whether what was said in one session is to be known in all of them. */
  readonly #isOfEngine: boolean;
  #isClosed = false;
  /** Sessions of the worker at hand that had a local-only request. */
  readonly #kept = new Set<number>();
  /** Those of earlier workers. */
  readonly #closed = new Set<number>();

  constructor(engine: Privacy | undefined, taintScope: "session" | "engine" = "session") {
    this.#engine = engine;
    this.#isOfEngine = taintScope === "engine";
  }

  /** The privacy of a request, with what its session's past demands. */
  of(session: number, privacy: Privacy[]): Privacy[] {
    const demanded: Privacy[] = this.#isClosed || this.#closed.has(session) ? [...privacy, "local-only"] : privacy;
    if (this.#engine === "local-only" || demanded.includes("local-only")) {
      this.#kept.add(session);
    }
    return demanded;
  }

  /** A fork holds what its origin holds. */
  fork(from: number, to: number): void {
    for (const sessions of [this.#kept, this.#closed]) {
      if (sessions.has(from)) {
        sessions.add(to);
      }
    }
  }

  /** The worker is lost, with what it knew. */
  lost(): void {
    this.#kept.forEach((session) => this.#closed.add(session));
    this.#isClosed ||= this.#isOfEngine && this.#kept.size > 0;
  }
}
