// The demo as a person uses it: by keyboard, stopped, with errors shown; and what axe-core finds on it.
import assert from "node:assert/strict";
import { mkdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { after, before, test } from "node:test";

import { haveStories, launch, NO_STORIES, root, startLab } from "./chromium.mjs";
import { startFileServer } from "./file_server.mjs";
import { startModelServer } from "./model_server.mjs";

const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const pictures = join(root, ".eyas/screenshots");
let lab;
let demo;
before(async () => {
  mkdirSync(pictures, { recursive: true });
  lab = await startLab();
  demo = await startFileServer({ demo: join(root, "www/demo/dist") });
});
after(async () => {
  await demo.close();
  await lab.close();
});

async function openDemo(options = {}, browser = lab.browser) {
  const page = await browser.newPage({ viewport: { width: 1280, height: 900 }, bypassCSP: false, ...options });
  const errors = [];
  page.on("pageerror", (error) => errors.push(error.message));
  page.on("console", (message) => message.type() === "error" && errors.push(message.text()));
  await page.goto(`${demo.origin}/demo/`);
  page.errors = errors;
  return page;
}

const ready = (page) => page.waitForFunction(() => /memory/.test(document.querySelector("#nano-status").textContent), undefined, { timeout: 60_000 });

/** Chooses a model in the second part by keyboard and pointer-free means. */
async function loadModel(page, source, value, device = "cpu") {
  await page.locator(`input[name=source][value=${source}]`).focus();
  await page.keyboard.press("Space");
  if (value) {
    await page.locator(source === "folder" ? "#folder-url" : "#gguf-url").fill(value);
  }
  await page.locator("#device").selectOption(device);
  await page.locator("#load").press("Enter");
}

test("a request is typed and its fields come out, by keyboard alone", async () => {
  const page = await openDemo();
  await ready(page);
  await page.keyboard.press("Tab");
  await page.keyboard.press("Enter"); // the link that skips to the request
  await page.keyboard.press("Tab");
  await page.locator("#request").focus();
  await page.keyboard.type("play some jazz by miles davis", { delay: 15 });
  await page.waitForFunction(() => document.querySelector("#raw").textContent.trim().endsWith("]}"), undefined, { timeout: 30_000 });
  assert.equal(await page.locator("#intent").textContent(), "Play music");
  const slots = await page.locator("#slots > div").allTextContents();
  assert.ok(slots.some((slot) => /artist.*miles davis/.test(slot)), slots.join());
  assert.ok((await page.locator("#utterance mark").count()) >= 1);
  await page.waitForFunction(() => /miles davis/.test(document.querySelector("#nano-said").textContent));
  await page.waitForFunction(() => /because .* of memory.* first token .* ms/.test(document.querySelector("#nano-status").textContent));
  assert.deepEqual(page.errors, []);
  await page.close();
});

test("a model from a URL continues text, is stopped, and goes on", async (t) => {
  if (!haveStories) return t.skip(NO_STORIES);
  const page = await openDemo();
  await ready(page);
  await loadModel(page, "folder", `${lab.models.origin}/stories/`);
  await page.waitForSelector("#conversation:not([hidden])");
  await page.waitForFunction(() => /memory/.test(document.querySelector("#chat-status").textContent));
  assert.match(await page.locator("#chat-status").textContent(), /CPU \(WASM (SIMD|relaxed SIMD, (pairs|quads))\), because the caller asked for the CPU · .* of memory/);
  await page.locator("#message").fill("Once upon a time");
  await page.locator("#max-tokens").fill("400");
  // The model is faster than a test's round trips: the page itself presses Stop when it sees the first words.
  await page.evaluate(() => {
    const observer = new MutationObserver(() => {
      if (document.querySelector(".answer")?.textContent.length > 20) {
        observer.disconnect();
        window.lengthAtStop = document.querySelector(".answer").textContent.length;
        document.querySelector("#stop").click();
      }
    });
    observer.observe(document.querySelector("#log"), { childList: true, subtree: true, characterData: true });
  });
  await page.locator("#message").press("Enter");
  await page.waitForSelector(".stopped");
  const stoppedAt = (await page.locator(".answer").first().textContent()).length;
  assert.ok(stoppedAt - (await page.evaluate(() => window.lengthAtStop)) < 20, "more than a token came after the stop");
  await page.waitForTimeout(200);
  assert.equal((await page.locator(".answer").first().textContent()).length, stoppedAt);
  await page.locator("#max-tokens").fill("12");
  await page.locator("#message").fill("Once upon a time");
  await page.locator("#message").press("Enter");
  await page.waitForFunction(() => /tokens\/s/.test(document.querySelector("#chat-status").textContent));
  assert.equal(await page.locator(".answer").count(), 2);
  assert.deepEqual(page.errors, []);
  await page.close();
});

test("files that a person chooses are loaded, a GGUF by its URL too", async (t) => {
  if (!haveStories) return t.skip(NO_STORIES);
  const page = await openDemo();
  const folder = join(root, "www/eyas/models/eyas-nano");
  await page.locator("input[name=source][value=files]").focus();
  await page.keyboard.press("Space");
  await page.locator("#model-files").setInputFiles(["config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors"].map((name) => join(folder, name)));
  await page.locator("#device").selectOption("cpu");
  await page.locator("#load").press("Enter");
  await page.waitForSelector("#conversation:not([hidden])");
  await page.locator("#message").fill("will it rain in oslo");
  await page.locator("#message").press("Enter");
  await page.waitForFunction(() => /GetWeather/.test(document.querySelector(".answer")?.textContent ?? ""));
  // Behind its end an answer takes the focus back, which the keyboard below must not lose.
  await page.waitForFunction(() => /tokens\/s/.test(document.querySelector("#chat-status").textContent));
  await loadModel(page, "gguf", `${lab.models.origin}/gguf/stories260K-f16.gguf`);
  await page.waitForFunction(() => /no chat template/.test(document.querySelector("#message-label").textContent));
  await page.close();
});

test("progress is shown in bytes, and a load that is cancelled goes on later", async () => {
  const server = await startModelServer({ nano: join(root, "www/eyas/models/eyas-nano") });
  let isStalled = true;
  server.fault = ({ name }) => (name === "model.safetensors" && isStalled ? { stallAt: 2_500_000 } : undefined);
  const page = await openDemo();
  await ready(page);
  await loadModel(page, "folder", `${server.origin}/nano/`);
  await page.waitForFunction(() => /Reading weights/.test(document.querySelector("#load-progress .meter-text").textContent));
  await page.waitForFunction(() => Number(document.querySelector("#load-progress [role=progressbar]").getAttribute("aria-valuenow")) > 1_200_000); // so that a chunk is stored
  assert.match(await page.locator("#load-progress .meter-text").textContent(), /Reading weights · .* of 3\.\d MiB/);
  assert.ok(await page.locator("#load-progress").isVisible());
  await page.screenshot({ path: join(pictures, "progress.png") });
  await page.locator("#cancel-load").press("Enter");
  await page.waitForFunction(() => /cancelled\. Paused: .* are on this device, and “Load” goes on from there/.test(document.querySelector("#chat-status").textContent));
  await page.locator("#stored summary").focus();
  await page.keyboard.press("Enter");
  await page.waitForFunction(() => /not complete, the next load goes on/.test(document.querySelector("#stored-models").textContent));
  await page.locator("#stored").scrollIntoViewIfNeeded();
  await page.screenshot({ path: join(pictures, "paused.png"), fullPage: true });
  isStalled = false;
  const requests = server.requests.length;
  await page.locator("#load").press("Enter");
  await page.waitForSelector("#conversation:not([hidden])");
  const [{ start }] = server.requests.slice(requests).filter(({ name, method }) => name === "model.safetensors" && method === "GET");
  assert.ok(start > 0, "it goes on with what was there");
  await page.waitForFunction(() => /version [0-9a-f]{12}/.test(document.querySelector("#stored-models").textContent));
  await loadModel(page, "nano");
  await page.waitForSelector("#conversation:not([hidden])");
  await page.close();
  await server.close();
});

const ERRORS = [
  ["a model that is not there", "/404/nano/", "model-not-found"],
  ["a refusal by CORS", "/nocors/nano/", "download-failed"],
  ["a cut connection", "/cut@model.safetensors/nano/", "download-failed"],
  ["truncated weights", "/truncated@model.safetensors/nano/", "bad-model"],
  ["a page in place of weights", "/page@model.safetensors/nano/", "bad-model"],
  ["a missing tokenizer", "/404@tokenizer.json/nano/", "model-not-found"],
];
test("every error is shown with its code and what to do, and the next load works", async () => {
  const page = await openDemo();
  await ready(page);
  for (const [name, path, code] of ERRORS) {
    await loadModel(page, "folder", `${lab.models.origin}${path}`);
    await page.waitForSelector("#load-notice:not([hidden])");
    assert.equal(await page.locator("#load-notice code").textContent(), code, name);
    assert.ok((await page.locator("#load-notice .advice").textContent()).length > 10);
  }
  await loadModel(page, "folder", "not a model");
  await page.waitForFunction(() => document.querySelector("#load-notice code")?.textContent === "bad-input");
  await page.screenshot({ path: join(pictures, "error.png") });
  await loadModel(page, "nano");
  await page.waitForSelector("#conversation:not([hidden])");
  assert.ok(await page.locator("#load-notice").isHidden());
  await page.locator("#message").fill("again and again ".repeat(400));
  await page.locator("#message").press("Enter");
  await page.waitForFunction(() => document.querySelector("#chat-notice code")?.textContent === "context-overflow");
  await page.locator("#temperature").fill("-1");
  await page.locator("#message").fill("play jazz");
  await page.locator("#chat-form").evaluate((form) => {
    form.noValidate = true;
  });
  await page.locator("#message").press("Enter");
  await page.waitForFunction(() => document.querySelector("#chat-notice code")?.textContent === "bad-input");
  await page.locator("#temperature").fill("0");
  await page.locator("#message").press("Enter");
  await page.waitForFunction(() => /PlayMusic/.test(document.querySelector(".answer")?.textContent ?? ""));
  assert.ok(await page.locator("#chat-notice").isHidden());
  await page.close();
});

for (const colorScheme of ["light", "dark"]) {
  for (const width of [1280, 390]) {
    test(`axe-core finds nothing serious at ${width} px in ${colorScheme}; nothing is cut off`, async () => {
      const page = await openDemo({ colorScheme, viewport: { width, height: width === 390 ? 844 : 900 } });
      await ready(page);
      await page.screenshot({ path: join(pictures, `first-${width}-${colorScheme}.png`) });
      await page.locator("#request").fill("book a table for two tomorrow at an italian bistro");
      await page.waitForFunction(() => document.querySelector("#raw").textContent.trim().endsWith("]}"), undefined, { timeout: 30_000 });
      await loadModel(page, "nano");
      await page.waitForSelector("#conversation:not([hidden])");
      await page.locator("#message").fill("play some jazz by miles davis");
      await page.locator("#message").press("Enter");
      await page.waitForFunction(() => /tokens\/s/.test(document.querySelector("#chat-status").textContent));
      await page.evaluate(axe);
      const { violations } = await page.evaluate(() => window.axe.run(document));
      const serious = violations.filter(({ impact }) => ["serious", "critical"].includes(impact));
      assert.deepEqual(serious.map(({ id, nodes }) => `${id}: ${nodes.map(({ target }) => target).join(" ")}`), []);
      const overflow = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
      assert.equal(overflow, 0);
      await page.screenshot({ path: join(pictures, `demo-${width}-${colorScheme}.png`), fullPage: true });
      await page.close();
    });
  }
}

test("without WebGPU the demo says that it runs on the CPU, and why", async () => {
  const browser = await launch({ gpu: false });
  const page = await openDemo({}, browser);
  await ready(page);
  assert.match(await page.locator("#nano-status").textContent(), /CPU \(WASM (SIMD|relaxed SIMD, (pairs|quads))\), because .*WebGPU/);
  await browser.close();
});

test("a model from a URL is kept, listed and removed", async () => {
  const page = await openDemo();
  await ready(page);
  await loadModel(page, "folder", `${lab.models.origin}/nano/`);
  await page.waitForSelector("#conversation:not([hidden])");
  await page.locator("#stored summary").focus();
  await page.keyboard.press("Enter");
  await page.waitForSelector(".stored-model");
  const text = await page.locator("#stored-models").textContent();
  assert.match(text, /\/nano\/ 3\.9 MiB · version [0-9a-f]{12} · last used/);
  await page.locator("#stored").scrollIntoViewIfNeeded();
  await page.screenshot({ path: join(pictures, "stored.png"), fullPage: true });
  await page.locator(".stored-model button").press("Enter");
  await page.waitForFunction(() => /Nothing yet/.test(document.querySelector("#stored-models").textContent));
  assert.deepEqual(page.errors, []);
  await page.close();
});
