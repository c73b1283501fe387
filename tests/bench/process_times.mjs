// CPU times and memory of processes and threads, as Linux reports them in /proc; elsewhere there is nothing to read.
import { execFileSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";

export const haveProc = existsSync("/proc/self/stat");
const ticksPerSecond = haveProc ? Number(execFileSync("getconf", ["CLK_TCK"])) : Number.NaN;

/** The fields of a `stat` file behind the name, which may hold spaces; undefined where the process has ended. */
function statFields(path) {
  try {
    const text = readFileSync(path, "utf8");
    return { name: text.slice(text.indexOf("(") + 1, text.lastIndexOf(")")), fields: text.slice(text.lastIndexOf(")") + 2).split(" ") };
  } catch {
    return undefined;
  }
}

const PARENT = 1;
const USER_TICKS = 11;
const SYSTEM_TICKS = 12;
const seconds = (stat) => (stat ? (Number(stat.fields[USER_TICKS]) + Number(stat.fields[SYSTEM_TICKS])) / ticksPerSecond : 0);

/** This process and all that it started, directly or not. */
function ownProcesses() {
  const children = new Map();
  for (const id of readdirSync("/proc").filter((name) => /^\d+$/.test(name))) {
    const parent = statFields(`/proc/${id}/stat`)?.fields[PARENT];
    children.set(parent, [...(children.get(parent) ?? []), id]);
  }
  const found = [String(process.pid)];
  for (let at = 0; at < found.length; at += 1) {
    found.push(...(children.get(found[at]) ?? []));
  }
  return found;
}

/** Seconds of CPU time that this process and all that it started have taken; NaN without /proc. */
export function ownSeconds() {
  return haveProc ? ownProcesses().reduce((sum, id) => sum + seconds(statFields(`/proc/${id}/stat`)), 0) : Number.NaN;
}

/** Seconds of CPU time that the whole machine has taken; NaN without /proc. */
export function machineSeconds() {
  if (!haveProc) {
    return Number.NaN;
  }
  const [user, nice, system, , , interrupts, soft, stolen] = readFileSync("/proc/stat", "utf8").split("\n", 1)[0].trim().split(/\s+/).slice(1).map(Number);
  return (user + nice + system + interrupts + soft + (stolen ?? 0)) / ticksPerSecond;
}

const ofKind = (kind) => ownProcesses().filter((id) => {
  try {
    return readFileSync(`/proc/${id}/cmdline`, "utf8").includes(`--type=${kind}`);
  } catch {
    return false;
  }
});

/** Seconds of CPU time of all dedicated workers of the browser that this process started; undefined without /proc. */
export function workerSeconds() {
  if (!haveProc) {
    return undefined;
  }
  const threads = ofKind("renderer").flatMap((id) => readdirSync(`/proc/${id}/task`).map((thread) => statFields(`/proc/${id}/task/${thread}/stat`)));
  return threads.filter((thread) => thread?.name.startsWith("DedicatedWorker")).reduce((sum, thread) => sum + seconds(thread), 0);
}

/** The most bytes that a process of a kind ("renderer", "gpu-process") has held resident; undefined without /proc. */
export function peakResidentBytes(kind) {
  if (!haveProc) {
    return undefined;
  }
  const peaks = ofKind(kind).map((id) => {
    try {
      return Number(/VmHWM:\s+(\d+) kB/.exec(readFileSync(`/proc/${id}/status`, "utf8"))?.[1] ?? 0) * 1024;
    } catch {
      return 0;
    }
  });
  return Math.max(0, ...peaks);
}
