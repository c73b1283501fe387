import type { EgressLedger } from "./egress_ledger.js";

/** What became of a request before its device was lost and it began anew: `Earlier` in `crates/eyas-tier`. */
export interface EarlierTries {
  cloudRounds: number;
  cloudAttempts: number;
  tokenRefused: boolean;
  bytesSent: number;
  runs: number;
  shownText: string;
  shownReasoning: string;
}

/** The tries of one request. What left for it is known from the ledger, which outlives every worker. */
export class RequestTries {
  /** Its number in ledger and provenance. */
  readonly number: number;
  readonly #ledger: EgressLedger;
  #failed = 0;
  #cloudRounds = 0;
  #cloudAttempts = 0;

  constructor(number: number, ledger: EgressLedger) {
    this.number = number;
    this.#ledger = ledger;
  }

  /** Tries that failed. */
  get failed(): number {
    return this.#failed;
  }

  /** A try has failed. */
  fail(): void {
    this.#failed += 1;
    const attempts = this.#ledger.of(this.number).length;
    this.#cloudRounds += attempts > this.#cloudAttempts ? 1 : 0;
    this.#cloudAttempts = attempts;
  }

  /** What the next try is to know; nothing before the first. */
  earlier(shownText: string, shownReasoning: string): EarlierTries | undefined {
    if (this.#failed === 0) {
      return undefined;
    }
    const entries = this.#ledger.of(this.number);
    const bytesSent = entries.reduce((total, { bytes }) => total + bytes, 0);
    const tokenRefused = entries.some(({ status }) => status === 401);
    return { cloudRounds: this.#cloudRounds, cloudAttempts: this.#cloudAttempts, tokenRefused, bytesSent, runs: this.#failed, shownText, shownReasoning };
  }
}
