import assert from "node:assert/strict";
import { createServer } from "node:http";
import { test } from "node:test";

import { EyasError, fakeEngine, Script } from "./fake_engine.mjs";
import internals from "./internals.mjs";

const { EgressLedger, tierHost, wireTierOptions } = internals;
const code = (expected) => (error) => error instanceof EyasError && error.code === expected;
const cloud = { endpoint: "https://models.example/v1", model: "big" };

test("the tier options cross to the worker without the function, and getToken is asked there", async () => {
  const asked = [];
  const getToken = async (request) => (asked.push(request), `token ${asked.length}`);
  const { script } = await fakeEngine(new Script(), { privacy: "prefer-cloud", cloud: { ...cloud, getToken }, midStream: "replace" });
  assert.deepEqual(script.tierOptions, { privacy: "prefer-cloud", cloud, midStream: "replace" });
  assert.equal(await script.host.token(false), "token 1");
  assert.equal(await script.host.token(true), "token 2");
  assert.deepEqual(asked, [{ refresh: false }, { refresh: true }]);
});

test("a getToken that fails tells the worker so, and none is no token", async () => {
  const { script } = await fakeEngine(new Script(), { cloud: { ...cloud, getToken: () => { throw new Error("signed out"); } } });
  await assert.rejects(script.host.token(false), /signed out/);
  const { script: without } = await fakeEngine(new Script(), { cloud });
  assert.equal(await without.host.token(false), undefined);
});

test("privacy of session and request both reach the tier, and a fork keeps its session's", async () => {
  const { eyas, script } = await fakeEngine();
  const session = eyas.session({ privacy: "local-only" });
  await session.send("a", { privacy: "prefer-cloud", task: "t", midStream: "append", signals: true });
  await (await session.fork()).send("b");
  await eyas.chat("c");
  assert.deepEqual(script.tiers.map(({ privacy }) => privacy), [["prefer-cloud", "local-only"], ["local-only"], []]);
  assert.deepEqual(script.tiers[0], { privacy: ["prefer-cloud", "local-only"], midStream: "append", task: "t", expectsJson: false, signals: true, number: 1, session: 1 });
});

test("a misspelt privacy is bad-input wherever it stands", async () => {
  const { eyas } = await fakeEngine();
  await assert.rejects(fakeEngine(new Script(), { privacy: "local only" }), code("bad-input"));
  assert.throws(() => eyas.session({ privacy: "private" }), code("bad-input"));
  await assert.rejects(eyas.chat("x", { privacy: "Local-Only" }), code("bad-input"));
  await assert.rejects(eyas.chat("x", { midStream: "drop" }), code("bad-input"));
  await assert.rejects(eyas.chat("x", { onTierChange: 3 }), code("bad-input"));
  assert.throws(() => wireTierOptions({ cloud: "https://host" }), code("bad-input"));
  assert.throws(() => wireTierOptions({ budget: { memory: 3 } }), code("bad-input"));
});

test("withdrawn text is gone from the stream, appended text stays", async () => {
  for (const type of ["withdrawn", "appended"]) {
    const { eyas, script } = await fakeEngine();
    script.change = type;
    const changes = [];
    let shown = "";
    const stream = eyas.stream("hi", { onTierChange: (change) => (changes.push(change), (shown += "|")) });
    for await (const delta of stream) {
      shown += delta;
    }
    assert.deepEqual(changes, [{ type, reason: "cannot", detail: "device-lost" }]);
    assert.equal(shown, "ech|echo: user:hi");
    let again = "";
    for await (const delta of stream) {
      again += delta;
    }
    assert.equal(again, type === "withdrawn" ? "echo: user:hi" : "echecho: user:hi");
  }
});

test("a load that fails leaves the cloud where there is one, else its own error", async () => {
  const script = new Script();
  script.failLoad = () => new EyasError("out-of-memory", "too large");
  await assert.rejects(fakeEngine(script), code("out-of-memory"));
  const { eyas } = await fakeEngine(script, { cloud });
  assert.equal(eyas.info.device.kind, "none");
  assert.equal(eyas.info.device.reason, "out-of-memory: too large");
  assert.equal(eyas.info.model, "big");
  script.failLoad = () => new EyasError("bad-input", "wrong");
  await assert.rejects(fakeEngine(script, { cloud }), code("bad-input"));
});

