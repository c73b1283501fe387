import type { Completion } from "./completion.js";
import type { EgressLedger } from "./egress_ledger.js";

/** Answers of one tier, and their tokens. */
export interface TierUsage {
  /** Answers that arrived. */
  requests: number;
  /** Tokens of their prompts. */
  promptTokens: number;
  /** Tokens of the answers. */
  completionTokens: number;
}

/** What an engine has answered and what left for it, since it was loaded; another device or worker in between changes nothing. */
export interface UsageReport {
  /** What this device answered. */
  local: TierUsage;
  /**
   * What the cloud answered; `uncounted` of these came without a count of tokens. `brokenOff` further answers broke off or were given up after the server had
   * written something: what came of them is in the tokens, where the server did not count it by an estimate (see `brokenOff` of the ledger).
   */
  cloud: TierUsage & { uncounted: number; brokenOff: number };
  /** Bytes of bodies that were handed to the network, also for requests that failed. */
  bytesSent: number;
  /** What the cloud's tokens cost, with those of answers that broke off; null without `cloud.prices`. */
  cost: number | null;
  /** What the cloud would have charged for the tokens that this device answered with; null without `cloud.prices`. */
  saved: number | null;
}

/** Sums up the answers of one engine. */
export class UsageTotals {
  readonly #hasPrices: boolean;
  readonly #local: TierUsage = { requests: 0, promptTokens: 0, completionTokens: 0 };
  readonly #cloud = { requests: 0, promptTokens: 0, completionTokens: 0, uncounted: 0 };
  #cost = 0;
  #saved = 0;

  constructor(hasPrices: boolean) {
    this.#hasPrices = hasPrices;
  }

  /** Takes an answer that arrived. */
  add({ provenance, usage }: Completion): void {
    const tier = provenance.tier === "cloud" ? this.#cloud : this.#local;
    tier.requests += 1;
    tier.promptTokens += usage.promptTokens;
    tier.completionTokens += usage.completionTokens;
    if (provenance.tier === "cloud" && usage.promptTokens + usage.completionTokens === 0) {
      this.#cloud.uncounted += 1;
    }
    this.#cost += provenance.cost ?? 0;
    this.#saved += provenance.saved ?? 0;
  }

  /** The sums so far, with what the ledger has counted. */
  report(ledger: EgressLedger): UsageReport {
    const cloud = { ...this.#cloud, brokenOff: 0 };
    let cost = this.#cost;
    for (const { brokenOff } of ledger.entries()) {
      if (brokenOff) {
        cloud.brokenOff += 1;
        cloud.promptTokens += brokenOff.promptTokens;
        cloud.completionTokens += brokenOff.completionTokens;
        cost += brokenOff.cost ?? 0;
      }
    }
    const sums = this.#hasPrices ? { cost, saved: this.#saved } : { cost: null, saved: null };
    return { local: { ...this.#local }, cloud, bytesSent: ledger.totalBytes, ...sums };
  }
}
