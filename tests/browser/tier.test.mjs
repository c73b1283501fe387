// Both tiers in Chromium: the cloud is LiteLLM's proxy behind a proxy that breaks things, and what left is judged by the browser's own
// network log, by a Content Security Policy's reports, and by what the proxy saw; the ledger must agree with them.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { hasGpu, launch, startLab } from "./chromium.mjs";
import { faultCases, runFaultCase } from "./fault_cases.mjs";
import { startFaultProxy } from "./fault_proxy.mjs";
import { startLiteLlm, TEXT } from "./litellm_server.mjs";

let lab;
let gpu;
let server;
let proxy;
before(async () => {
  [lab, server] = await Promise.all([startLab(), startLiteLlm()]);
  gpu = await hasGpu(lab);
  proxy = await startFaultProxy(server.origin ?? "http://127.0.0.1:9");
  if (server.why) {
    console.log(`SKIP the cloud's answers: ${server.why}`);
  }
});
after(async () => {
  server.close?.();
  await Promise.all([lab.close(), proxy.close()]);
});

const NOWHERE = "/nano-that-is-not-there/";

/** A page whose network log is kept. */
async function watchedPage(browser = lab.browser) {
  const context = await browser.newContext();
  const page = await context.newPage();
  const requests = [];
  context.on("request", (request) => requests.push(new URL(request.url()).origin));
  await page.goto(`${lab.app.origin}/`);
  await page.waitForFunction("window.ready");
  await page.evaluate(() => {
    window.outcome = (promise) => promise.then((value) => ({ value }), (error) => ({ error: { code: error?.code, message: String(error?.message ?? error) } }));
    window.metered = { worker: "/metered/worker.js", gpuWasm: "/eyas/eyas_gpu_bg.wasm", cpuWasm: "/eyas/eyas_cpu_bg.wasm" };
  });
  return { page, requests, close: () => context.close() };
}

test("each fault of the cloud has its recovery or its code, and the ledger counts what the proxy saw", async (t) => {
  if (server.why) return t.skip(server.why);
  const { page, close } = await watchedPage();
  for (const fault of faultCases(TEXT)) {
    console.log(await runFaultCase(page, proxy, { model: "mock", nowhere: NOWHERE, text: TEXT, fault }));
  }
  await close();
});

test("a preflight that is refused, and a network that is gone, are cloud-http, and nothing reaches the proxy", async () => {
  const { page, close } = await watchedPage();
  for (const plan of ["preflight", "offline"]) {
    const before = proxy.seen.length;
    const seen = await page.evaluate(
      async ([endpoint, nowhere]) => {
        const eyas = await window.eyas.load({ model: nowhere, cloud: { endpoint, model: "mock", retry: { maxRetries: 1 } } });
        const { error } = await window.outcome(eyas.chat("hi"));
        const entries = eyas.ledger.entries();
        await eyas.dispose();
        return { error, outcomes: entries.map(({ outcome }) => outcome) };
      },
      [plan === "offline" ? "http://127.0.0.1:9/v1" : `${proxy.origin}/${plan}/v1`, NOWHERE],
    );
    assert.equal(seen.error?.code, "cloud-http", JSON.stringify(seen));
    assert.deepEqual(seen.outcomes, ["unknown", "unknown"]);
    assert.equal(proxy.seen.length, before);
  }
  await close();
});

/** The ways in which a device can fail, each with how to make it so. */
const FAILURES = {
  "no model": { load: { model: NOWHERE } },
  "too small a budget": { load: { budget: { memoryBytes: 100_000 } } },
  "no device": { load: { device: "gpu" }, worker: "/metered/deviceless.js", gpu: true },
  "a device lost in mid-answer": { load: { device: "gpu" }, lose: true, gpu: true },
};

