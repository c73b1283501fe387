// What keeping a model costs its first load: `node tests/bench/store_cost.mjs [megabytes] [private]` loads a random model of that size in Chromium (CPU), without the store, into it
// and from it, and prints how long that took, also in CPU time of the worker's own thread (which other processes change little), and how long the worker spent in
// writes, flushes, reads and the browser's digests.
import { createReadStream, mkdirSync, mkdtempSync, rmSync, statSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { launchProfile, startLab } from "../browser/chromium.mjs";
import { workerSeconds } from "./process_times.mjs";
import { writeRandomModel } from "./random_model.mjs";

const megabytes = Number(process.argv[2] ?? 516);
const layers = (megabytes * 1e6) / 1.0625 / 15.2e6 - 2.2;
const shape = { layers: Math.max(1, Math.round(layers)), hidden: 1024, heads: 16, kvHeads: 4, feedForward: 4096, vocab: 32_768, context: 512 };
const folder = join(tmpdir(), "eyas-store-cost");
mkdirSync(folder, { recursive: true });
const path = join(folder, `random-${shape.layers}.gguf`);
try {
  statSync(path);
} catch {
  writeRandomModel(path, shape, "q8_0");
}
const size = statSync(path).size;

const server = createServer((request, response) => {
  const headers = { "access-control-allow-origin": "*", etag: '"1"', "access-control-expose-headers": "etag" };
  if (!request.url.startsWith("/model.gguf")) {
    response.writeHead(404, headers).end();
    return;
  }
  response.writeHead(200, { ...headers, "content-length": size });
  createReadStream(path, { highWaterMark: 1 << 20 }).pipe(response);
});
await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));

// Counts what the worker's storage and digests take; a digest is timed to its end, so its time may hold other work.
const METER = `
const parts = {};
const count = (name, ms, bytes) => {
  const part = (parts[name] ??= { calls: 0, ms: 0, megabytes: 0 });
  part.calls += 1;
  part.ms += ms;
  part.megabytes += bytes / 1e6;
};
for (const name of ["write", "flush", "read"]) {
  const original = FileSystemSyncAccessHandle.prototype[name];
  FileSystemSyncAccessHandle.prototype[name] = function (...given) {
    const began = performance.now();
    const result = original.apply(this, given);
    const bytes = given[0]?.byteLength ?? 0;
    count(name === "write" && bytes < 1024 ? "sums" : name, performance.now() - began, bytes);
    return result;
  };
}
const { digest } = SubtleCrypto.prototype;
SubtleCrypto.prototype.digest = async function (...given) {
  const began = performance.now();
  const result = await digest.apply(this, given);
  count("digest", performance.now() - began, given[1].byteLength);
  return result;
};
new BroadcastChannel("parts").onmessage = ({ target }) => target.postMessage(parts);
`;

const lab = await startLab();
// A private window keeps its files in memory.
const profile = process.argv[3] === "private" ? undefined : mkdtempSync(join(tmpdir(), "eyas-profile-"));
const context = profile ? await launchProfile(profile) : await lab.browser.newContext();
const page = await context.newPage();
await page.goto(`${lab.app.origin}/`);
await page.waitForFunction("window.ready");
const measure = async (store) => {
  const measured = await page.evaluate(
    async ([model, store, meter]) => {
      const source = await (await fetch("/eyas/worker.js")).text();
      const worker = URL.createObjectURL(new Blob([meter, source], { type: "text/javascript" }));
      const assets = { worker, gpuWasm: "/eyas/eyas_gpu_bg.wasm", cpuWasm: "/eyas/eyas_cpu_bg.wasm" };
      const began = performance.now();
      const eyas = await window.slim.load({ model, device: "cpu", assets, store });
      const ms = performance.now() - began;
      const channel = new BroadcastChannel("parts");
      const parts = await new Promise((resolve) => {
        channel.onmessage = ({ data }) => resolve(data);
        channel.postMessage("tell");
      });
      channel.close();
      window.engine = eyas;
      return { ms, parts };
    },
    [`http://127.0.0.1:${server.address().port}/model.gguf`, store, METER],
  );
  const cpuSeconds = workerSeconds();
  await page.evaluate(() => window.engine.dispose());
  return { ...measured, cpuSeconds };
};

console.log(`a model of ${Math.round(size / 1e6)} MB`);
for (const [name, store] of [["without the store", "none"], ["into the store", "device"], ["from the store", "device"]]) {
  const { ms, parts, cpuSeconds } = await measure(store);
  console.log(`${name}: ${(ms / 1000).toFixed(1)} s, ${cpuSeconds?.toFixed(1) ?? "?"} s of CPU time`);
  for (const [part, { calls, ms, megabytes }] of Object.entries(parts)) {
    console.log(`  ${part.padEnd(7)} ${(ms / 1000).toFixed(2).padStart(7)} s  ${String(calls).padStart(5)} calls  ${megabytes.toFixed(0).padStart(5)} MB`);
  }
}
await context.close();
await lab.close();
server.close();
if (profile) {
  rmSync(profile, { recursive: true, force: true });
}
