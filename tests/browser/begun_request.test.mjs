// A model that is one file and not kept is asked for while its module is still on its way: once, and only where nothing that is read first decides
// whether it is fetched. And how its body is read.
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";

import { writeRandomModel } from "../bench/random_model.mjs";
import { dist, startLab } from "./chromium.mjs";

const SHAPE = { layers: 2, hidden: 64, heads: 2, kvHeads: 1, feedForward: 96, vocab: 320, context: 256 };
/** Larger than what a body is read into at a time. */
const LARGE_SHAPE = { ...SHAPE, hidden: 256, heads: 4, vocab: 16_384 };
const KEY = "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="; // of RFC 8032, section 7.1

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const wasm = readFileSync(join(dist, "eyas_cpu_bg.wasm"));
let lab;
let small;
let large;
/** What the server serves. */
let model;
let server;

/** Serves `/model.gguf` as `server.answer` does it, and `/cpu.wasm` when `server.open()` was called. */
async function startGatedServer() {
  const state = { requests: [], closed: 0 };
  const http = createServer(async (request, response) => {
    const { pathname } = new URL(request.url, "http://localhost");
    response.setHeader("access-control-allow-origin", "*");
    response.setHeader("access-control-allow-headers", "range");
    if (request.method === "OPTIONS") {
      response.writeHead(204).end();
    } else if (pathname === "/model.gguf") {
      state.requests.push({ path: pathname, range: request.headers.range, credentials: request.headers.cookie, referer: request.headers.referer });
      response.once("close", () => (state.closed += 1));
      await state.answer(request, response);
    } else if (pathname === "/eyas.manifest.json") {
      state.requests.push({ path: pathname });
      response.writeHead(state.manifest === undefined ? 404 : 200, { "content-type": "application/json" }).end(state.manifest);
    } else if (pathname === "/cpu.wasm") {
      state.requests.push({ path: pathname });
      await state.gate;
      response.writeHead(state.hasModule ? 200 : 404, { "content-type": "application/wasm" }).end(state.hasModule ? wasm : "");
    } else {
      response.writeHead(404).end();
    }
  });
  await new Promise((resolve) => http.listen(0, "127.0.0.1", resolve));
  Object.assign(state, {
    origin: `http://127.0.0.1:${http.address().port}`,
    reset(answer = whole) {
      Object.assign(state, { requests: [], closed: 0, hasModule: true, manifest: undefined, answer });
      state.gate = new Promise((resolve) => (state.open = resolve));
    },
    close: () => (http.closeAllConnections(), new Promise((resolve) => http.close(resolve))),
  });
  return state;
}

/** The model's requests so far, or another file's. */
const asked = (file = "/model.gguf") => server.requests.filter(({ path }) => path === file);
/** Waits for something that must come, long enough for any machine. */
async function until(condition) {
  for (let left = 12_000; !condition(); left -= 1) {
    assert.ok(left > 0, `this never came: ${condition}; found ${JSON.stringify(server.requests)}`);
    await pause(10);
  }
}

function whole(request, response) {
  const [, first, last] = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? "") ?? [];
  const from = Number(first ?? 0);
  const end = last ? Number(last) + 1 : model.length;
  const headers = { etag: '"1"', "content-length": end - from, "access-control-expose-headers": "etag, content-range" };
  response.writeHead(first === undefined ? 200 : 206, first === undefined ? headers : { ...headers, "content-range": `bytes ${from}-${end - 1}/${model.length}` });
  response.end(model.subarray(from, end));
}

/** The file in pieces of very different sizes, each as it comes. */
async function dribbled(_, response) {
  response.writeHead(200, { etag: '"1"', "content-length": model.length });
  for (let [from, turn] = [0, 0]; from < model.length; turn += 1) {
    const size = [1, 3_000_000, 5, 700_000, 1 << 20, 70_000][turn % 6];
    response.write(model.subarray(from, from + size));
    from += size;
    await pause(5);
  }
  response.end();
}

/** Half of the file at first, whose connection then breaks; the rest of it after that. */
function broken(request, response) {
  if (asked().length > 1) {
    return whole(request, response);
  }
  half(request, response);
  setTimeout(() => response.destroy(), 50);
}

/** Half of the file, and nothing more. */
function half(_, response) {
  response.writeHead(200, { etag: '"1"', "content-length": model.length });
  response.write(model.subarray(0, model.length >>> 1));
}

before(async () => {
  const folder = mkdtempSync(join(tmpdir(), "eyas-begun-"));
  [small, large] = [SHAPE, LARGE_SHAPE].map((shape) => {
    writeRandomModel(join(folder, "model.gguf"), shape, "q4_0");
    return readFileSync(join(folder, "model.gguf"));
  });
  model = small;
  rmSync(folder, { recursive: true });
  [lab, server] = await Promise.all([startLab(), startGatedServer()]);
});
after(() => Promise.all([lab.close(), server.close()]));

/** Begins a load in a fresh page; `outcome` is what becomes of it. */
async function begin(options, worker = "/eyas/worker.js") {
  const page = await lab.page();
  await page.evaluate(([origin, options, worker]) => {
    window.controller = new AbortController();
    const assets = { ...window.metered, worker, cpuWasm: `${origin}/cpu.wasm` };
    const load = window.slim.load({ model: `${origin}/model.gguf`, device: "cpu", signal: window.controller.signal, assets, ...options });
    window.ended = window.outcome(
      load.then(async (eyas) => {
        const { tokenIds } = await eyas.chat({ prompt: "abcdef" }, { maxTokens: 8 });
        const { storage } = eyas.info;
        await eyas.dispose();
        return { tokenIds, storage };
      }),
    );
  }, [server.origin, options, worker]);
  return { page, outcome: () => page.evaluate(() => window.ended) };
}

