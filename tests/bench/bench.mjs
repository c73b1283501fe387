// The benchmark: see `pkg-scripts/bench --help`.
import { existsSync, statSync } from "node:fs";
import os from "node:os";
import { join, relative } from "node:path";

import { dist, root } from "../browser/chromium.mjs";
import { runBeside } from "./beside.mjs";
import { addDerived, measuredRatios } from "./derived.mjs";
import { startBenchLab } from "./lab.mjs";
import { runLarge } from "./large.mjs";
import { machine } from "./machine.mjs";
import { HELP, readOptions, UsageError } from "./options.mjs";
import { runPeers } from "./peers.mjs";
import { ensureRandomModel } from "./random_model.mjs";
import { baselineOf, compare, writeBaseline } from "./ratios.mjs";
import { Report } from "./report.mjs";
import { writeResults } from "./results.mjs";
import { runSuite } from "./suite.mjs";
import { writeAdapter } from "./write_adapter.mjs";

const RESULTS = join(root, "tests/bench/results");
const MODELS = join(root, ".eyas/bench");

function modelFiles(given) {
  if (given !== undefined) {
    return { given };
  }
  const random = (name, type) => ensureRandomModel(MODELS, name, type);
  return { q4: random("smollm2-135m", "q4_0"), q8: random("smollm2-135m", "q8_0"), thin: random("thin-30-layers", "q4_0"), layer: random("smollm2-one-layer", "q4_0") };
}

/** Runs the suite in one Chromium. */
async function measure(options, mode) {
  const models = modelFiles(options.model);
  const lab = await startBenchLab(models);
  const report = new Report();
  const meta = { started: new Date().toISOString(), mode, model: options.model ?? "random weights, SmolLM2-135M's shape", ...machine(), chromium: lab.chromium, adapter: lab.adapter, loadAverageAtStart: os.loadavg()[0] };
  try {
    const single = options.model === undefined || !statSync(options.model).isDirectory();
    const { failures, bytes } = await runSuite({ lab, report, mode, models: { ...models, single }, devices: options.devices ?? ["cpu", "gpu"], repeats: options.repeats });
    return { report, bytes, failures, meta: { ...meta, ended: new Date().toISOString(), loadAverageAtEnd: os.loadavg()[0] } };
  } finally {
    await lab.close();
  }
}

const described = ({ model, cpu, cores, memoryGib, system, chromium, adapter, loadAverageAtStart, loadAverageAtEnd }) =>
  `${model}\n${cpu}, ${cores} cores, ${memoryGib} GiB; ${system}; Chromium ${chromium}; adapter: ${adapter ? `${adapter.name}${adapter.software ? " (software)" : ""}` : "none"}; load average ${loadAverageAtStart.toFixed(1)} at the start, ${loadAverageAtEnd.toFixed(1)} at the end`;

/** The short form: ratios beside the baseline's. Its last lines are counts as Node's test runner prints them. */
async function ratios(options) {
  const { report, bytes, failures, meta } = await measure(options, "ratios");
  const measured = measuredRatios(report, bytes);
  if (options.writeBaseline) {
    writeBaseline(measured, meta.cpu);
  }
  const baseline = baselineOf(meta.cpu);
  const { lines, held, grown } = compare(measured, baseline);
  const isKnown = Object.keys(baseline.ratios).length > 0;
  console.log(`${described(meta)}\n\n${isKnown ? "" : "the baseline has no ratios of this processor\n"}${lines.join("\n")}`);
  const found = [...Object.values(measured.ratios), ...Object.values(measured.counts)].some((value) => value !== undefined);
  const nothing = found ? 0 : 1;
  if (nothing) {
    console.log("nothing could be measured");
  }
  const asked = meta.adapter && (options.devices ?? ["gpu"]).includes("gpu");
  const uncounted = asked && held === 0 ? 1 : 0;
  if (uncounted) {
    console.log("there is a WebGPU adapter, but a token's work on it could not be counted");
  }
  const failed = grown.length + failures + nothing + uncounted;
  console.log(`\nℹ pass ${held - grown.length}\nℹ fail ${failed}\nℹ skipped ${asked ? 0 : 1}`);
  return failed === 0 ? 0 : 1;
}

async function main() {
  const options = readOptions(process.argv.slice(2));
  if (options.help) {
    console.log(HELP);
    return 0;
  }
  if (!existsSync(join(dist, ".complete"))) {
    throw new UsageError("the package is not built; run pkg-scripts/build first");
  }
  if (options.adapter !== undefined) {
    writeAdapter(options.adapter, dist);
    console.log(`wrote ${options.adapter}; a name with "gpu" in it runs on the GPU, a folder whose name ends in -q8 takes the 8-bit file`);
    return 0;
  }
  if (options.peers !== undefined) {
    return runPeers({ names: options.peers, repeats: options.repeats, devices: options.devices, results: RESULTS });
  }
  if (options.beside !== undefined) {
    const { q4, q8 } = modelFiles();
    return runBeside({ before: options.beside, models: { q4, q8 }, repeats: options.repeats, json: options.json, results: RESULTS });
  }
  if (options.large) {
    const { devices, repeats, json } = options;
    return runLarge({ devices, repeats, json, models: MODELS, results: RESULTS });
  }
  if (options.ratios) {
    return ratios(options);
  }
  const { report, bytes, failures, meta } = await measure(options, ["quick", "long"].find((mode) => options[mode]) ?? "full");
  addDerived(report, bytes);
  const written = writeResults(RESULTS, { report, meta, bytes, also: options.json });
  console.log(`\n${described(meta)}\n\n${report.table()}\n`);
  console.log(written.map((path) => `wrote ${relative(process.cwd(), path)}`).join("\n"));
  return failures > 0 || report.rows().length === 0 ? 1 : 0;
}

try {
  process.exitCode = await main();
} catch (error) {
  if (!(error instanceof UsageError)) {
    throw error;
  }
  console.error(`${error.message}\n\n${HELP}`);
  process.exitCode = 2;
}
