// Time to the first token of a message that follows a long conversation: it should depend on the new tokens only.
import { within } from "../budget.mjs";
import { underConditions } from "../machine.mjs";
import { promptText } from "../prompt.mjs";
import { closePage, openModel } from "./generation.mjs";

/** One repeat in a fresh page: conversations of several lengths, each followed by messages of one length. */
export async function measureFollowUp({ lab, report, budget }, { model, label, device, promptKind, histories, messageTokens }) {
  const contextTokens = Math.ceil((Math.max(...histories) + 4 * messageTokens) * (promptKind === "letters" ? 1 : 1.5)) + 256;
  const { page, info } = await openModel(lab, { model, device, contextTokens });
  let secondsPerToken = 0;
  try {
    if (!info.hasChatTemplate) {
      report.note(`${label}: follow-up messages were left out, the model has no chat template`);
      return;
    }
    for (const [index, history] of histories.entries()) {
      if (!budget.allows(history * secondsPerToken)) {
        report.note(`${label}: a conversation of ${history} tokens was left out, it would take longer than the time budget`);
        continue;
      }
      const texts = [history, messageTokens, messageTokens].map((tokens, turn) => promptText(promptKind, tokens, 100 * (index + 1) + turn));
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
