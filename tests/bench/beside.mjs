// The built package beside an earlier build of it, on the CPU: both are open in pages of one Chromium and take turns, so that a slow moment befalls both.
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";

import { dist } from "../browser/chromium.mjs";
import { startBenchLab } from "./lab.mjs";
import { machine, underConditions } from "./machine.mjs";
import { closePage, continuePrompt, openModel } from "./measures/generation.mjs";
import { promptText } from "./prompt.mjs";
import { Report } from "./report.mjs";

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

/** One round of a page: tokens a second of a fresh prompt, or of the tokens behind one that was there before. */
async function rate(page, name, seed) {
  if (name.startsWith("prefill")) {
    const { promptTokens, cachedTokens, prefillMs } = await continuePrompt(page, promptText("letters", PROMPT_TOKENS, seed), 1);
    return ((promptTokens - cachedTokens) / prefillMs) * 1000;
  }
  const { completionTokens, decodeMs } = await continuePrompt(page, promptText("letters", Number(/\d+/.exec(name)[0]), 1), DECODED_TOKENS);
  return ((completionTokens - 1) / decodeMs) * 1000;
}

/** Runs it with the models `{ q4, q8 }` beside the build in the folder `before`; writes all runs to `results`, prints the table, and returns the exit status. */
export async function runBeside({ before, models, repeats = ROUNDS, json, results }) {
  const builds = { before, now: dist };
  const lab = await startBenchLab(models, builds);
  const report = new Report();
  const meta = { started: new Date().toISOString(), ...machine(), chromium: lab.chromium };
  const lines = [];
  try {
    for (const { label, model, relaxedSimd } of CASES) {
      const contextTokens = Math.max(...CONTEXTS) + 2 * DECODED_TOKENS;
      const open = (build) => openModel(lab, { model, device: "cpu", contextTokens, relaxedSimd, build });
      const pages = Object.fromEntries(await Promise.all(Object.keys(builds).map(async (build) => [build, (await open(build)).page])));
      for (const page of Object.values(pages)) {
        await continuePrompt(page, promptText("letters", PROMPT_TOKENS, 1), WARM_UP_TOKENS);
      }
      for (const name of [`prefill, ${PROMPT_TOKENS} tokens`, ...CONTEXTS.map((context) => `decode at ${context}`)]) {
        for (let round = -WARM_UP_ROUNDS; round < repeats; round += 1) {
          for (const [build, page] of Object.entries(pages)) {
            const { value, conditions } = await underConditions(() => rate(page, name, FIRST_SEED + round));
            if (round >= 0) {
              report.add({ group: `${label}, ${build}`, name, unit: "tokens/s", digits: 1 }, value, conditions);
            }
          }
        }
        const [was, is] = Object.keys(builds).map((build) => report.median(`${label}, ${build}`, name));
        lines.push(`${label}, ${name}: ${(is / was).toFixed(3)} times as fast`);
      }
      await Promise.all(Object.values(pages).map(closePage));
    }
  } finally {
    await lab.close();
  }
  const written = json ?? join(results, "beside.json");
  mkdirSync(dirname(written), { recursive: true });
  writeFileSync(written, `${JSON.stringify({ meta, rows: report.rows() }, undefined, 1)}\n`);
  console.log(`${meta.cpu}; Chromium ${meta.chromium}; medians of ${repeats}, in turns with ${before}\n\n${report.table()}\n\n${lines.join("\n")}\nwrote ${written}`);
  return 0;
}
