// Time to the first token of a message that follows a long conversation: it should depend on the new tokens only.
import { within } from "../budget.mjs";
import { underConditions } from "../machine.mjs";
import { promptText } from "../prompt.mjs";
import { closePage, continuePrompt, openModel } from "./generation.mjs";

const WARM_UP_PIECES = 16;

/** One repeat in a fresh page: conversations of several lengths, each followed by messages of one length. */
export async function measureFollowUp({ lab, report, budget }, { model, label, device, promptKind, histories, messageTokens }) {
  const needed = (history) => history + 8 * messageTokens + 128;
  const contextTokens = promptKind === "letters" ? needed(Math.max(...histories)) : undefined;
  const { page, info } = await openModel(lab, { model, device, contextTokens });
  let secondsPerToken = 0;
  try {
    if (!info.hasChatTemplate) {
      report.note(`${label}: follow-up messages were left out, the model has no chat template`);
      return;
    }
    const { promptTokens: warmUpTokens } = await continuePrompt(page, promptText(promptKind, WARM_UP_PIECES, 1), 1);
    for (const [index, history] of histories.entries()) {
      if (needed(history) > info.contextTokens) {
        report.note(`${label}: a conversation of ${history} tokens was left out, the context has ${info.contextTokens} tokens`);
        continue;
      }
      if (!budget.allows(history * secondsPerToken)) {
        report.note(`${label}: a conversation of ${history} tokens was left out, it would take longer than the time budget`);
        continue;
      }
      const texts = [history, messageTokens, messageTokens].map((tokens, turn) => promptText(promptKind, Math.ceil((tokens * WARM_UP_PIECES) / warmUpTokens), 100 * (index + 1) + turn));
      const { value: turns, conditions } = await underConditions(() => within(300, "a conversation", page.evaluate(async (texts) => {
        const session = window.eyas.session();
        const turns = [];
        for (const text of texts) {
          const { usage, timing } = await session.send(text, { maxTokens: 1 });
          turns.push({ newTokens: usage.promptTokens - usage.cachedTokens, promptTokens: usage.promptTokens, ms: timing.firstTokenMs });
        }
        await session.dispose();
        return turns;
      }, texts)));
      secondsPerToken = turns[0].ms / 1000 / turns[0].newTokens;
      // The first follow-up meets shapes that are new to the engine; the second one is what a conversation feels like.
      const { newTokens, promptTokens, ms } = turns[2];
      report.add({ group: label, name: `follow-up behind ${history} tokens: first token`, unit: "ms" }, ms, { ...conditions, newTokens, promptTokens });
      report.add({ group: label, name: `follow-up behind ${history} tokens: new tokens`, unit: "tokens", digits: 0 }, newTokens, conditions);
    }
  } finally {
    await closePage(page);
  }
}
