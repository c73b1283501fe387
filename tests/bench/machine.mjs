// The machine, and what else ran on it meanwhile.
import os from "node:os";

import { machineSeconds, ownSeconds } from "./process_times.mjs";

/** What the machine is. */
export function machine() {
  const [cpu] = os.cpus();
  return { cpu: cpu?.model.trim() ?? "unknown", cores: os.cpus().length, memoryGib: Math.round((os.totalmem() / 2 ** 30) * 10) / 10, system: `${os.type()} ${os.release()} ${os.arch()}`, node: process.version };
}

/** Runs `work` and returns what it returned with the conditions under which it ran. */
export async function underConditions(work) {
  const begin = { time: performance.now(), machine: machineSeconds(), own: ownSeconds() };
  const value = await work();
  const wall = (performance.now() - begin.time) / 1000;
  const own = (ownSeconds() - begin.own) / wall;
  const foreign = Math.max(0, (machineSeconds() - begin.machine) / wall - own);
  return { value, conditions: { wallSeconds: wall, loadAverage: os.loadavg()[0], ownCores: own, foreignCores: foreign } };
}
