// A tab whose process is killed, by its id, in the middle of a download and at every change of the commit behind it: the next visit goes on.
//
// What holds here holds however busy the machine is: the next visit begins behind everything that the killed one had stored. How much the server has sent
// twice depends on what was in the buffers between the two, and is printed.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { after, before, test } from "node:test";

import { thorough } from "./chromium.mjs";
import { killTab } from "./processes.mjs";
import { CHUNK, pause, seeded, startStoreLab, totalBytes, WEIGHTS, weights } from "./store_lab.mjs";
import { loadAfterKill, loadOnce, openStorePage } from "./store_page.mjs";

const KILLS = thorough ? 20 : 8;
const MARK_BYTES = 40;
const sha256 = (bytes) => createHash("sha256").update(bytes).digest();

let lab;
let server;
let close;
let expected;
before(async () => {
  ({ lab, server, close } = await startStoreLab());
  const page = await openStorePage(lab, server.origin);
  expected = (await loadOnce(page, { store: "none" })).text;
  assert.ok(expected.length > 10);
  await page.context().close();
});
after(() => close());

const random = seeded(20261122);

/** Requests for the weights' bytes. */
const weightRequests = () => server.requests.filter(({ name, method }) => name === WEIGHTS && method === "GET");

/** How many bytes of the weights another page sees in the store now, as far as a digest vouches for them. */
async function storedWeights(watcher) {
  const slots = await watcher.evaluate(async () => {
    const slots = [];
    try {
      const root = await (await navigator.storage.getDirectory()).getDirectoryHandle("eyas-models");
      for await (const folder of root.values()) {
        for await (const file of folder.values()) {
          if (file.name.endsWith("-sums")) {
            const sums = new Uint8Array(await (await file.getFile()).arrayBuffer());
            const data = await folder.getFileHandle(file.name.replace("-sums", "-data"));
            slots.push({ sums: [...sums], bytes: (await data.getFile()).size });
          }
        }
      }
    } catch (error) {
      if (error.name !== "NotFoundError") throw error; // it is being made
    }
    return slots;
  });
  return Math.max(0, ...slots.map(({ sums, bytes }) => durableBytes(Buffer.from(sums), bytes)));
}

function durableBytes(sums, dataBytes) {
  let chunks = 0;
  const end = () => Math.min((chunks + 1) * CHUNK, weights.length);
  while (chunks * CHUNK < weights.length && end() <= dataBytes && sums.subarray(32 * chunks, 32 * chunks + 32).equals(sha256(weights.subarray(chunks * CHUNK, end())))) {
    chunks += 1;
  }
  let durable = Math.min(chunks * CHUNK, weights.length);
  for (const at of [0, MARK_BYTES].map((turn) => 32 * (chunks + 1) + turn)) {
    if (sums.length >= at + MARK_BYTES) {
      const marked = Number(sums.readBigUInt64LE(at + 32));
      const isTrue = marked > durable && marked < weights.length && marked <= dataBytes;
      if (isTrue && sums.subarray(at, at + 32).equals(sha256(weights.subarray(0, marked)))) {
        durable = marked;
      }
    }
  }
  return durable;
}

test(`killed at ${KILLS} points of a download, the next visit goes on behind the last byte that was stored`, async () => {
  const context = await lab.browser.newContext();
  const watcher = await openStorePage(lab, server.origin, context);
  const extras = [];
  for (let run = 0; run < KILLS; run++) {
    server.reset();
    const page = await openStorePage(lab, server.origin, context);
    const limit = 1 + random(weights.length - 1);
    // The server falls silent at a random byte. Half of the tabs die when all that was sent is stored, the others sooner.
    server.fault = ({ name }) => (name === WEIGHTS ? { stallAt: limit, sliceMs: 1 } : undefined);
    void page.evaluate(() => void window.once({}));
    const enough = run % 2 === 0 ? limit : 1 + random(limit);
    let durable = 0;
    while ((durable = await storedWeights(watcher)) < enough) {
      await pause(10);
    }
    await killTab(lab.browser, page);
    server.fault = () => undefined;
    const requests = weightRequests().length;
    const sent = server.servedBytes;
    const next = await openStorePage(lab, server.origin, context);
    const seen = await loadAfterKill(next);
    assert.equal(seen.text, expected, `killed at ${durable} of ${limit}: ${JSON.stringify(seen).slice(0, 300)}`);
    const [resumed, ...more] = weightRequests().slice(requests);
    assert.deepEqual(more, [], "one request for the rest");
    assert.ok(resumed.start >= durable, `${durable} bytes were stored, and it went on at ${resumed.start}`);
    assert.ok(resumed.start <= limit, "nothing is there that was not sent");
    assert.equal(server.servedBytes - sent, weights.length - resumed.start, "and nothing else is fetched");
    assert.equal(seen.storage.fetchedBytes, weights.length - resumed.start);
    extras.push(server.servedBytes - totalBytes);
    await next.evaluate(() => window.eyas.models.remove(window.address));
    await next.close();
  }
  extras.sort((a, b) => a - b);
  console.log(`${KILLS} kills: sent twice ${extras[KILLS >> 1]} bytes in the median, ${extras.at(-1)} at most; ${extras.filter((extra) => extra === 0).length} times none`);
  await context.close();
});

