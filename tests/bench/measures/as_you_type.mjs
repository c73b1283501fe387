// eyas-nano on the CPU path behind every keystroke: each key cancels the answer to the text before it and asks again.
import { within } from "../budget.mjs";
import { underConditions } from "../machine.mjs";
import { median, percentile } from "../statistics.mjs";

const UTTERANCES = ["play some jazz", "rain in oslo", "book a table for two", "add this song", "play miles davis", "weather on friday", "four stars"];
const KEY_INTERVAL_MS = 80;

/** One repeat. A key whose answer is cancelled by the next one waits until that one's answer is complete. Types `utterances` of them. */
export async function measureAsYouType({ lab, report }, { utterances = UTTERANCES.length } = {}) {
  const page = await lab.page();
  try {
    const { value: seen, conditions } = await underConditions(() => within(120, "typing", page.evaluate(async ([utterances, interval]) => {
      const eyas = await window.slim.load({ model: window.nano, device: "cpu", assets: window.assets });
      const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
      const whole = [];
      const waits = [];
      const waiting = []; // the keys that have no answer yet, neither to their own text nor to a later one
      let keys = 0;
      let kept = 0;
      let current;
      const press = (text) => {
        current?.abort();
        const own = new AbortController();
        current = own;
        const key = keys;
        waiting.push({ key, pressed: performance.now() });
        return eyas.chat(text, { signal: own.signal }).then(
          ({ usage }) => {
            kept += 1;
            const now = performance.now();
            while (waiting[0]?.key <= key) {
              waits.push(now - waiting.shift().pressed);
            }
            return usage.promptTokens;
          },
          (error) => {
            if (!own.signal.aborted) {
              throw error;
            }
          },
        );
      };
      await eyas.chat(utterances[0]);
      for (const text of utterances) {
        let last;
        for (let end = 1; end <= text.length; end += 1) {
          last = press(text.slice(0, end));
          keys += 1;
          await pause(interval);
        }
        whole.push(await last);
        current = undefined;
      }
      // Every key comes while the answer to the one before is under way.
      const restarted = [];
      for (const text of utterances) {
        for (let end = 2; end <= text.length; end += 1) {
          const early = new AbortController();
          const cancelled = eyas.chat(text.slice(0, end - 1), { signal: early.signal }).catch((error) => error);
          await pause(2);
          const start = performance.now();
          early.abort();
          await eyas.chat(text.slice(0, end));
          restarted.push(performance.now() - start);
          await cancelled;
        }
      }
      await eyas.dispose();
      return { waits, restarted, keys, kept, whole };
    }, [UTTERANCES.slice(0, utterances), KEY_INTERVAL_MS])));
    const group = "CPU, eyas-nano typed";
    for (const [name, times] of [["typed", seen.waits], ["cancelled and restarted", seen.restarted]]) {
      report.add({ group, name: `${name}: key to answer, 50th percentile`, unit: "ms" }, percentile(times, 50), conditions);
      report.add({ group, name: `${name}: key to answer, 95th percentile`, unit: "ms" }, percentile(times, 95), conditions);
    }
    report.add({ group, name: `keys answered before the next one, ${KEY_INTERVAL_MS} ms later`, unit: "%", digits: 0 }, (seen.kept / seen.keys) * 100, conditions);
    report.add({ group, name: "whole utterance, template included", unit: "tokens", digits: 0 }, median(seen.whole), conditions);
  } finally {
    await page.close();
  }
}