for (const [name, { load, worker, lose, gpu: needsGpu }] of Object.entries(FAILURES)) {
  for (const privacy of ["local-only", "prefer-local"]) {
    test(`${name}, ${privacy}: ${privacy === "local-only" ? "nothing leaves" : "the cloud answers once, and says why"}`, async (t) => {
      if (needsGpu && !gpu) return t.skip("this Chromium has no WebGPU adapter");
      if (server.why && privacy !== "local-only") return t.skip(server.why);
      const { page, requests, close } = await watchedPage();
      const before = proxy.seen.length;
      const seen = await page.evaluate(
        async ([endpoint, privacy, load, worker, lose]) => {
          const assets = { ...window.metered, ...(worker ? { worker } : {}) };
          // The engine may use the cloud; the request may not: it fails closed also where a cloud is at hand.
          const loading = window.slim.load({ model: window.nano, assets, cloud: { endpoint, model: "mock" }, ...load });
          const { value: eyas, error } = await window.outcome(loading);
          if (error) {
            return { error };
          }
          const options = { privacy, midStream: "replace" };
          const changes = [];
          let shown = "";
          let lost = false;
          const stream = eyas.stream([{ role: "user", content: "SECRET book a table for two tomorrow in oslo at eight" }], { ...options, onTierChange: (change) => (changes.push(change), (shown = "")) });
          const answer = await window.outcome((async () => {
            for await (const delta of stream) {
              shown += delta;
              if (lose && !lost) {
                lost = true;
                new BroadcastChannel("gpu-meter").postMessage("lose");
              }
            }
            return stream.result();
          })());
          const entries = eyas.ledger.entries();
          const next = lose ? (await eyas.chat("play some jazz", { privacy })).provenance : undefined;
          await eyas.dispose();
          return { answer, shown, changes, entries, next, device: eyas.info.device };
        },
        [`${proxy.origin}/none/v1`, privacy, load, worker, lose],
      );
      const context = JSON.stringify(seen);
      assert.equal(seen.error, undefined, context);
      if (privacy === "local-only") {
        // A device that is lost comes back; one that was never there does not.
        assert.equal(lose ? seen.answer.value?.provenance.tier : seen.answer.error?.code, lose ? "local" : "local-only", context);
        assert.deepEqual([...new Set(requests)], [lab.app.origin], "the browser's own network log");
        assert.equal(proxy.seen.length, before);
        assert.deepEqual(seen.entries, []);
      } else {
        const { provenance, text } = seen.answer.value ?? {};
        assert.deepEqual([provenance?.tier, provenance?.reason, text, seen.shown], ["cloud", "cannot", TEXT, TEXT], context);
        assert.equal(lose ? provenance.localError : typeof provenance.localError, lose ? "device-lost" : "string", context);
        // The device that was lost is there again for the next request.
        assert.deepEqual([seen.next?.tier, seen.next?.localError], lose ? ["local", null] : [undefined, undefined], context);
        assert.equal(proxy.seen.length, before + 1);
        assert.ok(requests.includes(proxy.origin), "the browser's network log sees what a worker fetches");
        assert.equal(seen.changes.length, lose ? 1 : 0, context);
        console.log(`${name}: ${provenance.detail}`);
      }
      await close();
    });
  }
}

test("a device lost where the cloud can't be reached comes back, and answers here", async (t) => {
  if (!gpu) return t.skip("this Chromium has no WebGPU adapter");
  const { page, close } = await watchedPage();
  const seen = await page.evaluate(async () => {
    const nobody = "http://127.0.0.1:9/v1"; // discard: nothing listens there
    const eyas = await window.slim.load({ model: window.nano, device: "gpu", assets: window.metered, cloud: { endpoint: nobody, model: "mock", retry: { maxRetries: 0 } } });
    const undisturbed = (await eyas.chat("book a table for two tomorrow in oslo at eight")).text;
    const stream = eyas.stream("book a table for two tomorrow in oslo at eight", { midStream: "hold" });
    new BroadcastChannel("gpu-meter").postMessage("lose");
    const { text, provenance } = await stream.result();
    await eyas.dispose();
    return { text, undisturbed, tier: provenance.tier };
  });
  assert.deepEqual([seen.tier, seen.text], ["local", seen.undisturbed], JSON.stringify(seen));
  await close();
});