test("a model that is not kept is asked for before its module is there, once, and is the same model", async () => {
  server.reset();
  const { page, outcome } = await begin({ store: "none" });
  await until(() => asked().length > 0 && asked("/eyas.manifest.json").length > 0);
  server.open();
  const { value } = await outcome();
  assert.deepEqual([asked().length, asked("/eyas.manifest.json").length], [1, 1]);
  assert.deepEqual(asked()[0], { path: "/model.gguf", range: undefined, credentials: undefined, referer: undefined });
  assert.equal(value.storage.fetchedBytes, model.length);
  await page.close();

  server.reset();
  server.open();
  const kept = await begin({});
  assert.deepEqual((await kept.outcome()).value.tokenIds, value.tokenIds);
  await kept.page.close();
});

test("a manifest that came before the module counts, and one that nobody wants is not asked for", async () => {
  server.reset();
  server.manifest = '{"format":1}';
  const { page, outcome } = await begin({ store: "none" });
  await until(() => asked("/eyas.manifest.json").length > 0);
  server.open();
  assert.equal((await outcome()).error?.code, "bad-model");
  assert.equal(asked("/eyas.manifest.json").length, 1);
  await page.close();

  server.reset();
  server.manifest = "{";
  server.open();
  const without = await begin({ store: "none", manifest: false });
  assert.equal((await without.outcome()).value.tokenIds.length, 8);
  assert.equal(asked("/eyas.manifest.json").length, 0);
  await without.page.close();
});

test("a body is read into the worker's own buffer, or as the browser gives it, and is the same model", async () => {
  model = large;
  assert.ok(model.length > 4 << 20, `${model.length} bytes`);
  try {
    const answers = [];
    for (const answer of [whole, dribbled, broken]) {
      for (const mode of ["byob", "default"]) {
        for (const options of [{ store: "none" }, {}]) {
          server.reset(answer);
          server.open();
          const { page, outcome } = await begin(options, `/metered/readers-${mode}.js`);
          const { value, error } = await outcome();
          assert.equal(error, undefined, `${mode}, ${answer.name}: ${JSON.stringify(error)}`);
          assert.equal(value.tokenIds.length, 8);
          answers.push(value.tokenIds);
          await page.close();
        }
      }
    }
    for (const answer of answers) {
      assert.deepEqual(answer, answers[0]);
    }
  } finally {
    model = small;
  }
});

test("a body that there is no buffer for is out-of-memory, and ends", async () => {
  for (const options of [{ store: "none" }, {}]) {
    server.reset(half);
    server.open();
    const { page, outcome } = await begin(options, "/metered/bufferless.js");
    const { error } = await outcome();
    assert.equal(error?.code, "out-of-memory", JSON.stringify(error));
    assert.match(error.message, /Array buffer allocation failed/);
    assert.equal(asked().length, 1, "it is not tried again");
    await until(() => server.closed === 1);
    await page.close();
  }
});

test("an abort ends a body in either reader", async () => {
  for (const mode of ["byob", "default"]) {
    server.reset(half);
    server.open();
    const { page, outcome } = await begin({ store: "none" }, `/metered/readers-${mode}.js`);
    await until(() => asked().length > 0);
    await pause(200);
    await page.evaluate(() => window.controller.abort());
    assert.equal((await outcome()).error?.name, "AbortError", mode);
    await until(() => server.closed === 1);
    await page.close();
  }
});

for (const [name, options, code] of [
  ["what is kept", {}, undefined],
  ["a budget", { store: "none", budget: { downloadBytes: 1000 } }, "over-budget"],
  ["a signature", { store: "none", publicKey: KEY }, "integrity"],
]) {
  test(`${name} is looked at before the model is asked for`, async () => {
    server.reset();
    const { page, outcome } = await begin(options);
    await until(() => server.requests.length > 0);
    await pause(300);
    assert.equal(asked().length + asked("/eyas.manifest.json").length, 0);
    server.open();
    assert.equal((await outcome()).error?.code, code);
    await page.close();
  });
}

test("an abort while the module is on its way ends the request", async () => {
  server.reset(half);
  const { page, outcome } = await begin({ store: "none" });
  await until(() => asked().length > 0);
  await page.evaluate(() => window.controller.abort());
  assert.ok((await outcome()).error);
  await until(() => server.closed === 1);
  server.open();
  await page.close();
});

test("a module that is not there ends the request", async () => {
  server.reset(half);
  server.hasModule = false;
  const { page, outcome } = await begin({ store: "none" });
  await until(() => asked().length > 0);
  server.open();
  assert.equal((await outcome()).error.code, "download-failed");
  await until(() => server.closed === 1);
  await page.close();
});

test("an answer that says that there is no model, or that the server is broken, is what the load says", async () => {
  // A server that was broken then is asked once more.
  for (const [status, code, times] of [[404, "model-not-found", 1], [500, "download-failed", 2]]) {
    server.reset((_, response) => response.writeHead(status).end());
    const { page, outcome } = await begin({ store: "none" });
    await until(() => asked().length > 0);
    server.open();
    assert.equal((await outcome()).error.code, code);
    assert.equal(asked().length, times);
    await page.close();
  }
});

test("a connection that breaks meanwhile is made anew", async () => {
  server.reset(broken);
  const { page, outcome } = await begin({ store: "none" });
  await until(() => server.closed === 1);
  server.open();
  const { value, error } = await outcome();
  assert.equal(error, undefined);
  assert.equal(value.tokenIds.length, 8);
  assert.ok(asked().length > 1); // the browser's cache may go on where it was cut, by requests of its own
  await page.close();
});
