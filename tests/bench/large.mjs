// What loading a large model takes and holds: `pkg-scripts/bench --large`. A random model of some 505 MB is loaded from the network into the store and then
// from the store, on the CPU and on the GPU, in a profile on a disk; beside it a plain read of the same bytes from the same private file system, and one with a
// SHA-256 of each MiB.
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import os from "node:os";
import { basename, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

import { dist, here as browserTests, launchProfile } from "../browser/chromium.mjs";
import { startFileServer } from "../browser/file_server.mjs";
import { within } from "./budget.mjs";
import { machine, underConditions } from "./machine.mjs";
import { ensureRandomModel } from "./random_model.mjs";
import { Report } from "./report.mjs";

const here = dirname(fileURLToPath(import.meta.url));
const MEGA = 1e6;
/** A load may take so long on a machine that does other things. */
const SECONDS = 900;
const PAGE = `<!doctype html><meta charset="utf-8"><title>large</title><script type="module">
window.slim = await import("/eyas/slim.js");
window.metered = { worker: "/metered/worker.js", gpuWasm: "/eyas/eyas_gpu_bg.wasm", cpuWasm: "/eyas/eyas_cpu_bg.wasm" };
window.ready = true;
</script>`;
/** In a worker: reads the largest stored file MiB by MiB, with a digest of each or without. */
const READER = `
onmessage = async ({ data: hashes }) => {
  const root = await (await navigator.storage.getDirectory()).getDirectoryHandle("eyas-models");
  let largest;
  for await (const folder of root.values()) {
    for await (const file of folder.values()) {
      const { size } = await file.getFile();
      largest = !largest || size > largest.size ? { file, size } : largest;
    }
  }
  const handle = await largest.file.createSyncAccessHandle();
  const began = performance.now();
  for (let at = 0; at < largest.size; at += 1 << 20) {
    const bytes = new Uint8Array(Math.min(1 << 20, largest.size - at));
    handle.read(bytes, { at });
    if (hashes) await crypto.subtle.digest("SHA-256", bytes);
  }
  const ms = performance.now() - began;
  handle.close();
  postMessage({ ms, bytes: largest.size });
};`;

/** A load in the page: how long, and what it held at most. */
function load(page, model, device, store) {
  return page.evaluate(
    async ([model, device, store]) => {
      const tell = (name) =>
        new Promise((resolve) => {
          const channel = new BroadcastChannel(name);
          channel.onmessage = ({ data }) => {
            channel.close();
            resolve(data);
          };
          channel.postMessage("report");
        });
      let pageHeap = 0;
      const began = performance.now();
      const onProgress = () => {
        pageHeap = Math.max(pageHeap, performance.memory?.usedJSHeapSize ?? 0);
      };
      const eyas = await window.slim.load({ model, device, store, contextTokens: 256, assets: window.metered, onProgress });
      const ms = performance.now() - began;
      const { wasmBytes } = await eyas.memory();
      const { peakHeapBytes } = await tell("heap-meter");
      const { peakBufferBytes } = await tell("gpu-meter");
      const { memoryBytes, storage } = eyas.info;
      await eyas.dispose();
      return { ms, wasmBytes, heapBytes: pageHeap + peakHeapBytes, gpuBytes: peakBufferBytes, memoryBytes, fetchedBytes: storage.fetchedBytes };
    },
    [model, device, store],
  );
}

/** Measures, prints the table, and writes it with all runs into `results`. Returns the exit status. */
export async function runLarge({ devices = ["cpu", "gpu"], repeats = 1, models, results, json }) {
  const path = ensureRandomModel(models, "large-29-layers", "q8_0");
  const { size } = statSync(path);
  const metered = () => [join(browserTests, "gpu_meter.js"), join(here, "page/heap_meter.js"), join(dist, "worker.js")].map((file) => readFileSync(file, "utf8")).join("\n");
  const server = await startFileServer({ "": () => PAGE, eyas: dist, models, metered: (name) => (name === "worker.js" ? metered() : undefined) });
  const report = new Report();
  const meta = { started: new Date().toISOString(), modelBytes: size, ...machine(), loadAverageAtStart: os.loadavg()[0] };
  let failures = 0;
  for (let repeat = 0; repeat < repeats; repeat += 1) {
    for (const device of devices) {
      const profile = mkdtempSync(join(os.tmpdir(), "eyas-large-"));
      const context = await launchProfile(profile, { gpu: device === "gpu", moreFlags: ["--enable-precise-memory-info"] });
      try {
        const page = await context.newPage();
        await page.goto(`${server.origin}/`);
        await page.waitForFunction("window.ready");
        if (device === "gpu" && !(await page.evaluate(async () => Boolean(await navigator.gpu?.requestAdapter())))) {
          report.note("the GPU was left out: this Chromium has no WebGPU adapter");
          continue;
        }
        const model = `${server.origin}/models/${basename(path)}`;
        const times = {};
        for (const [from, store] of [["network, not kept", "none"], ["network", "device"], ["store", "device"]]) {
          process.stderr.write(`${device}, from the ${from} …\n`);
          const { value: loaded, conditions } = await underConditions(() => within(SECONDS, "a load", load(page, model, device, store)));
          times[from] = loaded.ms;
          const add = (name, value, unit, digits = 0) => report.add({ group: `${device}, from the ${from}`, name, unit, digits }, value, conditions);
          add("load", loaded.ms / 1000, "s", 1);
          add("weights, cache and buffers", loaded.memoryBytes / MEGA, "MB");
          add("WASM memory at most", loaded.wasmBytes / MEGA, "MB");
          add("JavaScript's heaps at most", loaded.heapBytes / MEGA, "MB", 1);
          add("GPU buffers at most", loaded.gpuBytes / MEGA, "MB");
          const held = loaded.wasmBytes + loaded.heapBytes - (device === "cpu" ? loaded.memoryBytes : 0);
          add(device === "cpu" ? "WASM memory and heaps beyond the weights" : "WASM memory and heaps", held / MEGA, "MB", 1);
          if ((from === "store") !== (loaded.fetchedBytes === 0)) {
            failures += 1;
            report.note(`${device}, from the ${from}: ${loaded.fetchedBytes} bytes came over the network`);
          }
        }
        for (const [name, hashes] of [["a plain read", false], ["a read with SHA-256", true]]) {
          const { value: read, conditions } = await underConditions(() =>
            page.evaluate(
              ([script, hashes]) =>
                new Promise((resolve, reject) => {
                  const worker = new Worker(URL.createObjectURL(new Blob([script], { type: "text/javascript" })));
                  worker.onerror = ({ message }) => reject(new Error(message));
                  worker.onmessage = ({ data }) => {
                    worker.terminate();
                    resolve(data);
                  };
                  worker.postMessage(hashes);
                }),
              [READER, hashes],
            ),
          );
          const group = `${device}, beside it`;
          report.add({ group, name: `${name} of the same bytes`, unit: "s", digits: 2 }, read.ms / 1000, conditions);
          report.add({ group, name: `load from the store over ${name}`, unit: "×", digits: 2 }, times.store / read.ms, conditions);
        }
      } finally {
        await context.close();
        rmSync(profile, { recursive: true, force: true, maxRetries: 5 });
      }
    }
  }
  await server.close();
  mkdirSync(results, { recursive: true });
  const all = `${JSON.stringify({ meta: { ...meta, ended: new Date().toISOString(), loadAverageAtEnd: os.loadavg()[0] }, notes: report.notes(), rows: report.rows() }, undefined, 1)}\n`;
  for (const target of [join(results, "large.json"), json].filter(Boolean)) {
    writeFileSync(target, all);
  }
  writeFileSync(join(results, "large.md"), `${report.table({ markdown: true })}\n`);
  console.log(`\n${Math.round(size / MEGA)} MB of random weights, q8_0; ${meta.cpu}, ${meta.cores} cores; load average ${meta.loadAverageAtStart.toFixed(1)} at the start\n\n${report.table()}\n`);
  return failures > 0 || report.rows().length === 0 ? 1 : 0;
}
