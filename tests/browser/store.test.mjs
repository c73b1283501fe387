// The model on the device: fetched once whatever breaks, found whole or mended, shared by tabs, and there when the server is gone.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";

import { startBareChromium } from "./bare_chromium.mjs";
import { bareChromium, thorough } from "./chromium.mjs";
import { CHUNK, folder, pause, seeded, startStoreLab, totalBytes, weights } from "./store_lab.mjs";
import { loadOnce, openStorePage } from "./store_page.mjs";


let lab;
let server;
let close;
let expected;
before(async () => {
  ({ lab, server, close } = await startStoreLab());
  const page = await openPage();
  expected = (await load(page, { store: "none" })).text;
  assert.ok(expected.length > 10);
  await page.context().close();
});
after(() => close());

const openPage = (context) => openStorePage(lab, server.origin, context);
const load = loadOnce;

const random = seeded(20261121);

test("the second load needs no network, and says so", async () => {
  server.reset();
  const page = await openPage();
  const first = await load(page);
  assert.equal(first.text, expected, JSON.stringify(first));
  assert.equal(first.storage.kept, true, first.storage.reason);
  assert.equal(first.storage.fetchedBytes, totalBytes);
  assert.equal(server.servedBytes, totalBytes, "fetched once, to the byte");
  const requests = server.requests.length;
  server.fault = () => ({ status: 500 });
  const second = await load(page);
  assert.equal(second.text, expected, JSON.stringify(second));
  const { storedBytes: _, version, ...storage } = second.storage;
  assert.deepEqual(storage, { kept: true, reason: "", fetchedBytes: 0, previousKept: false, rolledBack: null, manifest: null });
  assert.equal(server.requests.length, requests, "not one request");
  assert.ok(second.seen.some(({ phase, source }) => phase === "weights" && source === "store"));
  assert.ok(first.seen.some(({ phase, source, fetchedBytes }) => phase === "weights" && source === "network" && fetchedBytes > 0));
  console.log(`load from the network ${Math.round(first.loadMs)} ms, from the store ${Math.round(second.loadMs)} ms`);

  const listed = await page.evaluate(() => window.eyas.models.list());
  assert.equal(listed.length, 1);
  assert.equal(listed[0].complete, true);
  assert.equal(listed[0].bytes, totalBytes);
  assert.match(version, /^[0-9a-f]{12}$/);
  assert.equal(listed[0].version, version);
  const sha256 = Buffer.from(await crypto.subtle.digest("SHA-256", weights)).toString("hex");
  assert.equal(listed[0].files.find(({ name }) => name === "model.safetensors").sha256, sha256);
  assert.equal(await page.evaluate(() => window.eyas.models.remove(window.address)), true);
  assert.deepEqual(await page.evaluate(() => window.eyas.models.list()), []);
  assert.equal((await load(page)).code, "download-failed");
  await page.context().close();
});

const CUTS = thorough ? 100 : 15;
/** Every fourth is in another file than the largest: enough of them for all files. */
const FLIPS = 100;
test(`cut at ${CUTS} random offsets, a download goes on behind the last byte`, async () => {
  const extras = [];
  const page = await openPage();
  for (let run = 0; run < CUTS; run++) {
    server.reset();
    const offset = random(weights.length);
    const hideHeaders = run % 2 === 1; // a server whose validators a page of another origin may not see
    server.fault = ({ name, attempt, method }) => (name === "model.safetensors" && method === "GET" ? { cutAt: attempt === 1 ? offset : undefined, hideHeaders, headMs: 200, sliceMs: 1 } : undefined);
    const seen = await load(page);
    assert.equal(seen.text, expected, `cut at ${offset}: ${JSON.stringify(seen).slice(0, 300)}`);
    assert.equal(seen.storage.kept, true);
    // Not a byte that reached the program is fetched twice. What the browser itself still had in its pipe (2 MiB) when the connection broke it drops;
    // that is little unless the server is faster than this machine.
    assert.equal(seen.storage.fetchedBytes, totalBytes, `cut at ${offset}`);
    extras.push(server.servedBytes - totalBytes);
    await page.evaluate(() => window.eyas.models.remove(window.address));
  }
  extras.sort((a, b) => a - b);
  console.log(`${CUTS} cuts: every byte was received once; sent twice by the server: median ${extras[CUTS >> 1]}, 90th ${extras[Math.floor(0.9 * CUTS)]}, most ${extras.at(-1)}, more than a chunk in ${extras.filter((extra) => extra > CHUNK).length}`);
  await page.context().close();
});

