// A download over several connections, where the server gives each a rate of its own: whole, fetched once, and gone on with after a kill.
//
// That another connection is tried is shown by a server that is slow until a part was asked for. How many stay depends on rates, and so on the
// machine; what else is asserted holds with one as with three. How many there were is printed.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";

import { writeRandomModel } from "../bench/random_model.mjs";
import { startLab } from "./chromium.mjs";
import { killTab } from "./processes.mjs";
import { CHUNK, pause } from "./store_lab.mjs";
import { startThrottledServer } from "./throttled_server.mjs";

/** 36 MB: most of it is the embedding of a large vocabulary. */
const SHAPE = { layers: 1, hidden: 1024, heads: 16, kvHeads: 4, feedForward: 4096, vocab: 18_000, context: 256 };
const PART_CHUNK = CHUNK / 8;
const PATH = "/random.gguf";
const sha256 = (bytes) => createHash("sha256").update(bytes).digest("hex");

let lab;
let server;
let model;
before(async () => {
  const folder = mkdtempSync(join(tmpdir(), "eyas-beside-"));
  writeRandomModel(join(folder, "model.gguf"), SHAPE, "q8_0");
  model = readFileSync(join(folder, "model.gguf"));
  rmSync(folder, { recursive: true });
  server = await startThrottledServer(new Map([[PATH, model]]));
  server.limits = { ownRate: 1.5e6, latencyMs: 20 };
  lab = await startLab({ gpu: false });
});
after(() => Promise.all([lab.close(), server.close()]));

/** A page in which `window.once()` loads the model and tells what became of it. */
async function openPage(context) {
  const page = await context.newPage();
  page.on("pageerror", (error) => console.error("page error:", error.message));
  await page.goto(`${lab.app.origin}/`);
  await page.waitForFunction("window.ready");
  await page.evaluate((address) => {
    window.address = address;
    window.once = async () => {
      try {
        const seen = [];
        const eyas = await window.eyas.load({ model: address, device: "cpu", onProgress: (progress) => seen.push(progress) });
        const { tokenIds } = await eyas.chat({ prompt: "abc" }, { maxTokens: 3 });
        await eyas.dispose();
        return { tokenIds, storage: eyas.info.storage, seen };
      } catch ({ code, message }) {
        return { code, message };
      }
    };
  }, `${server.origin}${PATH}`);
  return page;
}

const load = (page) => page.evaluate(() => window.once());

/** The files of the model's folder, each with its size, and the bytes of those that hold digests. */
const storedFiles = (page) =>
  page.evaluate(async () => {
    const found = [];
    try {
      const root = await (await navigator.storage.getDirectory()).getDirectoryHandle("eyas-models");
      for await (const folder of root.values()) {
        for await (const file of folder.values()) {
          const { size } = await file.getFile();
          const sums = file.name.includes("-sums") ? [...new Uint8Array(await (await file.getFile()).arrayBuffer())] : undefined;
          found.push({ name: file.name, size, sums });
        }
      }
    } catch (error) {
      if (!["NotFoundError", "NotReadableError"].includes(error.name)) throw error; // it is being made, or goes
      return [];
    }
    return found;
  });

/** Bytes of the model that whole chunks in `files` vouch for, by their digests; what is in the file itself and in a part counts once. */
function durableBytes(files) {
  const durable = [];
  for (const { name, sums } of files.filter(({ name }) => name.includes("-sums"))) {
    const [, , from] = name.split("-");
    const chunk = from === undefined ? CHUNK : PART_CHUNK;
    for (let at = Number(from ?? 0), row = 0; at < model.length; at += chunk, row += 1) {
      const end = Math.min(at + chunk, model.length, from === undefined ? Infinity : Number(from) + 8 * CHUNK);
      const digest = Buffer.from(sums.slice(32 * row, 32 * row + 32)).toString("hex");
      const stored = files.find((file) => file.name === name.replace("sums", "data"))?.size ?? 0;
      if (end <= at || end - Number(from ?? 0) > stored || digest !== sha256(model.subarray(at, end))) {
        break;
      }
      durable.push([at, end]);
    }
  }
  durable.sort(([a], [b]) => a - b);
  let [bytes, reached] = [0, 0];
  for (const [at, end] of durable) {
    bytes += Math.max(0, end - Math.max(at, reached));
    reached = Math.max(reached, end);
  }
  return bytes;
}