test("a session with a local-only turn keeps it, though the device is lost and another worker goes on", async (t) => {
  if (!gpu) return t.skip("this Chromium has no WebGPU adapter");
  const { page, requests, close } = await watchedPage();
  const before = proxy.seen.length;
  const seen = await page.evaluate(async (endpoint) => {
    const eyas = await window.slim.load({ model: window.nano, assets: window.metered, device: "gpu", cloud: { endpoint, model: "mock" } });
    const session = eyas.session();
    await session.send("SECRET play jazz", { privacy: "local-only", maxTokens: 6 });
    let lost = false;
    const stream = session.stream("book a table for two tomorrow in oslo", { maxTokens: 40, midStream: "replace" });
    for await (const _ of stream) {
      if (!lost) {
        lost = true;
        new BroadcastChannel("gpu-meter").postMessage("lose");
      }
    }
    const rows = [(await stream.result()).provenance];
    rows.push((await session.send("play rock", { maxTokens: 6, privacy: "prefer-cloud" })).provenance);
    rows.push((await (await session.fork()).send("play pop", { maxTokens: 6 })).provenance);
    const entries = eyas.ledger.entries();
    await eyas.dispose();
    return { rows: rows.map(({ tier, reason, detail }) => `${tier} ${reason} ${detail}`), entries };
  }, `${proxy.origin}/none/v1`);
  assert.deepEqual(seen.entries, []);
  assert.equal(seen.rows.length, 3);
  assert.ok(seen.rows.every((row) => row.startsWith("local may-not ")), JSON.stringify(seen));
  assert.equal(proxy.seen.length, before);
  assert.deepEqual([...new Set(requests)], [lab.app.origin]);
  console.log(seen.rows.join("\n"));
  await close();
});

test("without WebGPU a local-only request is answered on the CPU, and nothing leaves", async () => {
  const browser = await launch({ gpu: false });
  const { page, requests } = await watchedPage(browser);
  const seen = await page.evaluate(async (endpoint) => {
    const eyas = await window.eyas.load({ model: window.nano, privacy: "local-only", cloud: { endpoint, model: "mock" } });
    const { provenance, text } = await eyas.chat("play some jazz", { privacy: "prefer-cloud" });
    return { provenance, text, kind: eyas.info.device.kind };
  }, `${proxy.origin}/none/v1`);
  assert.deepEqual([seen.kind, seen.provenance.tier, seen.provenance.reason, seen.provenance.bytesSent], ["cpu", "local", "may-not", 0]);
  assert.ok(seen.text.length > 0);
  assert.deepEqual([...new Set(requests)], [lab.app.origin]);
  await browser.close();
});

test("a local-only request breaks no policy that forbids the cloud; a request that may leave does", async () => {
  const { page, close } = await watchedPage();
  await page.evaluate(() => {
    const meta = document.createElement("meta");
    meta.httpEquiv = "Content-Security-Policy";
    meta.content = "connect-src 'self'";
    document.head.append(meta);
  });
  // A worker from a blob is held to the policy of its page, and tells its own violations.
  const { codes, blocked } = await page.evaluate(async ([endpoints, nowhere]) => {
    const blocked = [];
    const channel = new BroadcastChannel("csp");
    const told = new Promise((resolve) => {
      channel.onmessage = ({ data }) => {
        blocked.push(data);
        if (data.startsWith(endpoints["prefer-local"])) resolve();
      };
    });
    const source = `addEventListener("securitypolicyviolation", (event) => new BroadcastChannel("csp").postMessage(event.blockedURI));\n${await (await fetch("/eyas/worker.js")).text()}`;
    const worker = URL.createObjectURL(new Blob([source], { type: "text/javascript" }));
    const codes = [];
    const engines = [];
    for (const [privacy, endpoint] of Object.entries(endpoints)) {
      const assets = { ...window.metered, worker };
      const eyas = await window.slim.load({ model: new URL(nowhere, location.href).href, assets, cloud: { endpoint, model: "mock", retry: { maxRetries: 0 } } });
      engines.push(eyas);
      codes.push((await window.outcome(eyas.chat("SECRET", { privacy }))).error?.code);
    }
    // What the second one did is told after what the first one might have done.
    await told;
    await Promise.all(engines.map((eyas) => eyas.dispose()));
    return { codes, blocked };
  }, [{ "local-only": `${proxy.origin}/quiet/v1`, "prefer-local": `${proxy.origin}/loud/v1` }, NOWHERE]);
  assert.deepEqual(codes, ["local-only", "cloud-http"]);
  assert.ok(blocked.length > 0 && blocked.every((uri) => uri.startsWith(`${proxy.origin}/loud/`)), blocked.join());
  await close();
});