const FAULTS = [
  ["a stalled connection", { stallAt: 1_500_000 }, "whole"],
  ["a connection that is reset", { resetAt: 1_500_000 }, "whole"],
  ["an error in the middle", { status: 503 }, "whole", { cutAt: 2_000_000 }],
  ["a server without ranges", { noRanges: true }, "whole", { cutAt: 2_000_000, noRanges: true }],
  ["a redirect", { redirect: "/nano/model.safetensors?signed=1" }, "whole"],
  ["a file that changes in the middle", { etag: '"other"' }, "download-failed", { cutAt: 2_000_000 }],
  ["a rest that the server says there is none of (416)", { status: 416 }, "download-failed", { cutAt: 2_000_000 }],
  ["a rest that is longer than it can be", { extraBytes: 1_000 }, "download-failed", { cutAt: 2_000_000 }],
];
for (const [name, fault, outcome, first] of FAULTS) {
  test(`${name} ends ${outcome}`, async () => {
    server.reset();
    const page = await openPage();
    const begins = first ?? fault;
    server.fault = ({ name, attempt, path }) => {
      if (name !== "model.safetensors") {
        return undefined;
      }
      if (attempt === 1) {
        return begins;
      }
      return first && attempt === 2 ? fault : path.includes("signed") ? undefined : first?.noRanges ? { noRanges: true } : undefined;
    };
    const seen = await load(page);
    if (outcome === "whole") {
      assert.equal(seen.text, expected, JSON.stringify(seen).slice(0, 400));
    } else {
      assert.equal(seen.code, outcome, JSON.stringify(seen).slice(0, 400));
      assert.equal(seen.retryable, true);
      console.log(`  ${seen.message}`);
    }
    // The next visit is whole in any case.
    server.fault = () => undefined;
    assert.equal((await load(page)).text, expected);
    await page.context().close();
  });
}

const REFUSALS = [
  ["a page in place of the weights", { html: true }, ["model-not-found", "bad-model"]],
  ["a body that is longer than it says", { gzip: true, hideHeaders: true }, ["download-failed", "bad-model"]],
  ["a refusal by CORS", { noCors: true }, ["download-failed"]],
  ["a server that is broken", { status: 500 }, ["download-failed"]],
  ["a file that is gone", { status: 404 }, ["model-not-found"]],
];
for (const [name, fault, codes] of REFUSALS) {
  test(`${name} is ${codes.join(" or ")}, and nothing of it stays`, async () => {
    server.reset();
    const page = await openPage();
    server.fault = ({ name }) => (name === "model.safetensors" ? fault : undefined);
    const seen = await load(page);
    assert.ok(codes.includes(seen.code), JSON.stringify(seen).slice(0, 400));
    console.log(`  ${seen.code}: ${seen.message}`);
    server.fault = () => undefined;
    assert.equal((await load(page)).text, expected);
    await page.context().close();
  });
}

test("a sha256 of the application is demanded", async () => {
  server.reset();
  const page = await openPage();
  const wrong = await load(page, { sha256: { "model.safetensors": "00".repeat(32) } });
  assert.equal(wrong.code, "integrity", JSON.stringify(wrong).slice(0, 300));
  const sha256 = Buffer.from(await crypto.subtle.digest("SHA-256", weights)).toString("hex");
  assert.equal((await load(page, { sha256: { "model.safetensors": sha256 } })).text, expected);
  assert.equal((await load(page, { sha256: { "model.safetensors": "nonsense" } })).code, "bad-input");
  await page.context().close();
});

