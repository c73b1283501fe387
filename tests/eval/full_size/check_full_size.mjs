// Loads models of full size in Chromium, unquantised, and compares greedy ids with transformers, and bytes with the plan.
//
//   node tests/eval/full_size/check_full_size.mjs [--gpu] [--plan] PYTHON FOLDER…
//
// PYTHON has torch and transformers; each FOLDER is a Hugging Face style folder, of random weights for example. --gpu computes on the GPU that Chromium
// has, which is SwiftShader here; --plan only asks what a load would take.
import { execFileSync } from "node:child_process";
import { basename, dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

import { dist, launch } from "../../browser/chromium.mjs";
import { startFileServer } from "../../browser/file_server.mjs";

const here = dirname(fileURLToPath(import.meta.url));
const TEXT = "The weather in the north of the country was";
const COUNT = 16;

const given = process.argv.slice(2);
const flags = given.filter((argument) => argument.startsWith("--"));
const [python, ...folders] = given.filter((argument) => !argument.startsWith("--"));
const device = flags.includes("--gpu") ? "gpu" : "cpu";
if (!python || folders.length === 0) {
  console.error("usage: check_full_size.mjs [--gpu] [--plan] PYTHON FOLDER…");
  process.exit(2);
}

const mounts = Object.fromEntries(folders.map((folder, index) => [`model${index}`, resolve(folder)]));
const server = await startFileServer({ "": () => "<!doctype html><title>full size</title>", eyas: dist, ...mounts });
const browser = await launch();
if (flags.includes("--plan")) {
  for (const [index, folder] of folders.entries()) {
    const page = await browser.newPage();
    await page.goto(`${server.origin}/`);
    const planned = await page.evaluate(
      async ([model, device]) => (await import("/eyas/index.js")).plan({ model: location.origin + model, device, quantize: "none", contextTokens: 64 }),
      [`/model${index}/`, device],
    );
    await page.close();
    console.log(`${basename(folder)} on ${device}: ${JSON.stringify(planned, null, 1)}`);
  }
  await browser.close();
  await server.close();
  process.exit(0);
}
let failed = 0;
for (const [index, folder] of folders.entries()) {
  const expected = JSON.parse(execFileSync(python, [join(here, "reference_greedy.py"), folder, TEXT, String(COUNT)], { encoding: "utf8", maxBuffer: 1 << 24, stdio: ["ignore", "pipe", "ignore"] }));
  const page = await browser.newPage();
  await page.goto(`${server.origin}/`);
  const seen = await page.evaluate(
    async ([model, text, count, device]) => {
      const { load, plan } = await import("/eyas/index.js");
      const options = { model: location.origin + model, device, quantize: "none", contextTokens: 64 };
      const planned = await plan(options);
      const start = performance.now();
      const eyas = await load(options);
      const loadMs = performance.now() - start;
      const { tokenIds, usage, timing } = await eyas.chat({ prompt: text }, { maxTokens: count, temperature: 0 });
      const { memoryBytes, architecture, quantize } = eyas.info;
      await eyas.dispose();
      return { planned, loadMs, tokenIds, usage, timing, memoryBytes, architecture, quantize };
    },
    [`/model${index}/`, TEXT, COUNT, device],
  );
  await page.close();
  const same = expected.greedy.findIndex((id, at) => id !== seen.tokenIds[at]);
  const fits = seen.memoryBytes <= seen.planned.asked.need.weightBytes + seen.planned.asked.need.cacheBytes;
  failed += same === -1 && fits && expected.greedy.length === COUNT ? 0 : 1;
  console.log(
    `${basename(folder)} (${seen.architecture}, ${seen.quantize}): ${same === -1 ? COUNT : same} of ${COUNT} greedy ids equal, smallest margin ${Math.min(...expected.margins).toFixed(4)}; ` +
      `${seen.memoryBytes} bytes, planned ${seen.planned.asked.need.weightBytes} + ${seen.planned.asked.need.cacheBytes}; ${device}, load ${Math.round(seen.loadMs)} ms, ${seen.timing.tokensPerSecond?.toFixed(2)} tokens/s`,
  );
}
await browser.close();
await server.close();
process.exit(failed > 0 ? 1 : 0);
