// Which measurements are made, at which sizes, in which order.
import { Budget, TooSlow } from "./budget.mjs";
import { measureAsYouType } from "./measures/as_you_type.mjs";
import { measureBandwidth } from "./measures/bandwidth.mjs";
import { measureFollowUp } from "./measures/follow_up.mjs";
import { measureGeneration } from "./measures/generation.mjs";
import { measureGuesses, measureNanoGuesses } from "./measures/guesses.mjs";
import { measureHostCost } from "./measures/host_cost.mjs";
import { measureLoad, measureLoadOverLine } from "./measures/load_cost.mjs";
import { measureTierDecision } from "./measures/tier_decision.mjs";
import { measureTokenWork } from "./measures/token_work.mjs";

/** Sizes on a device that computes: the CPU, or a GPU that is one. */
const SIZES = {
  full: { seconds: 570, repeats: 3, prompts: [16, 128, 512, 1024], contexts: [128, 512, 1024, 2048], tokens: 32, histories: [128, 1024], utterances: 7, decisions: 200, hostTokens: 400 },
  quick: { seconds: 105, repeats: 1, prompts: [16, 128], contexts: [128, 512], tokens: 16, histories: [128, 512], utterances: 3, decisions: 50, hostTokens: 150 },
  long: { seconds: 1800, repeats: 1, prompts: [], contexts: [128, 2048], tokens: 32, histories: [], utterances: 0, decisions: 0, hostTokens: 0 },
  ratios: { seconds: 52, repeats: 1, prompts: [128], contexts: [128, 512], tokens: 16, histories: [], utterances: 0, decisions: 0, hostTokens: 0 },
};
/** On a software adapter a token of the whole model takes seconds; what needs length is measured on one layer of it. */
const SOFTWARE_GPU = {
  full: { prompts: [16, 128], contexts: [16, 128], tokens: 6, layerContexts: [128, 512, 1024, 2048], repeats: 1 },
  quick: { prompts: [16], contexts: [16], tokens: 4, layerContexts: [128, 512], repeats: 1 },
  long: { tokens: 16, layerContexts: [] },
};
/** The part of the time that the CPU may take where the GPU is measured too. */
const CPU_SHARE = { full: 0.55, quick: 0.55, long: 0.3, ratios: 0.8 };
/** The part of the rest that a software adapter may take for one layer, before it does the whole model. */
const LAYER_SHARE = 0.4;

/** The labels under which the random models are reported. */
export const LABELS = { q4: "CPU, q4", q8: "CPU, q8", gpu: "GPU, q4", layer: "GPU, q4, one layer", thin: "GPU, 30 thin layers" };

/** Runs steps one after another; a step that fails, or that no longer fits, is said and the others go on. */
class Steps {
  failures = 0;
  #seconds = new Map();

  constructor(report) {
    this.report = report;
  }

