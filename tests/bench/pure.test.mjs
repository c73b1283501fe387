// The parts of the benchmark that need no browser: numbers that a person can check, files byte by byte, plots.
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";

import { Budget, TooSlow, within } from "./budget.mjs";
import { addDerived, bandwidthBars, seriesOf } from "./derived.mjs";
import { tensorBytes, writeGguf } from "./gguf_writer.mjs";
import { readOptions, UsageError } from "./options.mjs";
import { bars, lines, ticks } from "./plot.mjs";
import { promptPieces } from "./prompt.mjs";
import { packedBytes, SHAPES, tensorsOf, vocabulary } from "./random_model.mjs";
import { baselineOf, compare, grew, renewed } from "./ratios.mjs";
import { Report } from "./report.mjs";
import { median, percentile, summary } from "./statistics.mjs";
import { scriptMs } from "./worker_profile.mjs";

test("medians and percentiles", () => {
  assert.equal(median([3, 1, 2]), 2);
  assert.equal(median([4, 1, 2, 3]), 2.5);
  assert.equal(percentile([10, 20, 30, 40, 50], 95), 48);
  assert.equal(percentile([7], 95), 7);
  assert.equal(percentile([1, 2], 0), 1);
  assert.deepEqual(summary([5, 1, 3]), { median: 3, min: 1, max: 5, n: 3 });
  assert.throws(() => percentile([], 50), RangeError);
  assert.throws(() => percentile([1], 101), RangeError);
});

