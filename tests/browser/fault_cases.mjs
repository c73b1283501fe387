// What becomes of each fault of the cloud, against any server behind the fault proxy.
import assert from "node:assert/strict";

/** Faults that end by the idle timeout only. The others get so long a one that a busy machine does not run into it. */
const SILENT = ["stall", "silence", "hang"];
const retryOf = (plan) => ({ idleTimeoutMs: SILENT.includes(plan) ? 10_000 : 90_000, totalTimeoutMs: 180_000 });

/** What recovers, or how it ends: faults in turn, the text or the code, attempts that reach the proxy. */
export const faultCases = (text) => [
  ["none", text, 1],
  ["drip", text, 1],
  ["429-seconds", text, 2],
  ["429-ms", text, 2],
  ["429-date", text, 2],
  ["429-hour", "cloud-http", 1],
  ["500", text, 2],
  ["500,500,500,500", "cloud-http", 3],
  ["401", text, 2],
  ["401,401", "cloud-refused", 2],
  ["redirect,redirect,redirect", "cloud-http", 3],
  ["reset", "cloud-truncated", 1],
  ["truncated", "cloud-truncated", 1],
  ["stall", "cloud-timeout", 1],
  ["silence", text, 2],
  ["hang", text, 2],
  ["garbage", "cloud-refused", 1],
  ["html", "cloud-refused", 1],
  ["huge", "cloud-refused", 1],
  ["nocors,nocors,nocors", "cloud-http", 3],
];

/**
 * Runs one case in a page that has `window.eyas` and `window.outcome`, on an engine without a model of its own (`nowhere`), and returns a line
 * that says what came of it. `text` is what the server answers.
 */
export async function runFaultCase(page, proxy, { model, nowhere, text, fault: [plan, expected, attempts], options = {} }) {
  const before = { count: proxy.seen.length, bytes: proxy.bytes() };
  const seen = await page.evaluate(
    async ([endpoint, model, retry, nowhere, options]) => {
      let tokens = 0;
      const getToken = async () => `token-${++tokens}`;
      const eyas = await window.eyas.load({ model: nowhere, cloud: { endpoint, model, getToken, retry } });
      const stream = eyas.stream([{ role: "user", content: "Grüße an den Vogel" }], options);
      let shown = "";
      const { error } = await window.outcome((async () => { for await (const delta of stream) shown += delta; })());
      const { value } = await window.outcome(stream.result());
      const bytes = eyas.ledger.totalBytes;
      const entries = eyas.ledger.entries();
      await eyas.dispose();
      return { shown, error, value, bytes, entries, tokens, info: eyas.info };
    },
    [`${proxy.origin}/${plan}/v1`, model, retryOf(plan), nowhere, options],
  );
  const context = `${plan}: ${JSON.stringify(seen)}`;
  assert.equal(seen.error?.code ?? seen.value.text, expected, context);
  const reached = proxy.seen.slice(before.count);
  assert.equal(reached.length, attempts, context);
  assert.equal(seen.entries.length, attempts, context);
  assert.equal(seen.bytes, proxy.bytes() - before.bytes, context);
  assert.deepEqual(seen.entries.map(({ bytes }) => bytes), reached.map(({ bytes }) => bytes), context);
  assert.ok(seen.entries.every(({ origin, reason }) => origin === proxy.origin && reason === "cannot"), context);
  assert.ok(seen.entries.every(({ outcome }) => outcome !== "sent"), context);
  assert.ok(reached.every(({ headers }) => headers.cookie === undefined && headers.referer === undefined), context);
  assert.equal(reached.at(-1).headers.authorization, `Bearer token-${seen.tokens}`, context);
  assert.equal(seen.tokens, plan.startsWith("401") ? 2 : 1, context);
  assert.equal(seen.info.device.kind, "none");
  // The engine lets every connection go, one that never got a head and one whose answer would never end included.
  const cutOff = await Promise.all(reached.map(({ ended }) => ended));
  assert.ok(cutOff[0] || !SILENT.includes(plan), context);
  if (seen.value) {
    const { provenance, usage } = seen.value;
    assert.equal(seen.shown, text);
    assert.deepEqual([provenance.tier, provenance.reason, provenance.bytesSent, provenance.attempts], ["cloud", "cannot", seen.bytes, attempts]);
    assert.match(provenance.detail, /model-not-found/);
    assert.ok(usage.promptTokens > 0 && usage.completionTokens > 0, context);
  }
  return `${plan}: ${expected === text ? "answered" : expected} after ${attempts} attempts, ${seen.bytes} bytes`;
}
