// What a load takes beyond reading the same bytes, and what it holds at most.
import { readFileSync } from "node:fs";

import { startThrottledServer } from "../../browser/throttled_server.mjs";
import { within } from "../budget.mjs";
import { underConditions } from "../machine.mjs";
import { peakResidentBytes } from "../process_times.mjs";

const MEGA = 1e6;
/** A load warms a session up, whose cache would otherwise hide what the load itself holds. */
const CONTEXT_TOKENS = 512;

/** What many lines have (200 Mbit/s), and how long it takes to the server and back. */
const LINE = { name: "at 25 MB/s", limits: { sharedRate: 25 * MEGA, latencyMs: 40 } };

/** In a fresh page: milliseconds of reading the file by fetch, and of one pass over as many bytes, as a plain sum. */
async function readIn(page, url) {
  const read = await underConditions(() => within(120, "reading the file", page.evaluate(async (url) => {
    const start = performance.now();
    let bytes = 0;
    for (const reader = (await fetch(url)).body.getReader(); ; ) {
      const { done, value } = await reader.read();
      if (done) break;
      bytes += value.length;
    }
    const ms = performance.now() - start;
    const all = new Uint8Array(bytes).fill(1);
    const words = new Float64Array(all.buffer, 0, bytes >>> 3);
    const begin = performance.now();
    let [sum, other] = [0, 0];
    for (let at = 0; at + 1 < words.length; at += 2) {
      sum += words[at];
      other += words[at + 1];
    }
    return { ms, bytes, passMs: performance.now() - begin, sum: sum + other };
  }, url)));
  await page.close();
  return read;
}

/** One repeat over a line of a known rate: what stands before and behind the bytes is all that a load adds there. */
export async function measureLoadOverLine({ lab, report }, { model, label, device }) {
  const server = await startThrottledServer(new Map([["/model.gguf", readFileSync(lab.file(model))]]));
  try {
    server.limits = LINE.limits;
    const url = `${server.origin}/model.gguf`;
    const add = (name, unit, value, conditions, digits = 0) => report.add({ group: label, name: `${LINE.name}: ${name}`, unit, digits }, value, conditions);
    const { value: read, conditions: readConditions } = await readIn(await lab.page(), url);
    add("reading the file by fetch", "ms", read.ms, readConditions);
    const page = await lab.page();
    const { value: ms, conditions } = await underConditions(() => within(240, "loading", page.evaluate(async ([model, device, contextTokens]) => {
      const start = performance.now();
      const eyas = await window.slim.load({ model, device, contextTokens, assets: window.assets, store: "none" });
      const ms = performance.now() - start;
      await eyas.dispose();
      return ms;
    }, [url, device, CONTEXT_TOKENS])));
    await page.close();
    add("load", "ms", ms, conditions);
    add("load over reading the bytes and one pass over them", "×", ms / (read.ms + read.passMs), conditions, 2);
  } finally {
    await server.close();
  }
}

/** One repeat in fresh pages: the file read by fetch, then the same file loaded. Only for a model that is one file. */
export async function measureLoad({ lab, report }, { model, label, device }) {
  const add = (name, unit, value, conditions, digits = 0) => report.add({ group: label, name, unit, digits }, value, conditions);
  await readIn(await lab.page(), lab.url(model)); // the first large answer of a browser takes twice as long as others
  const { value: read, conditions: readConditions } = await readIn(await lab.page(), lab.url(model));
  add("reading the file by fetch", "ms", read.ms, readConditions);
  add("one pass over its bytes", "ms", read.passMs, readConditions);

  const page = await lab.page();
  try {
    const emptyBytes = peakResidentBytes("renderer");
    const { value: loaded, conditions } = await underConditions(() => within(240, "loading", page.evaluate(async ([url, device, contextTokens]) => {
      const gpuPeak = { bytes: 0 };
      const gpu = new BroadcastChannel("gpu-meter");
      gpu.onmessage = ({ data }) => {
        gpuPeak.bytes = Math.max(gpuPeak.bytes, data.peakBufferBytes ?? 0);
      };
      let pageHeap = 0;
      const began = {};
      const start = performance.now();
      const sample = () => {
        pageHeap = Math.max(pageHeap, performance.memory?.usedJSHeapSize ?? 0);
      };
      const eyas = await window.slim.load({
        model: url,
        device,
        contextTokens,
        assets: window.metered,
        store: "none", // what keeping it costs is measured by store_cost.mjs
        onProgress({ phase }) {
          sample();
          began[phase] ??= performance.now() - start;
        },
      });
      const ms = performance.now() - start;
      sample();
      const { wasmBytes } = await eyas.memory();
      const workerHeap = await new Promise((resolve) => {
        const channel = new BroadcastChannel("heap-meter");
        channel.onmessage = ({ data }) => resolve(data.peakHeapBytes);
        channel.postMessage("report");
      });
      const { memoryBytes } = eyas.info;
      await new Promise((resolve) => setTimeout(resolve, 50));
      await eyas.dispose();
      return { ms, began, wasmBytes, heapBytes: pageHeap + workerHeap, gpuBytes: gpuPeak.bytes, weightBytes: memoryBytes };
    }, [lab.url(model), device, CONTEXT_TOKENS])));
    const resident = peakResidentBytes("renderer");
    add("load", "ms", loaded.ms, conditions);
    add("load over reading the bytes and one pass over them", "×", loaded.ms / (read.ms + read.passMs), conditions, 2);
    const phases = Object.entries(loaded.began).sort(([, a], [, b]) => a - b);
    for (const [index, [phase, ms]] of phases.entries()) {
      const next = phases[index + 1]?.[1] ?? loaded.ms;
      if (phase !== "ready") {
        add(`of the load: ${phase}`, "ms", next - (index === 0 ? 0 : ms), conditions);
      }
    }
    add("packed weights", "MB", loaded.weightBytes / MEGA, conditions);
    add("load peak: WASM memory", "MB", loaded.wasmBytes / MEGA, conditions);
    add("load peak: GPU buffers", "MB", loaded.gpuBytes / MEGA, conditions);
    add("load peak: JavaScript heaps", "MB", loaded.heapBytes / MEGA, conditions, 1);
    add("load peak beyond packed weights", "MB", (loaded.wasmBytes + loaded.gpuBytes + loaded.heapBytes - loaded.weightBytes) / MEGA, conditions);
    if (resident !== undefined) {
      add("load peak: renderer's resident memory beyond the empty page's", "MB", (resident - emptyBytes) / MEGA, conditions);
    }
  } finally {
    await page.close();
  }
}
