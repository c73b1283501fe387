// What the tests of stored models start from: eyas-nano's files, a server for them whose faults a test can set, and Chromium.
import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";

import { dist, startLab } from "./chromium.mjs";
import { startModelServer } from "./model_server.mjs";

/** Bytes of a piece that the store checks by itself. */
export const CHUNK = 2 ** 20;
export const PROMPT = "play some jazz by miles davis";
export const WEIGHTS = "model.safetensors";

/** eyas-nano: its folder, the names of its files, and the bytes that a load of it fetches. */
export const folder = join(dist, "models/eyas-nano");
export const names = readdirSync(folder).filter((name) => name !== "README.md");
export const totalBytes = names.reduce((sum, name) => sum + statSync(join(folder, name)).size, 0);
export const weights = readFileSync(join(folder, WEIGHTS));

export const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** Whole numbers below what is asked for, the same in each run. */
export function seeded(seed) {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

/** Chromium, the server of the model at `/nano/`, and what ends both. */
export async function startStoreLab() {
  const [lab, server] = await Promise.all([startLab(), startModelServer({ nano: folder })]);
  return { lab, server, close: () => Promise.all([lab.close(), server.close()]) };
}
