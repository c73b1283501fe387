// The CPU time that the worker's own thread takes for a token on the GPU path, the GPU's work being elsewhere.
import { underConditions } from "../machine.mjs";
import { workerSeconds } from "../process_times.mjs";
import { promptText } from "../prompt.mjs";
import { closePage, continuePrompt, openModel } from "./generation.mjs";

/** One repeat in a fresh page: `tokens` of them, after a first answer in which everything is made. */
export async function measureHostCost({ lab, report }, { model, label, promptKind, tokens }) {
  if (workerSeconds() === undefined) {
    report.note(`${label}: the worker's CPU time can't be read on this system`);
    return;
  }
  const { page } = await openModel(lab, { model, device: "gpu", contextTokens: tokens + 64 });
  try {
    await continuePrompt(page, promptText(promptKind, 8, 5), 16);
    const { value, conditions } = await underConditions(async () => {
      const begin = workerSeconds();
      const { completionTokens } = await continuePrompt(page, promptText(promptKind, 8, 6), tokens);
      return ((workerSeconds() - begin) / completionTokens) * 1000;
    });
    report.add({ group: label, name: `CPU time of the worker's thread a token, over ${tokens}`, unit: "ms", digits: 2 }, value, conditions);
  } finally {
    await closePage(page);
  }
}
