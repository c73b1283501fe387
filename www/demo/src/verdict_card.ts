import type { Completion, TierChange } from "eyas/slim";

import { element, make } from "./element";

const REASONS: Record<Completion["provenance"]["reason"], string> = { cannot: "can't", "should-not": "should not", "may-not": "may not" };

/** Who answered, why, and the answer. */
export class VerdictCard {
  readonly #card = element("verdict");
  readonly #text = element("verdict-text");
  readonly #withdrawn = element("verdict-withdrawn");

  clear(): void {
    this.#card.hidden = true;
  }

  /** An answer begins. */
  begin(): void {
    for (const id of ["verdict-reason", "verdict-title", "verdict-detail", "verdict-text", "verdict-withdrawn"]) {
      element(id).textContent = "";
    }
    element("verdict-title").textContent = "…";
    element("verdict-facts").replaceChildren();
    this.#withdrawn.hidden = true;
    this.#card.hidden = false;
  }

  append(delta: string): void {
    this.#text.append(delta);
  }

  /** The cloud takes over after text was shown. */
  change({ type }: TierChange): void {
    if (type === "appended") {
      this.#text.append(" ‖ ");
      return;
    }
    this.#withdrawn.hidden = false;
    this.#withdrawn.textContent = this.#text.textContent;
    this.#text.textContent = "";
  }

  end({ provenance, text, usage }: Completion): void {
    const { tier, reason, detail, confidence, threshold, calibration, device, deviceReason, attempts, bytesSent, ms } = provenance;
    const [here, other] = tier === "local" ? ["This device answered", "The server"] : [`${new URL(device).host} answered`, "This device"];
    element("verdict-title").textContent = here;
    element("verdict-reason").textContent = reason;
    element("verdict-detail").textContent = `${other} ${REASONS[reason]}: ${detail}.`;
    if (!this.#text.textContent?.includes(" ‖ ")) {
      this.#text.textContent = text;
    }
    const facts: [string, string][] = [
      ["Computed by", tier === "local" ? `${device} (${deviceReason})` : `${provenance.model} at ${device}`],
      ["Confidence", confidence === null ? calibration : `${confidence.toFixed(4)}, at least ${threshold?.toFixed(4)} stays`],
      ["Attempts", String(attempts)],
      ["Bytes sent", String(bytesSent)],
      ["Time", `${ms.toFixed(0)} ms`],
      ["Tokens", `${usage.promptTokens} in, ${usage.completionTokens} out`],
    ];
    element("verdict-facts").replaceChildren(
      ...facts.map(([name, value]) => {
        const pair = make("div");
        pair.append(make("dt", "", name), make("dd", "", value));
        return pair;
      }),
    );
  }
}
