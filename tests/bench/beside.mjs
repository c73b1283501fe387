// The built package beside an earlier build of it, on the CPU: both are open in pages of one Chromium and take turns, so that a slow moment befalls both.
import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";

import { dist } from "../browser/chromium.mjs";
import { startBenchLab } from "./lab.mjs";
import { machine, underConditions } from "./machine.mjs";
import { closePage, continuePrompt, openModel } from "./measures/generation.mjs";
import { promptText } from "./prompt.mjs";
import { Report } from "./report.mjs";
import { median } from "./statistics.mjs";

const sha256 = (file) => createHash("sha256").update(readFileSync(file)).digest("hex");

const CASES = [
  { label: "4 bits", model: "q4" },
  { label: "4 bits, no relaxed SIMD", model: "q4", relaxedSimd: false },
  { label: "8 bits", model: "q8" },
];
const CONTEXTS = [128, 2048];
const PROMPT_TOKENS = 128;
const DECODED_TOKENS = 64;
/** Tokens after which the browser has compiled for speed what computes them. */
const WARM_UP_TOKENS = 96;
const ROUNDS = 7;
/** Rounds before them that are not counted. */
const WARM_UP_ROUNDS = 2;
/** The first round's prompt; those of `decode` have the seed 1. */
const FIRST_SEED = 10;

const STEPS = [{ name: `prefill, ${PROMPT_TOKENS} tokens` }, ...CONTEXTS.map((context) => ({ name: `decode at ${context}`, context }))];

/** One round of a page: tokens a second of a fresh prompt, or of the tokens behind a context. */
async function rate(page, { name, context }, seed) {
  if (context === undefined) {
    const { promptTokens, cachedTokens, prefillMs } = await continuePrompt(page, promptText("letters", PROMPT_TOKENS, seed), 1);
    return ((promptTokens - cachedTokens) / prefillMs) * 1000;
  }
  const { completionTokens, decodeMs } = await continuePrompt(page, promptText("letters", context, 1), DECODED_TOKENS);
  if (completionTokens < DECODED_TOKENS) {
    throw new Error(`${name}: the answer ended after ${completionTokens} of ${DECODED_TOKENS} tokens`);
  }
  return ((completionTokens - 1) / decodeMs) * 1000;
}

/** Runs it with the models `{ q4, q8 }` beside the build in the folder `before`; writes all runs to `results`, prints the table, and returns the exit status. */
export async function runBeside({ before, models, repeats = ROUNDS, json, results }) {
  const builds = { before, now: dist };
  const lab = await startBenchLab(models, builds);
  const report = new Report();
  const meta = { started: new Date().toISOString(), ...machine(), chromium: lab.chromium, builds: Object.fromEntries(Object.entries(builds).map(([build, folder]) => [build, { folder, cpuModule: sha256(join(folder, "eyas_cpu_bg.wasm")) }])) };
  const lines = [];
  try {
    for (const { label, model, relaxedSimd } of CASES) {
      const contextTokens = Math.max(...CONTEXTS) + 2 * DECODED_TOKENS;
      const open = (build) => openModel(lab, { model, device: "cpu", contextTokens, relaxedSimd, build });
      const pages = Object.fromEntries(await Promise.all(Object.keys(builds).map(async (build) => [build, (await open(build)).page])));
      for (const page of Object.values(pages)) {
        await continuePrompt(page, promptText("letters", PROMPT_TOKENS, 1), WARM_UP_TOKENS);
      }
      for (const step of STEPS) {
        const ratios = [];
        for (let round = -WARM_UP_ROUNDS; round < repeats; round += 1) {
          const seen = {};
          // Each goes first in turn.
          for (const build of round % 2 === 0 ? ["before", "now"] : ["now", "before"]) {
            const { value, conditions } = await underConditions(() => rate(pages[build], step, FIRST_SEED + round));
            seen[build] = value;
            if (round >= 0) {
              report.add({ group: `${label}, ${build}`, name: step.name, unit: "tokens/s", digits: 1 }, value, conditions);
            }
          }
          if (round >= 0) {
            ratios.push(seen.now / seen.before);
          }
        }
        lines.push(`${label}, ${step.name}: ${median(ratios).toFixed(3)} times as fast (median of the rounds' ratios, ${Math.min(...ratios).toFixed(3)} to ${Math.max(...ratios).toFixed(3)})`);
      }
      await Promise.all(Object.values(pages).map(closePage));
    }
  } finally {
    await lab.close();
  }
  const written = json ?? join(results, "beside.json");
  mkdirSync(dirname(written), { recursive: true });
  writeFileSync(written, `${JSON.stringify({ meta, rows: report.rows(), ratios: lines }, undefined, 1)}\n`);
  console.log(`${meta.cpu}; Chromium ${meta.chromium}; medians of ${repeats}, in turns with ${before}\n\n${report.table()}\n\n${lines.join("\n")}\nwrote ${written}`);
  return 0;
}
