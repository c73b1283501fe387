// What follows from the rows: how decode slows with the context beside what attention's bytes need, and shares of bandwidth.
import { COUNTS } from "./measures/token_work.mjs";
import { ratio } from "./ratios.mjs";
import { LABELS } from "./suite.mjs";

const READ = "sum over WASM memory, SIMD";
const COPY = "copy by WGSL, read + write";
const BY_CPU_TIME = ", a second of CPU time";
const DECODE = /^decode at (\d+)/;

/** The row of a rate: by CPU time where it is known, since other processes then move it less. */
function rateRow(rows, group, name) {
  const find = (wanted) => rows.find((row) => row.group === group && row.name === wanted);
  return find(name + BY_CPU_TIME) ?? find(name);
}

/** The rates of a label whose names match `pattern` (its first group is a number), each by CPU time where that is known. */
function rates(rows, label, pattern) {
  const names = rows.filter((row) => row.group === label && pattern.test(row.name) && !row.name.endsWith(BY_CPU_TIME)).map(({ name }) => name);
  return names.map((name) => ({ ...rateRow(rows, label, name), at: Number(pattern.exec(name)[1]) }));
}

const isByCpuTime = (row) => row.name.endsWith(BY_CPU_TIME);

/** Bytes that a token at a context reads: all weights, and the keys and values of every position. */
export const bytesPerToken = ({ weightBytes, cacheBytesPerToken }, context) => weightBytes + cacheBytesPerToken * context;

/** Adds the derived rows to the report. `bytes`: by label, bytes of weights and of cache per token. */
export function addDerived(report, bytes) {
  for (const [label, own] of Object.entries(bytes)) {
    const decode = rates(report.rows(), label, DECODE);
    if (!own || decode.length === 0) {
      continue;
    }
    const [first, last] = [decode[0], decode.at(-1)];
    const by = isByCpuTime(first) ? ", by CPU time" : "";
    if (last.at > first.at) {
      const name = `a token at ${last.at} over one at ${first.at}`;
      report.add({ group: label, name: `${name}: time${by}`, unit: "×", digits: 2 }, first.median / last.median);
      report.add({ group: label, name: `${name}: bytes`, unit: "×", digits: 2 }, bytesPerToken(own, last.at) / bytesPerToken(own, first.at));
    }
    const rate = first.median * bytesPerToken(own, first.at);
    const gpu = label.startsWith("GPU");
    const limit = report.median("bandwidth", gpu ? COPY : READ);
    report.add({ group: label, name: `bytes read while decoding at ${first.at}${by}`, unit: "GB/s", digits: 2 }, rate / 1e9);
    if (limit !== undefined) {
      report.add({ group: label, name: `of the plain ${gpu ? "copy's" : "sum's"} rate`, unit: "%", digits: 0 }, (rate / 1e9 / limit) * 100);
    }
  }
}

/** The series of a plot: by label, medians and ranges of the rates whose names match `pattern`. */
export function seriesOf(report, pattern, labels) {
  return labels
    .map((label) => {
      const found = rates(report.rows(), label, pattern);
      const name = found.some(isByCpuTime) ? `${label}, by CPU time` : label;
      return { name, points: found.map(({ at, median, min, max }) => ({ x: at, y: median, low: min, high: max })) };
    })
    .filter(({ points }) => points.length > 0);
}

/** Bars: the rates of plain reading and copying, and the bytes a second of every decode at its smallest context. */
export function bandwidthBars(report, bytes) {
  const rows = report.rows();
  const plain = rows.filter(({ group }) => group === "bandwidth").map((row) => ({ name: row.name, value: row.median, low: row.min, high: row.max, series: 0 }));
  const decode = Object.entries(bytes).flatMap(([label, own]) => {
    const [row] = rates(rows, label, DECODE);
    const scale = own && row ? bytesPerToken(own, row.at) / 1e9 : 0;
    return scale > 0 ? [{ name: `decode, ${label}${isByCpuTime(row) ? ", by CPU time" : ""}`, value: row.median * scale, low: row.min * scale, high: row.max * scale, series: 1 }] : [];
  });
  return [...plain, ...decode];
}

/** What the baseline holds: ratios of times, and counts of GPU work. */
export function measuredRatios(report, bytes) {
  const rows = report.rows();
  const rate = (label, name) => rateRow(rows, label, name)?.median;
  const own = bytes[LABELS.q4];
  const q4 = rate(LABELS.q4, "decode at 128");
  const perSecond = own && q4 && (q4 * bytesPerToken(own, 128)) / 1e9;
  const at = (name) => report.median(LABELS.q4, name);
  return {
    ratios: {
      "decode, CPU: q8 over q4": ratio(rate(LABELS.q8, "decode at 128"), q4),
      "decode, CPU q4: at 512 over at 128 tokens": ratio(rate(LABELS.q4, "decode at 512"), q4),
      "CPU q4: prefill of 128 over decode": ratio(rate(LABELS.q4, "prefill, 128 tokens"), q4),
      "decode, CPU q4: bytes read over plain SIMD sum": ratio(perSecond, report.median("bandwidth", READ)),
      "load, CPU q4: over reading and one pass": at("load over reading the bytes and one pass over them"),
      "load, CPU q4: peak over packed weights": ratio(at("load peak: WASM memory"), at("packed weights")),
    },
    counts: Object.fromEntries(Object.values(COUNTS).map((name) => [`30 layers, GPU: a token's ${name}`, report.median(LABELS.thin, `a token's ${name}`)])),
  };
}
