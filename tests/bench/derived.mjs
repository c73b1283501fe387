// What follows from the rows: how decode slows with the context beside what attention's bytes need, and shares of bandwidth.
import { COUNTS } from "./measures/token_work.mjs";
import { ratio } from "./ratios.mjs";
import { LABELS } from "./suite.mjs";

const READ = "sum over WASM memory, SIMD";
const COPY = "copy by WGSL, read + write";

const decodeRows = (report, label) =>
  report.rows().flatMap((row) => {
    const context = row.group === label && /^decode at (\d+)$/.exec(row.name)?.[1];
    return context ? [{ ...row, context: Number(context) }] : [];
  });

/** Bytes that a token at a context reads: all weights, and the keys and values of every position. */
export const bytesPerToken = ({ weightBytes, cacheBytesPerToken }, context) => weightBytes + cacheBytesPerToken * context;

/** Adds the derived rows to the report. `bytes`: by label, bytes of weights and of cache per token. */
export function addDerived(report, bytes) {
  for (const [label, own] of Object.entries(bytes)) {
    const decode = decodeRows(report, label);
    if (!own || decode.length === 0) {
      continue;
    }
    const [first, last] = [decode[0], decode.at(-1)];
    if (last.context > first.context) {
      const name = `a token at ${last.context} over one at ${first.context}`;
      report.add({ group: label, name: `${name}: time`, unit: "×", digits: 2 }, first.median / last.median);
      report.add({ group: label, name: `${name}: bytes`, unit: "×", digits: 2 }, bytesPerToken(own, last.context) / bytesPerToken(own, first.context));
    }
    const rate = first.median * bytesPerToken(own, first.context);
    const limit = report.median("bandwidth", label.startsWith("GPU") ? COPY : READ);
    report.add({ group: label, name: `bytes read while decoding at ${first.context}`, unit: "GB/s", digits: 2 }, rate / 1e9);
    if (limit !== undefined) {
      report.add({ group: label, name: `of the plain ${label.startsWith("GPU") ? "copy's" : "sum's"} rate`, unit: "%", digits: 0 }, (rate / 1e9 / limit) * 100);
    }
  }
}

/** The points of a plot: by label, medians and ranges of the rows whose name has a number where `pattern` has its group. */
export function seriesOf(report, pattern, labels) {
  return labels
    .map((label) => ({
      name: label,
      points: report.rows().flatMap((row) => {
        const x = row.group === label && pattern.exec(row.name)?.[1];
        return x ? [{ x: Number(x), y: row.median, low: row.min, high: row.max }] : [];
      }),
    }))
    .filter(({ points }) => points.length > 0);
}

/** Bars: the rates of plain reading and copying, and the bytes a second of every decode at its smallest context. */
export function bandwidthBars(report, bytes) {
  const plain = report.rows().filter(({ group }) => group === "bandwidth").map((row) => ({ name: row.name, value: row.median, low: row.min, high: row.max, series: 0 }));
  const decode = Object.entries(bytes).flatMap(([label, own]) => {
    const [row] = decodeRows(report, label);
    const scale = own && row ? bytesPerToken(own, row.context) / 1e9 : 0;
    return scale > 0 ? [{ name: label, value: row.median * scale, low: row.min * scale, high: row.max * scale, series: 1 }] : [];
  });
  return [...plain, ...decode];
}

/** What the baseline holds: ratios of times, and counts of GPU work. */
export function measuredRatios(report, bytes) {
  // By CPU time where it is known: other processes then move the ratios less.
  const rate = (label, name) => report.median(label, `${name}, a second of CPU time`) ?? report.median(label, name);
  const decode = (label, context) => rate(label, `decode at ${context}`);
  const own = bytes[LABELS.q4];
  const q4 = decode(LABELS.q4, 128);
  const perSecond = own && q4 && (q4 * bytesPerToken(own, 128)) / 1e9;
  const at = (name) => report.median(LABELS.q4, name);
  return {
    ratios: {
      "decode, CPU: q8 over q4": ratio(decode(LABELS.q8, 128), q4),
      "decode, CPU q4: at 512 over at 128 tokens": ratio(decode(LABELS.q4, 512), q4),
      "CPU q4: prefill of 128 over decode": ratio(rate(LABELS.q4, "prefill, 128 tokens"), q4),
      "decode, CPU q4: bytes read over plain SIMD sum": ratio(perSecond, report.median("bandwidth", READ)),
      "load, CPU q4: over reading and one pass": at("load over reading the bytes and one pass over them"),
      "load, CPU q4: peak over packed weights": ratio(at("load peak: WASM memory"), at("packed weights")),
    },
    counts: Object.fromEntries(Object.values(COUNTS).map((name) => [`30 layers, GPU: a token's ${name}`, report.median(LABELS.thin, `a token's ${name}`)])),
  };
}
