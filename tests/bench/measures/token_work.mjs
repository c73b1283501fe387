// What a decoded token asks of WebGPU, counted.
import { within } from "../budget.mjs";
import { promptText } from "../prompt.mjs";
import { closePage, openModel } from "./generation.mjs";

/** What is counted, by the meter's names. */
export const COUNTS = { dispatches: "dispatches", passes: "compute passes", submits: "submits", bindGroups: "bind groups", writes: "buffer writes", reads: "readbacks", readBytes: "bytes read back", buffers: "buffers made", pipelines: "pipelines made", shaderModules: "shader modules made" };

/** Counts per token over `tokens` of them, after `warmUp` tokens in which pipelines are made and the step is recorded. */
export async function measureTokenWork({ lab, report }, { model, label, promptKind, tokens, warmUp = 3 }) {
  const { page } = await openModel(lab, { model, device: "gpu", contextTokens: 256, assets: "metered" });
  try {
    const { samples, generated } = await within(300, "counting", page.evaluate(async ([prompt, tokens]) => {
      const channel = new BroadcastChannel("gpu-meter");
      const samples = [];
      channel.onmessage = ({ data }) => samples.push(data); // the meter speaks before every message of the worker: a sample a token
      const { tokenIds } = await window.eyas.chat({ prompt }, { maxTokens: tokens, promptLookupTokens: 0 });
      await new Promise((resolve) => setTimeout(resolve, 100));
      channel.close();
      return { samples, generated: tokenIds.length };
    }, [promptText(promptKind, 8, 5), tokens + warmUp + 1]));
    const perToken = samples.slice(-(generated + 1), -1);
    const [from, to, steps] = [perToken[warmUp], perToken.at(-1), perToken.length - 1 - warmUp];
    if (!from || steps < 1) {
      report.note(`${label}: the work of a token was not counted, only ${generated} tokens came`);
      return;
    }
    for (const [key, name] of Object.entries(COUNTS)) {
      report.add({ group: label, name: `a token's ${name}`, digits: 2 }, (to[key] - from[key]) / steps);
    }
  } finally {
    await closePage(page);
  }
}
