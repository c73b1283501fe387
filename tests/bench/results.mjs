// Writes what was measured: all runs as JSON, the table as Markdown, plots as SVG.
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";

import { bandwidthBars, seriesOf } from "./derived.mjs";
import { bars, lines } from "./plot.mjs";

/** Writes into `folder`; returns the paths. `also` is a further path for the JSON. */
export function writeResults(folder, { report, meta, bytes, also }) {
  mkdirSync(folder, { recursive: true });
  const written = [];
  const write = (path, content) => {
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, content);
    written.push(path);
  };
  const json = `${JSON.stringify({ meta, bytes, notes: report.notes(), rows: report.rows() }, undefined, 1)}\n`;
  write(join(folder, "bench.json"), json);
  if (also !== undefined) {
    write(also, json);
  }
  write(join(folder, "table.md"), `${report.table({ markdown: true })}\n`);
  const labels = Object.keys(bytes);
  const decode = seriesOf(report, /^decode at (\d+)/, labels);
  const prefill = seriesOf(report, /^prefill, (\d+) tokens/, labels);
  const rates = bandwidthBars(report, bytes);
  if (decode.length > 0) {
    write(join(folder, "decode.svg"), lines({ title: "Decode", xLabel: "tokens of context", yLabel: "tokens a second", series: decode }));
  }
  if (prefill.length > 0) {
    write(join(folder, "prefill.svg"), lines({ title: "Prefill", xLabel: "tokens of the prompt", yLabel: "tokens a second", series: prefill }));
  }
  if (rates.length > 0) {
    write(join(folder, "bandwidth.svg"), bars({ title: "Bytes read while decoding, and the memory's own speed", xLabel: "GB/s", bars: rates }));
  }
  return written;
}
