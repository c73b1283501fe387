// What connections side by side do for a first load: `node tests/bench/side_by_side.mjs [megabytes]` loads a random model of that size into the store of a profile on a
// disk (CPU) from a server on loopback that limits each connection, all together, or nothing, behind a latency; once from one that tells only a weak entity
// tag, so that one connection stays alone, and once as it is.
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { launchProfile, startLab } from "../browser/chromium.mjs";
import { startThrottledServer } from "../browser/throttled_server.mjs";
import { machine, underConditions } from "./machine.mjs";
import { writeRandomModel } from "./random_model.mjs";

const megabytes = Number(process.argv[2] ?? 200);
const layers = Math.max(1, Math.round((megabytes * 1e6) / 1.0625 / 15.2e6 - 2.2));
const shape = { layers, hidden: 1024, heads: 16, kvHeads: 4, feedForward: 4096, vocab: 32_768, context: 256 };
const folder = mkdtempSync(join(tmpdir(), "eyas-beside-"));
writeRandomModel(join(folder, "model.gguf"), shape, "q8_0");
const model = readFileSync(join(folder, "model.gguf"));
rmSync(folder, { recursive: true });

const CASES = [
  ["8 MB/s for each connection", { ownRate: 8e6 }],
  ["8 MB/s for each, 100 ms of latency", { ownRate: 8e6, latencyMs: 100 }],
  ["8 MB/s for each, 12 MB/s for all", { ownRate: 8e6, sharedRate: 12e6 }],
  ["8 MB/s for all together", { sharedRate: 8e6 }],
  ["8 MB/s for all together, 100 ms of latency", { sharedRate: 8e6, latencyMs: 100 }],
  ["no limit", {}],
];

const server = await startThrottledServer(new Map([["/model.gguf", model]]));
const lab = await startLab({ gpu: false });
console.log(`a model of ${Math.round(model.length / 1e6)} MB; ${JSON.stringify(machine())}`);
for (const [name, limits] of CASES) {
  for (const [who, etag] of [["alone", 'W/"1"'], ["as many as help", '"1"']]) {
    const profile = mkdtempSync(join(tmpdir(), "eyas-profile-"));
    const context = await launchProfile(profile);
    const page = await context.newPage();
    await page.goto(`${lab.app.origin}/`);
    await page.waitForFunction("window.ready");
    Object.assign(server, { limits, etag });
    server.reset();
    const { value, conditions } = await underConditions(() =>
      page.evaluate(async (model) => {
        const began = performance.now();
        const eyas = await window.eyas.load({ model, device: "cpu", contextTokens: 256, store: "device" });
        const ms = performance.now() - began;
        const { wasmBytes } = await eyas.memory();
        const { storage, memoryBytes } = eyas.info;
        await eyas.dispose();
        return { ms, beyondBytes: wasmBytes - memoryBytes, fetchedBytes: storage.fetchedBytes };
      }, `${server.origin}/model.gguf`),
    );
    const megabytesOf = (bytes) => `${(bytes / 1e6).toFixed(1)} MB`;
    console.log(
      `${name}, ${who}: ${(value.ms / 1000).toFixed(1)} s, ${server.mostOpen} connections, ${server.requests.length} requests, ${megabytesOf(value.beyondBytes)} of WASM memory beyond the weights; ` +
        `fetched twice ${value.fetchedBytes - model.length} bytes, sent twice ${megabytesOf(server.servedBytes - model.length)}; ${JSON.stringify(conditions)}`,
    );
    await context.close();
    rmSync(profile, { recursive: true, force: true, maxRetries: 5 });
  }
}
await lab.close();
await server.close();