test("what a local-only turn said stays in its session and fork; the rest may leave without it", async (t) => {
  if (server.why) return t.skip(server.why);
  const { page, close } = await watchedPage();
  const before = proxy.seen.length;
  const seen = await page.evaluate(async (endpoint) => {
    const rows = [];
    for (const taint of ["refuse", "without"]) {
      const eyas = await window.eyas.load({ model: window.nano, privacy: "prefer-cloud", cloud: { endpoint, model: "mock", taint } });
      const session = eyas.session();
      await session.send("SECRET play jazz", { privacy: "local-only", maxTokens: 8 });
      const fork = await session.fork();
      const { provenance } = await fork.send("will it rain in oslo", { maxTokens: 8 });
      const own = await eyas.session().send("play rock", { maxTokens: 8 });
      rows.push([taint, provenance.tier, provenance.reason, provenance.downgrades.length, own.provenance.tier]);
      await eyas.dispose();
    }
    return rows;
  }, `${proxy.origin}/none/v1`);
  assert.deepEqual(seen, [["refuse", "local", "may-not", 0, "cloud"], ["without", "cloud", "may-not", 1, "cloud"]]);
  assert.equal(proxy.seen.length, before + 3);
  assert.ok(proxy.seen.slice(before).every(({ body }) => !body.includes("SECRET")));
  await close();
});

test("what a local-only turn said is known again where the application quotes it, and so is half an answer", async (t) => {
  if (server.why) return t.skip(server.why);
  const { page, close } = await watchedPage();
  const before = proxy.seen.length;
  const seen = await page.evaluate(async (endpoint) => {
    const eyas = await window.eyas.load({ model: window.nano, privacy: "prefer-cloud", cloud: { endpoint, model: "mock", taint: "without" } });
    const question = { role: "user", content: "SECRET play jazz by Miles Davis, and a little later something slow for two" };
    const stream = eyas.stream([question], { privacy: "local-only", maxTokens: 40 });
    let half = "";
    for await (const delta of stream) {
      half += delta;
      if (half.length > 2) break;
    }
    await window.outcome(stream.result());
    const rows = [];
    const quotes = [
      { role: "system", content: `Earlier: ${question.content}. Go on.` },
      { role: "assistant", content: half },
      { role: "tool", content: JSON.stringify({ said: question.content }) },
      { role: "user", content: "A friend said: 'play JAZZ by Miles Davis, and a little later something slow'. Why?" },
    ];
    for (const quote of quotes) {
      const { provenance } = await eyas.chat([quote, { role: "user", content: "will it rain in oslo" }]);
      rows.push([provenance.tier, provenance.downgrades.length]);
    }
    await eyas.dispose();
    return { rows, half };
  }, `${proxy.origin}/none/v1`);
  assert.deepEqual(seen.rows, Array(4).fill(["cloud", 1]), JSON.stringify(seen));
  const bodies = proxy.seen.slice(before).map(({ body }) => JSON.parse(body).messages.map(({ content }) => content));
  assert.deepEqual(bodies, Array(4).fill(["will it rain in oslo"]));
  await close();
});

test("usage, seed and cost of an engine whose cloud answers", async (t) => {
  if (server.why) return t.skip(server.why);
  const { page, close } = await watchedPage();
  const before = proxy.seen.length;
  const seen = await page.evaluate(async (endpoint) => {
    const prices = { promptPerMillion: 1e6, completionPerMillion: 2e6 };
    const eyas = await window.eyas.load({ model: window.nano, cloud: { endpoint, model: "mock", prices } });
    const here = await eyas.chat("play jazz", { maxTokens: 4, temperature: 1 });
    const drawn = await eyas.chat("play rock", { privacy: "local-only", maxTokens: 4, temperature: 1, seed: 5 });
    await eyas.dispose();
    const cloud = await window.eyas.load({ model: window.nano, privacy: "prefer-cloud", cloud: { endpoint, model: "mock", prices } });
    const there = await cloud.chat("play jazz", { temperature: 1 });
    const asked = await cloud.chat("play jazz", { temperature: 1, seed: 7 });
    const usage = cloud.usage;
    await cloud.dispose();
    return { here, drawn, there, asked, local: eyas.usage, usage };
  }, `${proxy.origin}/none/v1`);
  assert.equal(typeof seen.here.seed, "number");
  assert.deepEqual([seen.drawn.seed, seen.there.seed, seen.asked.seed], [5, null, 7]);
  const bodies = proxy.seen.slice(before).map(({ body }) => JSON.parse(body));
  assert.deepEqual(bodies.map(({ seed }) => seed), [undefined, 7]);
  const sum = (answers, of) => answers.reduce((total, answer) => total + of(answer), 0);
  const answers = [seen.there, seen.asked];
  assert.deepEqual(seen.usage, {
    local: { requests: 0, promptTokens: 0, completionTokens: 0 },
    cloud: { requests: 2, promptTokens: sum(answers, ({ usage }) => usage.promptTokens), completionTokens: sum(answers, ({ usage }) => usage.completionTokens), uncounted: 0, brokenOff: 0 },
    bytesSent: proxy.seen.slice(before).reduce((total, { bytes }) => total + bytes, 0),
    cost: sum(answers, ({ provenance }) => provenance.cost),
    saved: 0,
  });
  assert.ok(seen.usage.cost > 0);
  assert.deepEqual([seen.local.local.requests, seen.local.cloud.requests, seen.local.cost], [2, 0, 0]);
  assert.ok(seen.local.saved > 0 && seen.local.saved === seen.here.provenance.saved + seen.drawn.provenance.saved);
  await close();
});

