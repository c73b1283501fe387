import type { EgressEntry } from "eyas/slim";

import { byteText } from "./byte_text";
import { element, make } from "./element";

const OUTCOMES: Record<EgressEntry["outcome"], string> = { sent: "under way", answered: "arrived", unknown: "may have arrived" };

/** What left, of all engines that this page had, as a table that grows. */
export class LedgerTable {
  readonly #entries = new Map<string, EgressEntry>();
  readonly #rows = new Map<string, HTMLTableRowElement>();
  readonly #button = element<HTMLButtonElement>("export-ledger");

  constructor() {
    this.#button.addEventListener("click", () => this.#save());
    this.#sum();
  }

  write(entry: EgressEntry, engine: number): void {
    const key = `${engine}.${entry.id}`;
    this.#entries.set(key, entry);
    let row = this.#rows.get(key);
    if (!row) {
      row = make("tr");
      this.#rows.set(key, row);
      element("ledger-rows").prepend(row);
    }
    const { unixMs, origin, bytes, reason, detail, outcome } = entry;
    const why = make("td");
    why.append(make("code", "", reason), make("span", "", ` ${detail}`));
    row.replaceChildren(make("td", "", new Date(unixMs).toLocaleTimeString()), make("td", "", origin), make("td", "number", String(bytes)), why, make("td", "", OUTCOMES[outcome]));
    this.#sum();
  }

  #sum(): void {
    const entries = [...this.#entries.values()];
    const bytes = entries.reduce((total, entry) => total + entry.bytes, 0);
    element("ledger-total").textContent = entries.length === 0 ? "Nothing." : `${byteText(bytes)} in ${entries.length} ${entries.length === 1 ? "request" : "requests"}.`;
    element("ledger-scroll").hidden = entries.length === 0;
    this.#button.disabled = entries.length === 0;
  }

  #save(): void {
    const lines = [...this.#entries.values()].map((entry) => `${JSON.stringify(entry)}\n`);
    const link = make("a");
    link.href = URL.createObjectURL(new Blob(lines, { type: "application/jsonl" }));
    link.download = "eyas-ledger.jsonl";
    link.click();
    URL.revokeObjectURL(link.href);
  }
}
