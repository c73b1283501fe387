// A Chromium that is driven by nothing but its own DevTools protocol, over a pipe. Playwright keeps every page focused and visible, and such a page can't
// be frozen.
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** Starts it; `send(method, params, sessionId)` asks the protocol, and `open(url)` gives a page with `send` and `evaluate(function, …arguments)`. */
export function startBareChromium(executablePath, args) {
  const profile = mkdtempSync(join(tmpdir(), "eyas-bare-"));
  const all = ["--headless", "--remote-debugging-pipe", `--user-data-dir=${profile}`, ...args, "about:blank"];
  const browser = spawn(executablePath, all, { stdio: ["ignore", "ignore", "ignore", "pipe", "pipe"] });
  const ended = new Promise((resolve) => browser.on("exit", resolve));
  const [, , , input, output] = browser.stdio;
  const waiting = new Map();
  let lastId = 0;
  let pending = "";
  output.setEncoding("utf8").on("data", (text) => {
    const messages = (pending + text).split("\0");
    pending = messages.pop();
    for (const { id, result, error } of messages.map((message) => JSON.parse(message))) {
      const asked = waiting.get(id);
      waiting.delete(id);
      error ? asked?.reject(new Error(error.message)) : asked?.resolve(result);
    }
  });
  const send = (method, params = {}, sessionId = undefined) =>
    new Promise((resolve, reject) => {
      lastId += 1;
      waiting.set(lastId, { resolve, reject });
      input.write(`${JSON.stringify({ id: lastId, method, params, sessionId })}\0`);
    });
  return {
    send,
    async open(url) {
      const { targetId } = await send("Target.createTarget", { url });
      const { sessionId } = await send("Target.attachToTarget", { targetId, flatten: true });
      const evaluate = async (work, ...given) => {
        const expression = `(${work})(...${JSON.stringify(given)})`;
        const { result, exceptionDetails } = await send("Runtime.evaluate", { expression, awaitPromise: true, returnByValue: true }, sessionId);
        if (exceptionDetails) {
          throw new Error(exceptionDetails.exception?.description ?? exceptionDetails.text);
        }
        return result.value;
      };
      return { evaluate, send: (method, params) => send(method, params, sessionId) };
    },
    async close() {
      browser.kill("SIGKILL");
      await ended;
      await removed(profile);
    },
  };
}

/** Removes a killed browser's profile. Its other processes may still write there for a while, and what they write `maxRetries` would not remove. */
async function removed(profile) {
  for (let left = 50; ; left -= 1) {
    try {
      return rmSync(profile, { recursive: true, force: true });
    } catch (error) {
      if (left === 0) {
        throw error;
      }
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  }
}
