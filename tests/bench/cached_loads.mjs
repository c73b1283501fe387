// A load from a library's own cache beside ours: the same model is loaded twice in one profile, each time by a new page. The benchmark of peers can't tell
// it: each of its runs begins with a fresh profile and loads once.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { dist, launchProfile } from "../browser/chromium.mjs";
import { startFileServer } from "../browser/file_server.mjs";
import { underConditions } from "./machine.mjs";

const MODEL = "smollm2-135m/smollm2-135m-q4_0.gguf";
const PAGE = '<!doctype html><meta charset="utf-8"><title>cached</title><script type="module">window.ready = true;</script>';

/** In the page: loads the model at a URL, and returns when it could answer. */
const LOADS = {
  eyas: async (model) => {
    const { load } = await import("/eyas/index.js");
    await load({ model, device: "cpu", contextTokens: 1024, store: "device" });
  },
  wllama: async (model) => {
    const { Wllama } = await import("/npm/@wllama/wllama/esm/index.min.js");
    const wllama = new Wllama({ default: "/npm/@wllama/wllama/esm/wasm/wllama.wasm" });
    await wllama.loadModelFromUrl(model, { n_ctx: 1024, n_threads: 1, useCache: true });
  },
};

/** Loads twice by a library in a profile of its own: seconds, the model's requests, and what the machine did meanwhile, of each load. */
async function twice(name, server, profile) {
  const context = await launchProfile(profile);
  const loads = [];
  try {
    for (let load = 0; load < 2; load += 1) {
      const page = await context.newPage();
      await page.goto(`${server.origin}/`);
      await page.waitForFunction("window.ready");
      const before = server.seen.length;
      const { value: ms, conditions } = await underConditions(() =>
        page.evaluate(`(async () => { const began = performance.now(); await (${LOADS[name]})(${JSON.stringify(`${server.origin}/models/${MODEL}`)}); return performance.now() - began; })()`),
      );
      const requests = server.seen.slice(before).filter(({ path, method }) => path.endsWith(".gguf") && method !== "HEAD").length;
      loads.push({ seconds: ms / 1000, requests, conditions });
      await page.close();
    }
  } finally {
    await context.close();
  }
  return loads;
}

/** Measures and prints; `work` has the peers' models and packages. */
export async function runCachedLoads(work) {
  const server = await startFileServer({ "": () => PAGE, eyas: dist, npm: join(work, "npm/node_modules"), models: join(work, "models") });
  try {
    for (const name of Object.keys(LOADS)) {
      const profile = mkdtempSync(join(tmpdir(), "eyas-cached-"));
      try {
        const told = (await twice(name, server, profile)).map(
          ({ seconds, requests, conditions }) => `${seconds.toFixed(2)} s (${requests} requests for the model, ${conditions.foreignCores.toFixed(1)} cores busy with other things)`,
        );
        console.log(`${name}: first load ${told[0]}, from its cache ${told[1]}`);
      } finally {
        rmSync(profile, { recursive: true, force: true, maxRetries: 5 });
      }
    }
  } finally {
    await server.close();
  }
}