test("two pages share one download, also when the first is killed in the middle", async () => {
  server.reset();
  const one = await openPage();
  const context = one.context();
  const two = await openPage(context);
  // The server waits behind a MiB until one of them waits for the other, and behind three until that one has heard of the other's progress.
  const gate = { waits: false, hears: false };
  const held = async () => {
    while (!(gate.hears || (gate.waits && server.servedBytes < 3 * CHUNK))) {
      await pause(10);
    }
  };
  const slowly = { sliceMs: 2, get hold() { return held(); } };
  server.fault = ({ name }) => (name === "model.safetensors" ? slowly : undefined);
  const loading = Promise.all([load(one), load(two)]);
  const heardOf = (least) => Promise.all([one, two].map((page) => page.evaluate((least) => (window.seen ?? []).filter(({ detail }) => /another tab/.test(detail)).length >= least, least)));
  for (const [name, least] of [["waits", 1], ["hears", 2]]) {
    while (!(await heardOf(least)).includes(true)) {
      await pause(10);
    }
    gate[name] = true;
  }
  const both = await loading;
  assert.deepEqual(both.map(({ text }) => text), [expected, expected], JSON.stringify(both).slice(0, 400));
  assert.equal(server.servedBytes, totalBytes);
  // The one that waits hears how far the other one is.
  const waiting = both.map(({ seen }) => seen.filter(({ detail }) => /another tab/.test(detail))).filter(({ length }) => length > 0);
  assert.equal(waiting.length, 1);
  assert.ok(waiting[0].length >= 2, JSON.stringify(waiting[0]));
  assert.ok(waiting[0].every(({ fetchedBytes }) => fetchedBytes === 0));
  assert.equal(both.filter(({ storage }) => storage.fetchedBytes === 0).length, 1);

  await one.evaluate(() => window.eyas.models.remove(window.address));
  server.reset();
  server.fault = ({ name, attempt }) => (name === "model.safetensors" && attempt === 1 ? { stallAt: 2_500_000, sliceMs: 1 } : undefined);
  void one.evaluate(() => void window.once({}));
  const storedBytes = () => two.evaluate(async () => (await window.eyas.models.list())[0]?.files.find(({ name }) => name === "model.safetensors")?.storedBytes ?? 0);
  while ((await storedBytes()) < 2_500_000) {
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  const second = load(two);
  await new Promise((resolve) => setTimeout(resolve, 300));
  const session = await context.newCDPSession(one);
  const crashed = one.waitForEvent("crash");
  session.send("Page.crash").catch(() => {});
  await crashed;
  const seen = await second;
  assert.equal(seen.text, expected, JSON.stringify(seen).slice(0, 300));
  const { start } = server.requests.filter(({ name, method }) => name === "model.safetensors" && method === "GET").at(-1);
  assert.ok(start >= 2 * CHUNK, `it went on at ${start} with what the killed tab had fetched`);
  assert.equal(seen.storage.fetchedBytes, weights.length - start);
  await context.close();
});

test(`single flipped bits at ${FLIPS} places are all found, and only the damaged chunk is fetched again`, async () => {
  server.reset();
  const page = await openPage();
  await load(page);
  let found = 0;
  for (let run = 0; run < FLIPS; run++) {
    const flipped = await page.evaluate(async (seed) => {
      const root = await (await navigator.storage.getDirectory()).getDirectoryHandle("eyas-models");
      const folder = await root.getDirectoryHandle((await Array.fromAsync(root.keys()))[0]);
      const files = [];
      for (const name of (await Array.fromAsync(folder.keys())).sort()) {
        files.push({ name, size: (await (await folder.getFileHandle(name)).getFile()).size });
      }
      // Three of four in the weights, the others in any file.
      const largest = files.reduce((a, b) => (b.size > a.size ? b : a));
      const { name, size } = seed % 4 === 0 ? files[(seed / 4) % files.length] : largest;
      const at = Math.floor((size * ((seed * 0.6180339887) % 1)));
      const handle = await folder.getFileHandle(name);
      const byte = new Uint8Array(await (await handle.getFile()).slice(at, at + 1).arrayBuffer())[0] ^ (1 << seed % 8);
      const writer = await handle.createWritable({ keepExistingData: true });
      await writer.write({ type: "write", position: at, data: new Uint8Array([byte]) });
      await writer.close();
      return { name, at, size };
    }, run);
    const before = server.servedBytes;
    const seen = await load(page);
    assert.equal(seen.text, expected, `${JSON.stringify(flipped)}: ${JSON.stringify(seen).slice(0, 300)}`);
    const fetched = server.servedBytes - before;
    assert.ok(fetched <= CHUNK, `${JSON.stringify(flipped)}: ${fetched} bytes`);
    if (flipped.name.endsWith("-data")) {
      assert.ok(fetched > 0, `${JSON.stringify(flipped)} was not noticed`);
      found += 1;
    }
  }
  assert.ok(found >= 0.75 * FLIPS, `${found}`);
  // Without a network the damage is an error, before a token.
  await page.evaluate(async () => {
    const root = await (await navigator.storage.getDirectory()).getDirectoryHandle("eyas-models");
    const folder = await root.getDirectoryHandle((await Array.fromAsync(root.keys()))[0]);
    let largest;
    for (const name of await Array.fromAsync(folder.keys())) {
      const handle = await folder.getFileHandle(name);
      const { size } = await handle.getFile();
      largest = !largest || size > largest.size ? { handle, size } : largest;
    }
    const writer = await largest.handle.createWritable({ keepExistingData: true });
    await writer.write({ type: "write", position: 2_000_000, data: new Uint8Array([1, 2, 3]) });
    await writer.close();
  });
  server.fault = () => ({ status: 503 });
  const seen = await load(page);
  assert.equal(seen.code, "integrity", JSON.stringify(seen).slice(0, 300));
  console.log(`  ${found} damaged chunks fetched again; without a network: ${seen.message}`);
  await page.context().close();
});

/** Sets the page's quota by the DevTools protocol; without a size it is the browser's own again. */
async function quotaOf(page) {
  const session = await page.context().newCDPSession(page);
  return (quotaSize) => session.send("Storage.overrideQuotaForOrigin", { origin: lab.app.origin, ...(quotaSize ? { quotaSize } : {}) });
}

test("a model above the quota is loaded without being kept, as its plan says, and is kept when there is room", async () => {
  server.reset();
  const page = await openPage();
  const quota = await quotaOf(page);
  for (const bytes of [1_000, 200_000, 1_500_000, 2_800_000]) {
    await quota(bytes);
    const plan = (store) => page.evaluate((store) => window.eyas.plan({ model: window.address, device: "cpu", store }), store);
    assert.deepEqual([(await plan("auto")).code, (await plan("auto")).answerer], [null, "local"]);
    const seen = await load(page);
    assert.equal(seen.text, expected, JSON.stringify(seen).slice(0, 300));
    assert.deepEqual([seen.storage.kept, seen.storage.version ?? null], [false, null], seen.storage.reason);
    assert.match(seen.storage.reason, /\w/);
    console.log(`  ${bytes} bytes allowed: ${seen.storage.reason}`);
    assert.equal((await load(page, { store: "none" })).text, expected);
  }
  await quota();
  const kept = await load(page);
  assert.deepEqual([kept.text, kept.storage.kept], [expected, true], JSON.stringify(kept).slice(0, 300));
  server.reset();
  assert.equal((await load(page)).text, expected);
  assert.equal(server.servedBytes, 0);
  await page.context().close();
});

test("a quota that ends in the middle is storage-full where the model must be kept, and keeps what is there", async () => {
  server.reset();
  const page = await openPage();
  const quota = await quotaOf(page);
  for (const bytes of [200_000, 1_500_000, 2_800_000]) {
    await quota(bytes);
    server.reset();
    // A limited download is not begun anew to go on without the store.
    const limited = await load(page, { budget: { downloadBytes: 2 * totalBytes } });
    assert.equal(limited.code, "storage-full", JSON.stringify(limited).slice(0, 300));
    const full = await load(page, { store: "device" });
    assert.equal(full.code, "storage-full", JSON.stringify(full).slice(0, 300));
    assert.equal((await load(page, { store: "none" })).text, expected, "it still answers without keeping anything");
    await quota();
    server.reset();
    const seen = await load(page);
    assert.equal(seen.text, expected, JSON.stringify(seen).slice(0, 300));
    const kept = Math.floor(Math.max(bytes - 250_000, 0) / CHUNK) * CHUNK;
    assert.ok(server.servedBytes <= totalBytes - kept, `${server.servedBytes} bytes were fetched again`);
    console.log(`  ${bytes} bytes allowed: ${full.message}; afterwards ${server.servedBytes} of ${totalBytes} bytes were fetched`);
    await page.evaluate(() => window.eyas.models.remove(window.address));
  }
  await page.context().close();
});

test("where nothing can be kept, a load goes on from the network and says why", async () => {
  server.reset();
  const page = await openPage();
  const seen = await page.evaluate(async () => {
    const source = await (await fetch("/eyas/worker.js")).text();
    const deny = `StorageManager.prototype.getDirectory = async () => { throw new DOMException("denied by the test", "SecurityError"); };\n`;
    const worker = URL.createObjectURL(new Blob([deny, source], { type: "text/javascript" }));
    const eyas = await window.slim.load({ model: window.address, device: "cpu", assets: { worker, gpuWasm: "/eyas/eyas_gpu_bg.wasm", cpuWasm: "/eyas/eyas_cpu_bg.wasm" } });
    const { text } = await eyas.chat("play some jazz by miles davis", { maxTokens: 40 });
    await eyas.dispose();
    return { text, storage: eyas.info.storage };
  });
  assert.equal(seen.text, expected);
  assert.equal(seen.storage.kept, false);
  assert.match(seen.storage.reason, /SecurityError: denied by the test/);
  await page.context().close();
});

test("a load goes on while its tab is hidden", async () => {
  // A browser of its own without the flags by which all others keep hidden tabs as quick as shown ones.
  const browser = startBareChromium(...bareChromium());
  try {
    const page = await browser.open(`${lab.app.origin}/`);
    while (!(await page.evaluate(() => window.ready === true))) {
      await pause(20);
    }
    server.reset();
    let goOn;
    const hold = new Promise((resolve) => (goOn = resolve));
    server.fault = ({ name }) => (name === "model.safetensors" ? { hold, sliceMs: 1 } : undefined);
    await page.evaluate((address) => {
      window.states = [];
      const onProgress = ({ phase }) => window.states.push([phase, document.visibilityState]);
      window.loading = (async () => {
        const eyas = await window.eyas.load({ model: address, device: "cpu", onProgress });
        window.states.push(["ready", document.visibilityState]);
        const { text } = await eyas.chat("play some jazz by miles davis", { maxTokens: 40 });
        const { storage } = eyas.info;
        await eyas.dispose();
        return { text, kept: storage.kept, at: document.visibilityState };
      })().catch((error) => ({ error: String(error) }));
    }, `${server.origin}/nano/`);
    while (server.servedBytes < CHUNK) {
      await pause(20);
    }
    const front = await browser.open("about:blank");
    await front.send("Page.bringToFront");
    while ((await page.evaluate(() => document.visibilityState)) !== "hidden") {
      await pause(20);
    }
    goOn();
    const seen = await page.evaluate(() => window.loading);
    const states = await page.evaluate(() => window.states);
    assert.deepEqual(seen, { text: expected, kept: true, at: "hidden" });
    assert.ok(states.some(([phase, state]) => phase === "weights" && state === "hidden"), JSON.stringify(states.slice(-5)));
    assert.deepEqual(states.at(-1), ["ready", "hidden"]);
  } finally {
    await browser.close();
  }
});

for (const connection of [{ saveData: true }, { saveData: false, type: "cellular" }]) {
  test(`a device that is to save data (${JSON.stringify(connection)}) asks first`, async () => {
    server.reset();
    const big = Buffer.alloc(9 << 20);
    server.files.set("/big/model.safetensors", big);
    server.files.set("/big/config.json", readFileSync(join(folder, "config.json")));
    const page = await openPage();
    const seen = await page.evaluate(async ([origin, connection]) => {
      const source = await (await fetch("/eyas/worker.js")).text();
      const saver = `Object.defineProperty(WorkerNavigator.prototype, "connection", { get: () => (${JSON.stringify(connection)}) });\n`;
      const worker = URL.createObjectURL(new Blob([saver, source], { type: "text/javascript" }));
      const assets = { worker, gpuWasm: "/eyas/eyas_gpu_bg.wasm", cpuWasm: "/eyas/eyas_cpu_bg.wasm" };
      const outcome = (options) => window.outcome(window.slim.load({ model: `${origin}/big/`, device: "cpu", assets, ...options }));
      const small = await window.slim.load({ model: window.address, device: "cpu", assets });
      await small.dispose();
      return { asked: await outcome({}), ignored: await outcome({ dataSaver: "ignore" }) };
    }, [server.origin, connection]);
    assert.equal(seen.asked.error.code, "over-budget", JSON.stringify(seen));
    assert.match(seen.asked.error.message, /save data/);
    assert.equal(seen.ignored.error.code, "bad-model", "it was fetched, and is no model");
    await page.context().close();
  });
}

test("an aborted load can be gone on with", async () => {
  server.reset();
  const page = await openPage();
  server.fault = ({ name, attempt }) => (name === "model.safetensors" && attempt === 1 ? { stallAt: 3_000_000 } : undefined);
  const message = await page.evaluate(async () => {
    const controller = new AbortController();
    const loading = window.eyas.load({ model: window.address, device: "cpu", signal: controller.signal, onProgress: ({ fetchedBytes }) => fetchedBytes > 2_500_000 && controller.abort("enough") });
    return loading.then(() => "loaded", (reason) => reason);
  });
  assert.equal(message, "enough");
  const seen = await load(page);
  assert.equal(seen.text, expected, JSON.stringify(seen).slice(0, 300));
  // The chunk at hand may be lost, and what came before is there.
  const { start } = server.requests.filter(({ name, method }) => name === "model.safetensors" && method === "GET").at(-1);
  assert.ok(start >= 2_500_000 - (totalBytes - weights.length) - CHUNK, `it went on at ${start}`);
  assert.equal(seen.storage.fetchedBytes, weights.length - start);
  await page.context().close();
});
