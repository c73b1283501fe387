// What guessed tokens bring: an answer that repeats itself, with and without them, and how often they come true in eyas-nano's own task.
import { within } from "../budget.mjs";
import { underConditions } from "../machine.mjs";
import { workerSeconds } from "../process_times.mjs";
import { closePage, continuePrompt, openModel } from "./generation.mjs";

const REPEATED = "abcdefgh ".repeat(12);
const UTTERANCES = ["book a table for two at a sushi place in oslo", "play kind of blue by miles davis on spotify", "add blue in green to my jazz playlist", "will it rain in bergen on friday", "rate the current book four of six stars", "find the movie schedule for the cinemas nearby"];

/** One repeat: `tokens` of a model that continues what repeats itself, which random weights do too. */
export async function measureGuesses({ lab, report }, { model, label, tokens, device = "cpu" }) {
  const { page } = await openModel(lab, { model, device, contextTokens: REPEATED.length + 2 * tokens });
  try {
    // On a GPU the first guess takes its time: its step is recorded, and compared with steps of one token.
    await continuePrompt(page, REPEATED, device === "gpu" ? 20 : 8, { guesses: 7 });
    for (const guesses of [0, 7]) {
      const begin = workerSeconds();
      const { value, conditions } = await underConditions(() => continuePrompt(page, REPEATED, tokens, { guesses }));
      const name = `an answer that repeats itself, ${guesses === 0 ? "without guesses" : "with guesses"}`;
      report.add({ group: label, name, unit: "tokens/s" }, value.tokensPerSecond, conditions);
      if (begin !== undefined && device === "cpu") {
        report.add({ group: label, name: `${name}, a second of CPU time`, unit: "tokens" }, value.completionTokens / (workerSeconds() - begin), conditions);
      }
      if (value.draftedTokens > 0) {
        report.add({ group: label, name: "of its guessed tokens, those that came true", unit: "%" }, (100 * value.acceptedTokens) / value.draftedTokens, conditions);
      }
    }
  } finally {
    await closePage(page);
  }
}

/** One repeat: eyas-nano's answers to a few utterances, with and without guesses. */
export async function measureNanoGuesses({ lab, report }) {
  const page = await lab.page();
  try {
    const { value, conditions } = await underConditions(() => within(120, "eyas-nano's guesses", page.evaluate(async (utterances) => {
      window.eyas = await window.slim.load({ model: window.nano, device: "cpu", assets: window.assets });
      const seen = { drafted: 0, accepted: 0, tokens: 0, ms: {} };
      const ask = async (text, promptLookupTokens) => {
        const begin = performance.now();
        const { usage } = await window.eyas.chat(text, { promptLookupTokens });
        return { usage, ms: performance.now() - begin };
      };
      for (let round = 0; round < 6; round += 1) {
        for (const text of utterances) {
          // The first round is for the browser's compilers.
          for (const guesses of round % 2 === 0 ? [0, 7] : [7, 0]) {
            const { usage, ms } = await ask(text, guesses);
            if (round === 0) continue;
            seen.drafted += usage.draftedTokens;
            seen.accepted += usage.acceptedTokens;
            seen.tokens += guesses > 0 ? usage.completionTokens : 0;
            seen.ms[guesses] = (seen.ms[guesses] ?? 0) + ms;
          }
        }
      }
      return seen;
    }, UTTERANCES)));
    const group = "eyas-nano, CPU";
    report.add({ group, name: "guessed tokens that came true, of all tokens of the answers", unit: "%" }, (100 * value.accepted) / value.tokens, conditions);
    report.add({ group, name: "guessed tokens that came true, of those guessed", unit: "%" }, value.drafted > 0 ? (100 * value.accepted) / value.drafted : 0, conditions);
    report.add({ group, name: "time of answers without guesses over that with them", unit: "×", digits: 2 }, value.ms[0] / value.ms[7], conditions);
  } finally {
    await closePage(page);
  }
}