/** In front of the worker: stops it for good in the middle of its n-th change on the device behind the last byte of a file of `bytes` bytes. */
function stopAt(n, bytes, url) {
  return `
let left = Infinity;
const stop = () => {
  const request = new XMLHttpRequest();
  request.open("GET", ${JSON.stringify(url)}, false);
  request.send(); // the answer never ends
};
for (const name of ["write", "truncate", "flush", "close"]) {
  const original = FileSystemSyncAccessHandle.prototype[name];
  FileSystemSyncAccessHandle.prototype[name] = function (...given) {
    if (left === 0 && name === "write") {
      original.call(this, given[0].subarray(0, given[0].length >> 1), given[1]);
    }
    if (left === 0) {
      stop();
    }
    left -= 1;
    const result = original.apply(this, given);
    if (name === "write" && given[1].at + given[0].length === ${bytes}) {
      left = ${n};
    }
    return result;
  };
}
`;
}

test("killed in each change of the commit of a first download, the next visit has the model or goes on", async () => {
  const context = await lab.browser.newContext();
  const seen = { whole: 0, wentOn: 0, changes: 0 };
  for (let change = 0; ; change++) {
    server.reset();
    server.files.set("/nano/stop", Buffer.alloc(8));
    server.fault = ({ name }) => (name === "stop" ? { stallAt: 0 } : undefined);
    const page = await openStorePage(lab, server.origin, context);
    let isLoaded = false;
    const loading = page.evaluate(
      async ([prelude]) => {
        const worker = URL.createObjectURL(new Blob([prelude, await (await fetch("/eyas/worker.js")).text()], { type: "text/javascript" }));
        return window.once({ assets: { worker, gpuWasm: "/eyas/eyas_gpu_bg.wasm", cpuWasm: "/eyas/eyas_cpu_bg.wasm" } });
      },
      [stopAt(change, weights.length, `${server.origin}/nano/stop`)],
    );
    loading.then(() => (isLoaded = true), () => {}); // a killed page answers nothing
    while (server.openStalls === 0 && !isLoaded) {
      await pause(10);
    }
    if (isLoaded) {
      assert.equal((await loading).text, expected, "no change is left to be stopped in");
      seen.changes = change;
      await page.close();
      break;
    }
    await killTab(lab.browser, page);
    server.fault = () => undefined;
    const requests = server.requests.length;
    const next = await openStorePage(lab, server.origin, context);
    const listed = await next.evaluate(() => window.eyas.models.list());
    assert.equal(listed.length, 1, `change ${change}`);
    const answer = await loadAfterKill(next);
    assert.equal(answer.text, expected, `change ${change}: ${JSON.stringify(answer).slice(0, 300)}`);
    if (listed[0].complete) {
      assert.equal(server.requests.length, requests, `change ${change}: a complete model needs no network`);
      seen.whole += 1;
    } else {
      assert.ok(answer.storage.fetchedBytes <= CHUNK, `change ${change}: ${answer.storage.fetchedBytes} bytes were fetched again`);
      seen.wentOn += 1;
    }
    const [model] = await next.evaluate(() => window.eyas.models.list());
    assert.equal(model.complete, true);
    assert.equal(model.bytes, totalBytes);
    await next.evaluate(() => window.eyas.models.remove(window.address));
    await next.close();
  }
  assert.ok(seen.changes >= 10 && seen.wentOn > 0, JSON.stringify(seen));
  console.log(`killed in each of ${seen.changes} changes: ${seen.wentOn} times the next visit went on, ${seen.whole} times the model was there`);
  await context.close();
});