test("a download over as many connections as help is whole, and every byte is fetched once", async () => {
  const context = await lab.browser.newContext();
  const page = await openPage(context);
  const began = performance.now();
  server.slowFrom = CHUNK; // from there on the rest takes minutes, on any machine
  const first = await load(page);
  server.slowFrom = undefined;
  assert.equal(first.storage?.kept, true, JSON.stringify(first).slice(0, 400));
  const { fetchedBytes } = first.storage;
  assert.ok(server.requests.some(([from, until]) => from > 0 && until < model.length), `a part was asked for: ${JSON.stringify(server.requests)}`);
  // No more than what one connection gave while another one's first bytes came.
  assert.ok(fetchedBytes >= model.length && fetchedBytes <= model.length + CHUNK, `${fetchedBytes} of ${model.length} bytes`);
  assert.ok(server.mostOpen <= 3, `${server.mostOpen} connections`);
  assert.deepEqual((await storedFiles(page)).map(({ name }) => name).filter((name) => name.split("-").length > 2), []);
  assert.ok(first.seen.every(({ loadedBytes, totalBytes }) => loadedBytes <= totalBytes));
  // Progress tells how fast it is, what remains, and where bytes come from.
  const ofWeights = first.seen.filter(({ phase, totalBytes }) => phase === "weights" && totalBytes > 0);
  assert.ok(ofWeights.some(({ bytesPerSecond, remainingMs }) => bytesPerSecond > 0 && remainingMs > 0), JSON.stringify(ofWeights.slice(-3)));
  assert.ok(ofWeights.every(({ source, bytesPerSecond }) => source === "network" && (bytesPerSecond === null || bytesPerSecond >= 0)));
  const [{ files }] = await page.evaluate(() => window.eyas.models.list());
  assert.equal(files.find(({ bytes }) => bytes === model.length)?.sha256, sha256(model));
  const seconds = (performance.now() - began) / 1000;
  console.log(`  ${server.mostOpen} connections, ${server.requests.length} requests, ${seconds.toFixed(1)} s; the server sent ${server.servedBytes - model.length} bytes twice`);
  server.reset();
  const second = await load(page);
  assert.deepEqual(second.tokenIds, first.tokenIds);
  assert.deepEqual([second.storage.fetchedBytes, server.requests.length], [0, 0]);
  await context.close();
});

test("a tab that is killed while parts lie ahead leaves them to the next visit", async () => {
  const context = await lab.browser.newContext();
  const watcher = await openPage(context);
  const page = await openPage(context);
  server.reset();
  let isLoaded = false;
  const loading = load(page);
  loading.then(() => (isLoaded = true), () => {}); // a killed page answers nothing
  const isAhead = ({ name, sums }) => name.split("-").length > 2 && sums?.length >= 4 * 32;
  let files = [];
  while (!isLoaded && !(files = await storedFiles(watcher)).some(isAhead)) {
    await pause(20);
  }
  if (isLoaded) {
    console.log("  one connection was as fast: nothing lay ahead");
  } else {
    await killTab(lab.browser, page);
  }
  // What is there when the tab has died is at least what was there before.
  const durable = Math.max(durableBytes(files), durableBytes(await storedFiles(watcher)));
  const sent = server.servedBytes;
  server.reset();
  const next = await openPage(context);
  let seen = await load(next);
  if (seen.code === "over-budget") {
    seen = await load(next); // for all that a page can see, the visit that was killed may have taken too much memory
  }
  assert.equal(seen.storage?.kept, true, JSON.stringify(seen).slice(0, 400));
  assert.ok(seen.storage.fetchedBytes <= model.length - durable + CHUNK, `${seen.storage.fetchedBytes} bytes came, ${durable} were stored`);
  const [{ files: listed }] = await next.evaluate(() => window.eyas.models.list());
  assert.equal(listed.find(({ bytes }) => bytes === model.length)?.sha256, sha256(model));
  console.log(`  killed after ${sent} bytes, of which ${durable} were stored; the next visit fetched ${seen.storage.fetchedBytes}`);
  await context.close();
});