test("a mark stands around every load", async () => {
  const script = new Script();
  await fakeEngine(script);
  script.failLoad = () => new EyasError("bad-model", "no");
  await assert.rejects(fakeEngine(script), code("bad-model"));
  assert.deepEqual(script.marks, ["begin eyas-loading:https://example.test/m/ cpu auto auto", "end", "begin eyas-loading:https://example.test/m/ cpu auto auto", "end"]);
});

test("the ledger keeps, tells and exports what the worker reports", async () => {
  const { eyas, script } = await fakeEngine(new Script(), { cloud });
  const seen = [];
  const stop = eyas.ledger.subscribe((entry) => seen.push(entry.outcome));
  const entry = { id: 1, unixMs: 5, origin: "https://models.example", request: 1, attempt: 1, bytes: 10, reason: "cannot", detail: "x", outcome: "sent" };
  script.host.egress(entry);
  script.host.egress({ ...entry, outcome: "answered" });
  script.host.egress({ ...entry, id: 2, bytes: 5 });
  await eyas.chat("x");
  stop();
  script.host.egress({ ...entry, id: 2, bytes: 5, outcome: "unknown" });
  await eyas.chat("x");
  assert.deepEqual(seen, ["sent", "answered", "sent"]);
  assert.equal(eyas.ledger.totalBytes, 15);
  assert.deepEqual(eyas.ledger.export().trim().split("\n").map((line) => JSON.parse(line).outcome), ["answered", "unknown"]);
  assert.ok(eyas.ledger instanceof EgressLedger);
});

test("the host posts without cookies or referrer, refuses redirects, and stops with its signal", async () => {
  const seen = [];
  const server = createServer((request, response) => {
    seen.push(request);
    if (request.url === "/moved") {
      response.writeHead(307, { location: "/good" }).end();
    } else if (request.url === "/hang") {
      response.writeHead(200);
      response.write("a");
    } else {
      response.writeHead(200, { "retry-after": "3" }).end("body");
    }
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  const origin = `http://127.0.0.1:${server.address().port}`;
  const controller = new AbortController();
  const host = tierHost(() => controller.signal, async () => undefined, () => {});
  const posted = host.post(`${origin}/good`, "t", new TextEncoder().encode("{}"));
  const answer = await posted.answer;
  assert.equal(answer.status, 200);
  assert.equal(answer.header("retry-after"), "3");
  assert.equal(new TextDecoder().decode(await answer.chunk()), "body");
  assert.equal(await answer.chunk(), undefined);
  assert.deepEqual([seen[0].method, seen[0].headers.authorization, seen[0].headers.cookie, seen[0].headers.referer], ["POST", "Bearer t", undefined, undefined]);
  posted.close();
  await assert.rejects(host.post(`${origin}/moved`, undefined, new Uint8Array()).answer, /redirects/);
  const hanging = await host.post(`${origin}/hang`, undefined, new Uint8Array()).answer;
  await hanging.chunk();
  // None of these would end by itself within the hour.
  const waits = [assert.rejects(hanging.chunk()), host.sleep(3_600_000).done];
  controller.abort();
  await Promise.all(waits);
  await host.sleep(3_600_000).done;
  await assert.rejects(host.post(`${origin}/good`, undefined, new Uint8Array()).answer, "a call that was aborted sends nothing more");
  server.closeAllConnections();
  server.close();
});

test("a request that is given up is ended: the server sees its connection go, before its head and in its body", async () => {
  for (const path of ["/nothing", "/half"]) {
    const gone = [];
    const server = createServer((request, response) => {
      gone.push(new Promise((resolve) => response.on("close", () => resolve(response.writableFinished))));
      if (request.url === "/half") {
        response.writeHead(200);
        response.write("a");
      }
      server.emit("arrived");
    });
    await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
    const arrived = new Promise((resolve) => server.once("arrived", resolve));
    const call = new AbortController();
    const host = tierHost(() => call.signal, async () => undefined, () => {});
    const posted = host.post(`http://127.0.0.1:${server.address().port}${path}`, undefined, new Uint8Array([123, 125]));
    await arrived;
    if (path === "/half") {
      await (await posted.answer).chunk();
    }
    posted.close();
    assert.equal(await gone[0], false, "the answer was cut off, though nobody aborted the call");
    assert.equal(call.signal.aborted, false);
    await new Promise((resolve) => server.close(resolve));
  }
});
