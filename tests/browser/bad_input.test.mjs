// Everything that can be wrong with a model or a call has its code, and the next load works.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { haveStories, hasGpu, NO_STORIES, startLab } from "./chromium.mjs";

let lab;
let device;
let page;
before(async () => {
  lab = await startLab();
  device = (await hasGpu(lab)) ? "gpu" : "cpu";
  page = await lab.page();
});
after(() => lab.close());

/** Loads a model that is expected to fail, then one that is expected to work; gives the first one's error. */
async function failedLoad(model, device) {
  const seen = await page.evaluate(
    async ([model, device]) => {
      const failed = await window.outcome(window.eyas.load({ model: model.startsWith("/") ? `${window.models}${model}` : model, device }).then((eyas) => eyas.dispose()));
      const eyas = await window.eyas.load({ model: window.nano, device });
      const { text } = await eyas.chat("play jazz", { maxTokens: 2 });
      await eyas.dispose();
      return { failed, text };
    },
    [model, device],
  );
  assert.ok(seen.text.length > 0);
  return seen.failed.error ?? { code: "nothing failed" };
}

const LOADS = [
  ["a folder that is not there", "/404/nano/", ["model-not-found"]],
  ["a folder without weights", "/404@model.safetensors/nano/", ["model-not-found"]],
  ["a folder without a tokenizer", "/404@tokenizer.json/nano/", ["model-not-found"]],
  ["a server that is broken", "/500/nano/", ["download-failed"]],
  ["a page in place of the folder", "/html/nano/", ["model-not-found", "bad-model"]],
  ["a page in place of the weights", "/page@model.safetensors/nano/", ["bad-model"]],
  ["a page in place of the tokenizer", "/page@tokenizer.json/nano/", ["bad-model"]],
  ["a page in place of the configuration", "/page@config.json/nano/", ["bad-model"]],
  ["truncated weights", "/truncated@model.safetensors/nano/", ["bad-model"]],
  ["a truncated tokenizer", "/truncated@tokenizer.json/nano/", ["bad-model"]],
  ["empty weights", "/empty@model.safetensors/nano/", ["bad-model"]],
  ["an empty configuration", "/empty@config.json/nano/", ["bad-model"]],
  ["a refusal by CORS", "/nocors/nano/", ["download-failed"]],
  ["a connection that is cut while weights come", "/cut@model.safetensors/nano/", ["download-failed"]],
  ["no server at all", "http://127.0.0.1:9/model/", ["download-failed"]],
];
for (const [name, model, codes] of LOADS) {
  test(`${name} is ${codes.join(" or ")}`, async () => {
    const error = await failedLoad(model, device);
    assert.ok(codes.includes(error.code), JSON.stringify(error));
    assert.ok(error.message.length > 20, error.message);
    assert.equal(error.name, "EyasError");
    console.log(`  ${error.code}: ${error.message}`);
  });
}

const GGUFS = [
  ["a GGUF that is not there", "/404/gguf/stories260K-f16.gguf", ["model-not-found"]],
  ["a truncated GGUF", "/truncated/gguf/stories260K-f16.gguf", ["bad-model"]],
  ["an empty GGUF", "/empty/gguf/stories260K-f16.gguf", ["bad-model"]],
  ["a page in place of a GGUF", "/page/gguf/stories260K-f16.gguf", ["bad-model"]],
];
for (const [name, model, codes] of GGUFS) {
  test(`${name} is ${codes.join(" or ")}`, async (t) => {
    if (!haveStories) return t.skip(NO_STORIES);
    const error = await failedLoad(model, "cpu");
    assert.ok(codes.includes(error.code), JSON.stringify(error));
    console.log(`  ${error.code}: ${error.message}`);
  });
}

test("files of the wrong kind, and too few of them", async () => {
  const seen = await page.evaluate(async () => {
    const load = (files) => window.outcome(window.eyas.load({ model: files, device: "cpu" }));
    const file = (name, text) => new File([text], name);
    return {
      picture: await load([file("cat.png", "\x89PNG....")]),
      wrongGguf: await load([file("model.gguf", "PK\x03\x04 this is an archive")]),
      half: await load([file("config.json", "{}")]),
      two: await load([file("a.gguf", "GGUF"), file("b.gguf", "GGUF")]),
    };
  });
  const codes = Object.fromEntries(Object.entries(seen).map(([name, { error }]) => [name, error?.code]));
  assert.deepEqual(codes, { picture: "model-not-found", wrongGguf: "bad-model", half: codes.half, two: "bad-input" }, JSON.stringify(seen));
  assert.ok(["bad-model", "model-not-found", "unsupported-model"].includes(codes.half), codes.half);
});

test("the same files chosen by a person load, and without range support too", async () => {
  const seen = await page.evaluate(async () => {
    const names = Object.keys(window.nano.files);
    const files = await Promise.all(names.map(async (name) => new File([await (await fetch(window.nano.files[name])).blob()], name)));
    const texts = [];
    for (const model of [files, window.nano, `${window.models}/norange/nano/`, `${window.models}/gzip@config.json/nano/`, `${window.models}/gzip@tokenizer.json/nano/`]) {
      const eyas = await window.eyas.load({ model, device: "cpu" });
      texts.push((await eyas.chat("play jazz", { maxTokens: 30 })).text);
      await eyas.dispose();
    }
    return texts;
  });
  assert.equal(new Set(seen).size, 1, seen.join("\n"));
});

test("wrong calls have their codes, and the engine goes on", async () => {
  const seen = await page.evaluate(async (device) => {
    const eyas = await window.eyas.load({ model: window.nano, device });
    const call = async (...args) => (await window.outcome(eyas.chat(...args))).error ?? {};
    const long = "again and again ".repeat(400);
    const codes = {
      tooLong: (await call(long)).code,
      tooLongPrompt: (await call({ prompt: long })).code,
      empty: (await call("")).code,
      noMessages: (await call([])).code,
      option: (await call("x", { temprature: 1 })).code,
      range: (await call("x", { temperature: -1 })).code,
      topP: (await call("x", { topP: 2 })).code,
      topLogprobs: (await call("x", { topLogprobs: 3 })).code,
      bias: (await call("x", { logitBias: { 999999: 1 } })).code ?? "ignored",
    };
    const { text } = await eyas.chat("play jazz", { maxTokens: 3 });
    await eyas.dispose();
    return { codes, text };
  }, device);
  assert.deepEqual(
    { ...seen.codes, bias: "" },
    { tooLong: "context-overflow", tooLongPrompt: "context-overflow", empty: "bad-input", noMessages: "bad-input", option: "bad-input", range: "bad-input", topP: "bad-input", topLogprobs: "bad-input", bias: "" },
  );
  assert.ok(["bad-input", "ignored"].includes(seen.codes.bias));
  assert.ok(seen.text.length > 0);
});

test("messages for a model without a chat template are refused, text is continued", async (t) => {
  if (!haveStories) return t.skip(NO_STORIES);
  const seen = await page.evaluate(async () => {
    const eyas = await window.eyas.load({ model: `${window.models}/stories/`, device: "cpu" });
    const refused = await window.outcome(eyas.chat([{ role: "user", content: "hi" }], { maxTokens: 2 }));
    const { text } = await eyas.chat("Once upon a time", { maxTokens: 8 });
    await eyas.dispose();
    return { has: eyas.info.hasChatTemplate, refused, text };
  });
  assert.equal(seen.has, false);
  assert.ok(["bad-input", "unsupported-model"].includes(seen.refused.error?.code), JSON.stringify(seen.refused));
  assert.ok(seen.text.length > 0);
});