  /** `like` names an earlier step that took about as long, where this one did not run yet. */
  async run(name, budget, work, like = name) {
    if (!budget.allows(this.#seconds.get(name) ?? this.#seconds.get(like) ?? 0)) {
      this.report.note(`${name}: a repeat was left out, it would take longer than the time budget`);
      return undefined;
    }
    process.stderr.write(`${name} …\n`);
    const begin = performance.now();
    try {
      return await work();
    } catch (error) {
      const slow = error instanceof TooSlow;
      this.failures += slow ? 0 : 1;
      this.report.note(`${name} ${slow ? "was given up" : "FAILED"}: ${error.message.split("\n")[0]}`);
      return undefined;
    } finally {
      this.#seconds.set(name, (performance.now() - begin) / 1000);
    }
  }
}

/**
 * Runs the suite of a `mode` ("full", "quick", "long" or "ratios"). `models`: names that the lab serves, `{ q4, q8, thin, layer }` or
 * `{ given }`. Returns how many steps failed, and bytes of weights and cache per label.
 */
export async function runSuite({ lab, report, mode, models, devices, repeats }) {
  const sizes = SIZES[mode];
  const total = new Budget(sizes.seconds);
  const gpu = devices.includes("gpu") && lab.adapter !== undefined;
  if (devices.includes("gpu") && !gpu) {
    report.note("the GPU was left out: this Chromium has no WebGPU adapter");
  }
  const cpuTime = new Budget(sizes.seconds * (gpu ? CPU_SHARE[mode] : 1));
  const steps = new Steps(report);
  const bytes = {};
  const random = models.given === undefined;
  const loads = models.single && mode !== "long";
  const promptKind = random ? "letters" : "words";
  const generation = async (budget, label, given) => {
    const found = await steps.run(label, budget, () => measureGeneration({ lab, report, budget }, { label, promptKind, ...sizes, ...given }));
    bytes[label] = found ?? bytes[label];
  };
  const load = (budget, label, given) => steps.run(`load: ${label}`, budget, () => measureLoad({ lab, report }, { label, ...given }));

  // Counts are the same on every adapter, and what a test holds to the baseline: they come first.
  if (gpu && random && mode !== "long") {
    await steps.run("counts: thin", total, () => measureTokenWork({ lab, report }, { model: "thin", label: LABELS.thin, promptKind, tokens: 24 }));
  }
  for (let repeat = 0; repeat < (repeats ?? sizes.repeats); repeat += 1) {
    if (mode !== "ratios" || repeat === 0) {
      await steps.run("bandwidth", cpuTime, () => measureBandwidth({ lab, report }, { gpu: gpu && mode !== "ratios" }));
    }
    if (!devices.includes("cpu")) {
      continue;
    }
    const labels = random ? [["q4", LABELS.q4], ["q8", LABELS.q8]] : [["given", "CPU"]];
    for (const [model, label] of labels) {
      await generation(cpuTime, label, { model, device: "cpu", ...(mode === "ratios" && model === "q8" ? { prompts: [], contexts: [128] } : {}) });
    }
    const [[model, label]] = labels;
    if (loads) {
      await load(cpuTime, label, { model, device: "cpu" });
      if (mode === "full") {
        await steps.run(`load over a line: ${label}`, cpuTime, () => measureLoadOverLine({ lab, report }, { model, label, device: "cpu" }));
      }
    }
    if (sizes.histories.length > 0) {
      const messageTokens = 16;
      await steps.run(`follow-up: ${label}`, cpuTime, () => measureFollowUp({ lab, report, budget: cpuTime }, { model, label, device: "cpu", promptKind, histories: sizes.histories, messageTokens }));
    }
    if (sizes.decisions > 0) {
      await steps.run("tier decision", cpuTime, () => measureTierDecision({ lab, report }, { requests: sizes.decisions }));
    }
    if (sizes.utterances > 0) {
      await steps.run("as you type", cpuTime, () => measureAsYouType({ lab, report }, { utterances: sizes.utterances }));
      await steps.run("guesses", cpuTime, () => measureGuesses({ lab, report }, { model, label, tokens: 2 * sizes.tokens }));
      await steps.run("eyas-nano's guesses", cpuTime, () => measureNanoGuesses({ lab, report }));
    }
  }
  if (!gpu) {
    return { failures: steps.failures, bytes };
  }

  // What a host pays is measured where the GPU has next to nothing to do.
  if (random && sizes.hostTokens > 0) {
    for (let repeat = 0; repeat < (repeats ?? sizes.repeats); repeat += 1) {
      await steps.run("host cost", total, () => measureHostCost({ lab, report }, { model: "thin", label: LABELS.thin, promptKind, tokens: sizes.hostTokens }));
    }
  }
  if (mode === "ratios") {
    return { failures: steps.failures, bytes };
  }
  const label = random ? LABELS.gpu : "GPU";
  const model = random ? "q4" : "given";
  const software = lab.adapter.software ? SOFTWARE_GPU[mode] : undefined;
  if (software?.layerContexts.length > 0 && random) {
    await generation(new Budget(total.left() * LAYER_SHARE), LABELS.layer, { model: "layer", device: "gpu", tokens: 16, prompts: [], contexts: software.layerContexts });
  }
  for (let repeat = 0; repeat < (software?.repeats ?? repeats ?? sizes.repeats); repeat += 1) {
    await generation(total, label, { ...software, model, device: "gpu" });
  }
  if (mode === "long") {
    return { failures: steps.failures, bytes };
  }
  if (loads) {
    await load(total, label, { model, device: "gpu" });
  }
  await steps.run("counts: whole model", total, () => measureTokenWork({ lab, report }, { model, label, promptKind, tokens: software ? 4 : 24 }), label);
  await steps.run(`guesses: ${label}`, total, () => measureGuesses({ lab, report }, { model, label, device: "gpu", tokens: software ? 48 : 2 * sizes.tokens }));
  if (!lab.adapter.software) {
    await steps.run(`follow-up: ${label}`, total, () => measureFollowUp({ lab, report, budget: total }, { model, label, device: "gpu", promptKind, histories: sizes.histories, messageTokens: 16 }));
  }
  return { failures: steps.failures, bytes };
}