for (const device of ["cpu", "gpu"]) {
  test(`a plan for the ${device} tells the bytes before any weight is fetched, and what would fit`, async (t) => {
    if (device === "gpu" && !gpu) return t.skip("this Chromium has no WebGPU adapter");
    const { page, requests, close } = await watchedPage();
    const seen = await page.evaluate(async (device) => {
      const load = { model: window.nano, device, quantize: "none" };
      const plan = await window.eyas.plan(load);
      let peakBytes = 0;
      new BroadcastChannel("gpu-meter").onmessage = ({ data }) => (peakBytes = Math.max(peakBytes, data.peakBufferBytes));
      const eyas = await window.slim.load({ ...load, assets: window.metered });
      await eyas.chat("play jazz", { maxTokens: 2 });
      const { deviceBytes } = await eyas.memory();
      await eyas.dispose();
      const { weightBytes, cacheBytes, scratchBytes, stagingBytes } = plan.asked.need;
      const budget = { memoryBytes: weightBytes + cacheBytes + scratchBytes + stagingBytes - 1 };
      const tight = await window.eyas.plan({ ...load, budget });
      const refused = await window.outcome(window.eyas.load({ ...load, budget }));
      return { plan, deviceBytes, tight, refused, peakBytes };
    }, device);
    const { need } = seen.plan.asked;
    const planned = need.weightBytes + need.cacheBytes;
    const inAll = planned + need.scratchBytes + need.stagingBytes;
    const buffers = device === "gpu" ? `, ${seen.peakBytes} in GPU buffers at most of ${inAll} planned in all` : "";
    console.log(`${device}: planned ${planned} bytes, allocated ${seen.deviceBytes}${buffers}; ${seen.tight.detail}`);
    assert.equal(seen.plan.answerer, "local");
    assert.ok(planned >= seen.deviceBytes && planned <= 1.05 * seen.deviceBytes);
    assert.ok(seen.peakBytes <= inAll && (device === "cpu" || seen.peakBytes > 0));
    assert.equal(seen.tight.answerer, "nobody");
    assert.ok(seen.tight.wouldFit.length > 0);
    assert.equal(seen.refused.error?.code, "over-budget");
    assert.deepEqual([...new Set(requests)], [lab.app.origin]);
    await close();
  });
}

test("an abort stops the cloud's answer too, and what takes too long here goes there", async (t) => {
  if (server.why) return t.skip(server.why);
  const { page, close } = await watchedPage();
  const seen = await page.evaluate(async ([stall, good]) => {
    const cloud = (endpoint) => ({ endpoint, model: "mock" });
    const eyas = await window.eyas.load({ model: window.nano, privacy: "prefer-cloud", cloud: cloud(stall) });
    const controller = new AbortController();
    const reason = new Error("enough");
    let shown = "";
    const stream = eyas.stream("hi", { signal: controller.signal });
    const error = await (async () => {
      for await (const delta of stream) {
        shown += delta;
        controller.abort(reason);
      }
    })().catch((error) => error);
    const after = await eyas.chat("play jazz", { privacy: "local-only", maxTokens: 4 });
    const { brokenOff, completionTokens } = eyas.usage.cloud;
    const told = eyas.ledger.entries().map(({ status, brokenOff }) => [status, brokenOff?.completionTokens, brokenOff?.isCounted]);
    await eyas.dispose();
    const hasty = await window.eyas.load({ model: window.nano, device: "cpu", cloud: cloud(good), budget: { firstTokenMs: 0.01 } });
    await hasty.chat("play jazz"); // which measures how fast this device is
    const { provenance } = await hasty.chat("book a table for two");
    await hasty.dispose();
    return { isOwn: error === reason, shown, usage: [brokenOff, completionTokens], told, after: after.provenance.tier, tier: provenance.tier, reason: provenance.reason, detail: provenance.detail };
  }, [`${proxy.origin}/stall,stall/v1`, `${proxy.origin}/none/v1`]);
  const { detail, ...rest } = seen;
  assert.deepEqual(rest, { isOwn: true, shown: "half", usage: [1, 1], told: [[200, 1, false]], after: "local", tier: "cloud", reason: "should-not" }, JSON.stringify(seen));
  // The server would have held its answer for ever.
  assert.equal(await proxy.seen.find(({ plan }) => plan === "stall,stall").ended, true);
  assert.match(detail, /firstTokenMs/);
  await close();
});

