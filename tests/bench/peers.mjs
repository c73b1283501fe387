// Our package beside other libraries, through the benchmark of peers that lies outside the repository.
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync } from "node:fs";
import { join } from "node:path";

import { dist, root, shared } from "../browser/chromium.mjs";
import { runCachedLoads } from "./cached_loads.mjs";
import { writeAdapter } from "./write_adapter.mjs";

const DEFAULT = "wllama-cpu,tjs-wasm,llamacpp-native";

/** Runs it; returns the exit status. Says on the screen what is missing, where something is. */
export async function runPeers({ names, repeats = 1, devices = ["cpu"], results }) {
  const script = join(shared, "bench/peers/run.mjs");
  const work = process.env.BENCH;
  const missing = [
    [existsSync(script), `${script} is not there`],
    [work !== undefined, "BENCH is not set: it names the folder with the peers' models and packages"],
    [work !== undefined && existsSync(join(work, "models/smollm2-135m/smollm2-135m-q4_0.gguf")), "$BENCH/models has no smollm2-135m"],
    [work !== undefined && existsSync(join(work, "npm/node_modules")), "$BENCH/npm has no node_modules"],
  ].find(([there]) => !there);
  if (missing) {
    console.log(`SKIP peers: ${missing[1]}`);
    return 0;
  }
  const own = [...(devices.includes("cpu") ? ["eyas-cpu", "eyas-cpu-base", "eyas-cpu-q8"] : []), ...(devices.includes("gpu") ? ["eyas-gpu"] : [])];
  const folder = join(root, ".eyas/adapters");
  for (const name of own) {
    writeAdapter(join(folder, name), dist);
  }
  mkdirSync(results, { recursive: true });
  const added = own.flatMap((name) => ["--add", `${name}=${join(folder, name)}`]);
  const { status } = spawnSync(process.execPath, [script, "--model", "smollm2-135m", ...added, "--peers", [...own, ...(names || DEFAULT).split(",")].join(","), "--repeats", String(repeats), "--json", join(results, "peers.json")], { stdio: "inherit" });
  if (devices.includes("cpu") && (names || DEFAULT).split(",").includes("wllama-cpu")) {
    await runCachedLoads(work);
  }
  return status ?? 1;
}
