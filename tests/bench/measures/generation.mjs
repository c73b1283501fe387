// Prefill against the length of the prompt, and decode against the context.
import { within } from "../budget.mjs";
import { underConditions } from "../machine.mjs";
import { workerSeconds } from "../process_times.mjs";
import { promptPieces } from "../prompt.mjs";

const WARM_UP_TOKENS = 16;
const FIRST_SEED = 11;
/** What a prompt's token takes is told by as many of them at least. */
const LEAST_FRESH_TOKENS = 8;
/** Linux counts CPU time in hundredths of a second; less than five of them say nothing. */
const LEAST_CPU_SECONDS = 0.05;

/**
 * Loads a model in a fresh page, where `window.eyas` then is; returns what the engine says of it. `build` names another of the lab's builds; `onPage` gets the
 * page before anything is loaded.
 */
export async function openModel(lab, { model, device, contextTokens, relaxedSimd, assets = "assets", build, onPage = () => {} }) {
  const page = await lab.page();
  await onPage(page);
  if (build !== undefined) {
    await page.evaluate(async (folder) => {
      window.slim = await import(`${folder}/slim.js`);
      window.assets = { worker: `${folder}/worker.js`, gpuWasm: `${folder}/eyas_gpu_bg.wasm`, cpuWasm: `${folder}/eyas_cpu_bg.wasm` };
    }, `/build-${build}`);
  }
  const loaded = await within(240, `loading ${model}`, page.evaluate(async ([url, device, contextTokens, relaxedSimd, assets]) => {
    const start = performance.now();
    window.eyas = await window.slim.load({ model: url, device, contextTokens, assets: window[assets], ...(relaxedSimd !== undefined && { relaxedSimd }) });
    return { ms: performance.now() - start, info: window.eyas.info };
  }, [lab.url(model), device, contextTokens, relaxedSimd, assets]));
  return { page, ...loaded };
}

/**
 * Continues a prompt by `tokens` and returns usage and times, as the engine measured them. Without guesses, unless `guesses` allows so many: random weights
 * soon repeat themselves, and every token would be a lucky one.
 */
export function continuePrompt(page, prompt, tokens, { guesses = 0, limitSeconds = 400 } = {}) {
  return within(limitSeconds, `${tokens} tokens`, page.evaluate(async ([prompt, tokens, promptLookupTokens]) => {
    const { usage, timing } = await window.eyas.chat({ prompt }, { maxTokens: tokens, promptLookupTokens });
    return { ...usage, ...timing };
  }, [prompt, tokens, guesses]));
}

export async function closePage(page) {
  await page.evaluate(() => window.eyas?.dispose());
  await page.close();
}

/**
 * One repeat in a fresh page. `label` names model and device in the table; a step that the budget does not allow, as far as
 * the steps before it tell, is left out with a note. Returns bytes of weights and of cache per token.
 */
export async function measureGeneration({ lab, report, budget }, { model, label, device, promptKind, prompts, contexts, tokens }) {
  const longest = Math.max(WARM_UP_TOKENS, ...prompts, ...contexts);
  // How long the context of a given model may be is not known before it is loaded: it takes its own length then.
  const contextTokens = promptKind === "letters" ? longest + 2 * tokens : undefined;
  const { page, info } = await openModel(lab, { model, device, contextTokens });
  let secondsPerToken = 0;
  let secondsPerAnswer = 0;
  let before = 0;
  const run = async (pieces, generated) => {
    const worker = workerSeconds();
    const { value, conditions } = await underConditions(() => continuePrompt(page, pieces.join(""), generated));
    const cpuSeconds = device === "cpu" && worker !== undefined ? workerSeconds() - worker : undefined;
    const fresh = value.promptTokens - value.cachedTokens;
    // A prompt whose tokens are cached but for one takes a token's time, of which a long prompt's tokens take a part.
    secondsPerToken = fresh >= LEAST_FRESH_TOKENS ? value.prefillMs / 1000 / fresh : secondsPerToken;
    secondsPerAnswer = value.decodeMs / 1000 / Math.max(1, value.completionTokens - 1);
    return { ...value, fresh, cpuSeconds, conditions };
  };
  // Where other processes take the cores, this is nearer to what the machine gives when it is idle.
  const addByCpuTime = (name, count, cpuSeconds, conditions) => {
    if (cpuSeconds >= LEAST_CPU_SECONDS) {
      report.add({ group: label, name: `${name}, a second of CPU time`, unit: "tokens" }, count / cpuSeconds, conditions);
    }
  };
  const allowed = (what, newTokens, generated) => {
    if ((before + newTokens) * 1.1 + generated > info.contextTokens && promptKind !== "letters") {
      report.note(`${label}: ${what} was left out, the context has ${info.contextTokens} tokens`);
      return false;
    }
    const fits = budget.allows(newTokens * secondsPerToken + generated * secondsPerAnswer);
    if (!fits) {
      report.note(`${label}: ${what} was left out, it would take longer than the time budget`);
    }
    return fits;
  };
  try {
    const warmUp = await run(promptPieces(promptKind, WARM_UP_TOKENS, 1), Math.min(4, tokens)); // compiles, records and allocates
    const pieces = (length, seed) => promptPieces(promptKind, Math.ceil((length * WARM_UP_TOKENS) / warmUp.promptTokens), seed);
    for (const [index, length] of prompts.entries()) {
      if (allowed(`a prompt of ${length}`, length, 1)) {
        const { fresh, prefillMs, cpuSeconds, conditions } = await run(pieces(length, FIRST_SEED + index), 1);
        const name = `prefill, ${length} tokens`;
        report.add({ group: label, name, unit: "tokens/s" }, (fresh / prefillMs) * 1000, conditions);
        addByCpuTime(name, fresh, cpuSeconds, conditions);
      }
    }
    for (const context of contexts) {
      // The prompt goes on from the shorter one, whose keys and values are still there.
      if (allowed(`decode at ${context}`, context - before, tokens)) {
        const name = `decode at ${context}`;
        // The first tokens that come one by one are computed by code that the browser has not compiled for speed yet.
        await run(pieces(context, FIRST_SEED - 1), before === 0 ? tokens : 1);
        before = context;
        // The same prompt again: all but its last token is cached, so the worker computes one token at a time.
        const { completionTokens, decodeMs, cpuSeconds, conditions } = await run(pieces(context, FIRST_SEED - 1), tokens);
        if (completionTokens > 1) {
          report.add({ group: label, name, unit: "tokens/s", digits: 2 }, ((completionTokens - 1) / decodeMs) * 1000, conditions);
          addByCpuTime(name, completionTokens, cpuSeconds, conditions);
        } else {
          report.note(`${label}: the answer at ${context} ended at once`);
        }
      }
    }
    const { deviceBytes } = await page.evaluate(() => window.eyas.memory());
    return { weightBytes: info.memoryBytes, cacheBytesPerToken: (deviceBytes - info.memoryBytes) / info.contextTokens };
  } finally {
    await closePage(page);
  }
}