test("a GGUF file, byte by byte", () => {
  const folder = mkdtempSync(join(tmpdir(), "eyas-bench-"));
  try {
    const path = join(folder, "a.gguf");
    const tensors = [{ name: "a", shape: [2, 32], type: "q4_0" }, { name: "b", shape: [3], type: "f32" }];
    writeGguf(path, { metadata: [["n", "u32", 7], ["l", ["string"], ["x", "yz"]]], tensors, fill: (bytes, { name }) => bytes.fill(name) });
    const file = readFileSync(path);
    assert.equal(file.toString("latin1", 0, 4), "GGUF");
    assert.equal(file.readUInt32LE(4), 3);
    assert.equal(file.readBigUInt64LE(8), 2n); // tensors
    assert.equal(file.readBigUInt64LE(16), 2n); // values
    const number = 24 + 8 + 1; // behind the key "n"
    assert.deepEqual([file.readUInt32LE(number), file.readUInt32LE(number + 4)], [4, 7]);
    const list = number + 8 + 8 + 1; // behind the key "l"
    assert.deepEqual([file.readUInt32LE(list), file.readUInt32LE(list + 4), file.readBigUInt64LE(list + 8)], [9, 8, 2n]);
    const strings = list + 16;
    assert.equal(file.toString("latin1", strings + 8, strings + 9), "x");
    const first = strings + 9 + 10; // "a": two axes, the innermost first
    assert.deepEqual([file.readUInt32LE(first + 9), file.readBigUInt64LE(first + 13), file.readBigUInt64LE(first + 21), file.readUInt32LE(first + 29), file.readBigUInt64LE(first + 33)], [2, 32n, 2n, 2, 0n]);
    const second = first + 41;
    assert.equal(file.readBigUInt64LE(second + 8 + 1 + 4 + 8 + 4), 64n); // 36 bytes of "a", aligned to 32
    const data = Math.ceil((second + 8 + 1 + 4 + 8 + 4 + 8) / 32) * 32;
    assert.equal(file.length, data + 64 + 32);
    assert.equal(file.toString("latin1", data + 35, data + 37), "a\0");
    assert.equal(file.toString("latin1", data + 64 + 11, data + 64 + 13), "b\0");
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test("rows of blocks must be whole", () => {
  assert.throws(() => writeGguf("/nonexistent/x", { metadata: [], tensors: [{ name: "a", shape: [2, 33], type: "q4_0" }], fill() {} }), /multiple of 32/);
});

test("the random vocabulary has every byte once and as many tokens as asked for", () => {
  const { tokens, types } = vocabulary(512);
  assert.equal(tokens.length, 512);
  assert.equal(new Set(tokens).size, 512);
  assert.equal(types.filter((type) => type === 3).length, 3);
  assert.equal(tokens[3 + 65], "A");
  assert.equal(tokens[3 + 32], "Ġ"); // a space, as GPT-2 writes it
});

test("SmolLM2-135M's shape has its number of weights", () => {
  // 28.3 million in the embedding at 9 bits, 106.2 million in 30 layers at 5 bits, 61 norms of 576 in full
  const embedding = (49_152 * 576 * 36) / 32;
  const layers = (30 * (2 * 576 * 576 + 2 * 192 * 576 + 3 * 1536 * 576) * 20) / 32;
  assert.equal(packedBytes(SHAPES["smollm2-135m"], "q4_0"), embedding + layers + 61 * 576 * 4);
});

test("the large model has some 505 MB", () => {
  const bytes = tensorsOf(SHAPES["large-29-layers"], "q8_0").reduce((sum, tensor) => sum + tensorBytes(tensor), 0);
  assert.ok(Math.abs(bytes - 505e6) < 2e6, `${bytes}`);
});

test("prompts: as long as asked, the same for a seed, another one for another", () => {
  assert.equal(promptPieces("letters", 40, 1).join("").length, 40);
  assert.deepEqual(promptPieces("words", 9, 2), promptPieces("words", 9, 2));
  assert.notDeepEqual(promptPieces("words", 9, 2), promptPieces("words", 9, 3));
});

test("plots are well-formed SVG with every point, and escape what they show", () => {
  const point = (x, y) => ({ x, y, low: y - 1, high: y + 1 });
  const drawn = lines({ title: "a < b", xLabel: "x", yLabel: "y", series: [{ name: "one & two", points: [point(16, 5), point(128, 9)] }, { name: "other", points: [point(128, 2)] }] });
  assert.equal(drawn.match(/<circle/g).length, 3 + 2); // points, and a mark for each name
  assert.match(drawn, /a &lt; b/);
  assert.match(drawn, /one &amp; two/);
  assert.match(drawn, /prefers-color-scheme: dark/);
  assert.doesNotMatch(drawn, /NaN|undefined/);
  const single = lines({ title: "t", xLabel: "x", yLabel: "y", series: [{ name: "s", points: [point(16, 5)] }] });
  assert.doesNotMatch(single, /NaN/);
  const barred = bars({ title: "t", xLabel: "GB/s", bars: [{ name: "sum", value: 20, low: 18, high: 21 }] });
  assert.equal(barred.match(/<rect class="s0"/g).length, 1);
  assert.throws(() => bars({ title: "t", xLabel: "", bars: [] }), RangeError);
  for (const svg of [drawn, barred]) {
    const open = svg.match(/<(svg|style|text)\b/g).length;
    assert.equal(open, svg.match(/<\/(svg|style|text)>/g).length);
  }
});

test("ticks reach the top in round steps", () => {
  assert.deepEqual(ticks(100), [0, 20, 40, 60, 80, 100]);
  assert.deepEqual(ticks(0.9), [0, 0.2, 0.4, 0.6, 0.8, 1]);
  assert.deepEqual(ticks(0), [0, 1]);
});

test("a report shows medians, ranges and conditions", () => {
  const report = new Report();
  for (const value of [10, 30, 20]) {
    report.add({ group: "g", name: "n", unit: "ms", digits: 0 }, value, { loadAverage: 1, foreignCores: 0.5 });
  }
  assert.equal(report.median("g", "n"), 20);
  assert.equal(report.median("g", "other"), undefined);
  assert.equal(report.table({ markdown: true }).split("\n").at(-1), "| g | n | 20 | 10 to 30 | ms | 3 | 1.0 | 0.50 |");
});

test("what is derived prefers CPU time, and compares contexts by time and by bytes", () => {
  const report = new Report();
  const add = (name, value) => report.add({ group: "CPU, q4", name }, value);
  for (const [at, wall, cpu] of [[128, 10, 100], [2048, 4, 50]]) {
    add(`decode at ${at}`, wall);
    add(`decode at ${at}, a second of CPU time`, cpu);
  }
  report.add({ group: "bandwidth", name: "sum over WASM memory, SIMD" }, 25);
  const bytes = { "CPU, q4": { weightBytes: 90e6, cacheBytesPerToken: 0.05e6 }, "CPU, q8": undefined };
  addDerived(report, bytes);
  assert.equal(report.median("CPU, q4", "a token at 2048 over one at 128: time, by CPU time"), 2);
  assert.equal(report.median("CPU, q4", "a token at 2048 over one at 128: bytes"), (90 + 102.4) / (90 + 6.4));
  assert.equal(report.median("CPU, q4", "bytes read while decoding at 128, by CPU time"), (100 * 96.4e6) / 1e9);
  assert.equal(report.median("CPU, q4", "of the plain sum's rate"), (9.64 / 25) * 100);
  assert.deepEqual(seriesOf(report, /^decode at (\d+)/, ["CPU, q4"]), [{ name: "CPU, q4, by CPU time", points: [{ x: 128, y: 100, low: 100, high: 100 }, { x: 2048, y: 50, low: 50, high: 50 }] }]);
  assert.equal(bandwidthBars(report, bytes).length, 2);
});

test("only a count that grew fails; a ratio that moved is marked", () => {
  const baseline = { ratios: { speed: 2, steady: 1 }, counts: { dispatches: 100, reads: 0 } };
  const { lines: shown, held, grown } = compare({ ratios: { speed: 1, steady: 1.1, fresh: 3 }, counts: { dispatches: 130, reads: 0, other: 4 } }, baseline);
  assert.equal(held, 2);
  assert.deepEqual(grown, ["dispatches"]);
  assert.match(shown.find((line) => line.startsWith("speed")), /less by 50%/);
  assert.doesNotMatch(shown.find((line) => line.startsWith("steady")), /<-/);
  assert.equal(grew(0, 0), false);
  assert.equal(grew(1, 0), true);
  assert.equal(grew(90, 100), false);
});

test("ratios are held to those of the same processor, counts to the same for all", () => {
  const { counts, ratios } = baselineOf("a processor that nobody has");
  assert.deepEqual(ratios, {});
  assert.ok(Object.keys(counts).length >= 10);
  assert.ok(Object.keys(baselineOf("AMD EPYC").ratios).length >= 5);
  assert.deepEqual(baselineOf("AMD EPYC").counts, counts);
  const old = { ratios: { one: { speed: 2, steady: 1 }, other: { speed: 3 } }, counts: { dispatches: 100 } };
  const measured = { ratios: { speed: 2.3456, steady: undefined }, counts: { dispatches: 90, reads: 1.2345 } };
  assert.deepEqual(renewed(old, measured, "one"), { ratios: { one: { speed: 2.35, steady: 1 }, other: { speed: 3 } }, counts: { dispatches: 100, reads: 1.23 } });
});

test("a budget runs out, and a promise that never settles is given up", async () => {
  assert.equal(new Budget(10).allows(5), true);
  assert.equal(new Budget(10).allows(11), false);
  await assert.rejects(within(0.01, "waiting", new Promise(() => {})), (error) => error instanceof TooSlow && /waiting took longer/.test(error.message));
  assert.equal(await within(1, "work", Promise.resolve(3)), 3);
});

test("command lines", () => {
  assert.equal(readOptions([]).quick, false);
  assert.deepEqual([readOptions([]).large, readOptions(["--large"]).large], [false, true]);
  assert.deepEqual([readOptions([]).long, readOptions(["--long", "--device", "gpu"]).long], [false, true]);
  assert.deepEqual(readOptions(["--quick", "--device", "gpu,cpu", "--repeats", "2"]).devices, ["gpu", "cpu"]);
  assert.equal(readOptions(["--peers"]).peers, "");
  assert.equal(readOptions(["--peers", "--quick"]).peers, "");
  assert.equal(readOptions(["--peers", "wllama-cpu"]).peers, "wllama-cpu");
  for (const wrong of [["--device", "tpu"], ["--repeats", "0"], ["--repeats", "x"], ["--model", "/nonexistent.gguf"], ["--beside", "/nonexistent"], ["--beside", "/tmp", "--large"], ["--fast"], ["--write-baseline"], ["--quick", "--long"], ["--long", "--ratios"], ["stray"]]) {
    assert.throws(() => readOptions(wrong), UsageError, wrong.join(" "));
  }
});

test("a profile's script time leaves out what no script ran in", () => {
  const node = (id, functionName) => ({ id, callFrame: { functionName } });
  const profile = { nodes: [node(1, "(root)"), node(2, "(idle)"), node(3, "wasm-function[7]"), node(4, "setBindGroup")], samples: [2, 3, 4, 2, 3], timeDeltas: [5000, 200, 300, 9000, 500] };
  assert.equal(scriptMs(profile), 1);
});
