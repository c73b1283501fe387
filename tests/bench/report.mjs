// The rows of a benchmark: each has runs with the conditions of each, and is shown by median and range.
import { summary } from "./statistics.mjs";

const shown = (value, digits) => (Number.isFinite(value) ? value.toLocaleString("en-US", { minimumFractionDigits: digits, maximumFractionDigits: digits }) : "–");

export class Report {
  #rows = new Map();
  #notes = [];

  /** Adds a run to a row. `digits` is how many are shown behind the point. */
  add({ group, name, unit = "", digits = 1 }, value, conditions = {}) {
    const key = `${group}\n${name}`;
    const row = this.#rows.get(key) ?? { group, name, unit, digits, runs: [] };
    row.runs.push({ value, ...conditions });
    this.#rows.set(key, row);
  }

  /** Says what was left out, and why. */
  note(text) {
    if (!this.#notes.includes(text)) {
      this.#notes.push(text);
      console.error(`note: ${text}`);
    }
  }

  /** The median of a row, or undefined where it has no runs. */
  median(group, name) {
    const runs = this.#rows.get(`${group}\n${name}`)?.runs.map((run) => run.value);
    return runs && summary(runs).median;
  }

  /** The rows as data: what was measured, median and range, and all runs. */
  rows() {
    return [...this.#rows.values()].map((row) => ({ ...row, ...summary(row.runs.map((run) => run.value)) }));
  }

  notes() {
    return [...this.#notes];
  }

  /** The table for the screen; `markdown` gives it with pipes throughout. */
  table({ markdown = false } = {}) {
    const mean = (row, key) => row.runs.reduce((sum, run) => sum + (run[key] ?? Number.NaN), 0) / row.runs.length;
    const lines = this.rows().map((row) => [row.group, row.name, shown(row.median, row.digits), row.n > 1 ? `${shown(row.min, row.digits)} to ${shown(row.max, row.digits)}` : "", row.unit, String(row.n), shown(mean(row, "loadAverage"), 1), shown(mean(row, "foreignCores"), 2)]);
    const head = ["", "what", "median", "range", "unit", "n", "load", "others' cores"];
    if (markdown) {
      const line = (cells) => `| ${cells.join(" | ")} |`;
      return [line(head), line(["---", "---", "---:", "---:", "---", "---:", "---:", "---:"]), ...lines.map(line)].join("\n");
    }
    const widths = head.map((title, column) => Math.max(title.length, ...lines.map((cells) => cells[column].length)));
    const right = [2, 3, 5, 6, 7];
    const line = (cells) => cells.map((cell, column) => (right.includes(column) ? cell.padStart(widths[column]) : cell.padEnd(widths[column]))).join("  ").trimEnd();
    return [line(head), widths.map((width) => "-".repeat(width)).join("  "), ...lines.map(line)].join("\n");
  }
}
