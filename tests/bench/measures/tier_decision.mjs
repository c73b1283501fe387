// What it costs an answer of the device that a server might have answered instead: the same requests, with and without one.
import { within } from "../budget.mjs";
import { underConditions } from "../machine.mjs";
import { median } from "../statistics.mjs";

/** One repeat: `requests` of one token to each of two engines, in turn. Nothing is sent; the server's address leads nowhere. */
export async function measureTierDecision({ lab, report }, { requests }) {
  const page = await lab.page();
  try {
    const { value: times, conditions } = await underConditions(() => within(120, "tier decisions", page.evaluate(async (requests) => {
      const load = (more) => window.slim.load({ model: window.nano, device: "cpu", assets: window.assets, ...more });
      const alone = await load({});
      let either;
      try {
        either = await load({ cloud: { endpoint: "http://127.0.0.1:9/v1", model: "none" }, privacy: "prefer-local" });
      } catch (error) {
        await alone.dispose();
        if (error.code === "bad-input") {
          return undefined; // a package without tiers
        }
        throw error;
      }
      const times = { alone: [], either: [], sent: 0 };
      for (let request = 0; request < requests + 5; request += 1) {
        for (const [name, eyas] of [["alone", alone], ["either", either]]) {
          const start = performance.now();
          const { provenance } = await eyas.chat("play some jazz", { maxTokens: 1 });
          const ms = performance.now() - start;
          times.sent += provenance.bytesSent;
          if (request >= 5) {
            times[name].push(ms);
          }
        }
      }
      await Promise.all([alone.dispose(), either.dispose()]);
      return times;
    }, requests)));
    if (times === undefined) {
      report.note("the tier decision was left out: the built package knows no cloud");
      return;
    }
    if (times.sent !== 0) {
      throw new Error(`${times.sent} bytes left the device though it could answer`);
    }
    const group = "CPU, eyas-nano";
    report.add({ group, name: "answer of one token, no server", unit: "ms", digits: 2 }, median(times.alone), conditions);
    report.add({ group, name: "the same where a server may answer", unit: "ms", digits: 2 }, median(times.either), conditions);
  } finally {
    await page.close();
  }
}
