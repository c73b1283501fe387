// What a token costs the host on the GPU path, the GPU's work being elsewhere: the time in which the worker runs scripts, and the CPU time of its thread, which
// holds the browser's own messages and wake-ups too.
import { underConditions } from "../machine.mjs";
import { workerSeconds } from "../process_times.mjs";
import { promptText } from "../prompt.mjs";
import { workerProfiler } from "../worker_profile.mjs";
import { closePage, continuePrompt, openModel } from "./generation.mjs";

/** One repeat in a fresh page: `tokens` of them, after a first answer in which everything is made. */
export async function measureHostCost({ lab, report }, { model, label, promptKind, tokens }) {
  let profiler;
  const onPage = async (page) => {
    profiler = await workerProfiler(page);
  };
  const { page } = await openModel(lab, { model, device: "gpu", contextTokens: tokens + 64, onPage });
  try {
    await continuePrompt(page, promptText(promptKind, 8, 5), 16);
    const answer = (seed) => continuePrompt(page, promptText(promptKind, 8, seed), tokens);
    const scripts = await underConditions(async () => {
      const { value, scriptMs } = await profiler.during(() => answer(7));
      return scriptMs / value.completionTokens;
    });
    report.add({ group: label, name: `time in WebAssembly and JavaScript a token, over ${tokens}`, unit: "ms", digits: 2 }, scripts.value, scripts.conditions);
    if (workerSeconds() === undefined) {
      report.note(`${label}: the worker's CPU time can't be read on this system`);
      return;
    }
    const thread = await underConditions(async () => {
      const begin = workerSeconds();
      const { completionTokens } = await answer(6);
      return ((workerSeconds() - begin) / completionTokens) * 1000;
    });
    report.add({ group: label, name: `CPU time of the worker's thread a token, over ${tokens}`, unit: "ms", digits: 2 }, thread.value, thread.conditions);
  } finally {
    await closePage(page);
  }
}