test("a load that killed its page is refused once, and a page that was left is not taken for one", async () => {
  const { page, close } = await watchedPage();
  const mark = (text) => page.evaluate((text) => {
    const key = `eyas-loading:${new URL("/nano-x/", location.href).href} cpu auto auto`;
    if (text) localStorage.setItem(key, text);
    return localStorage.getItem(key);
  }, text);
  await mark("0");
  const attempt = () => page.evaluate(async () => (await window.outcome(window.eyas.load({ model: "/nano-x/", device: "cpu" }))).error);
  const first = await attempt();
  assert.equal(first.code, "over-budget");
  assert.match(first.message, /never ended/);
  assert.equal((await attempt()).code, "model-not-found");
  assert.equal(await mark(), null);
  // After two of them in a row two calls are refused, whatever page makes them.
  await mark("1");
  assert.equal((await attempt()).code, "over-budget");
  await page.reload();
  await page.waitForFunction("window.ready");
  await page.evaluate(() => (window.outcome = (promise) => promise.then((value) => ({ value }), ({ code, message }) => ({ error: { code, message } }))));
  assert.match((await attempt()).message, /the last 2 loads .* the call after this one tries it again/);
  assert.equal((await attempt()).code, "model-not-found");
  // Left in the middle of a load: the mark goes with the page.
  await page.evaluate((models) => {
    void window.eyas.load({ model: `${models}/slow@model.safetensors/nano/`, device: "cpu" }).catch(() => {});
  }, lab.models.origin);
  await page.waitForFunction(() => Object.keys(localStorage).filter((key) => key.startsWith("eyas-loading:")).length === 1, undefined, { timeout: 60_000 });
  await page.reload();
  assert.equal(await page.evaluate(() => Object.keys(localStorage).filter((key) => key.startsWith("eyas-loading:")).length), 0);
  await close();
});

test("a plan says that the last load killed its tab, and what of less memory would fit", async () => {
  const { page, close } = await watchedPage();
  const { killed, plain } = await page.evaluate(async () => {
    const options = { model: window.nano, device: "cpu", quantize: "none" };
    const plain = await window.eyas.plan(options);
    // The name of the mark is the load's own: a load that is under way shows it.
    const keys = () => Object.keys(localStorage).filter((key) => key.startsWith("eyas-loading:"));
    let key;
    const loading = window.eyas.load({ ...options, onProgress: () => (key ??= keys()[0]) });
    await (await loading).dispose();
    localStorage.setItem(key, "0");
    const killed = await window.eyas.plan(options);
    const refused = await window.outcome(window.eyas.load(options));
    const again = await window.eyas.plan(options);
    localStorage.removeItem(key);
    return { killed: { ...killed, refused: refused.error, again: again.code }, plain };
  });
  assert.deepEqual([plain.code, killed.code, killed.answerer, killed.again], [null, "over-budget", "nobody", null]);
  assert.equal(killed.refused.code, "over-budget");
  assert.match(killed.detail, /the last load of this model never ended/);
  assert.deepEqual(killed.asked.excesses.map(({ bound }) => bound), ["lastLoadBytes"]);
  const peak = ({ need }) => need.weightBytes + need.cacheBytes + need.scratchBytes + need.stagingBytes;
  assert.ok(killed.wouldFit.length > 0 && killed.wouldFit.every((variant) => peak(variant) <= 0.75 * peak(killed.asked)));
  await close();
});
