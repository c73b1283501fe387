// Chromium with WebGPU on SwiftShader, and the pages that the tests run in.
import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";

import { startFileServer } from "./file_server.mjs";

export const here = dirname(fileURLToPath(import.meta.url));
export const root = join(here, "../..");
export const dist = join(root, "www/eyas/dist");
export const shared = process.env.EYAS_SHARED ?? join(root, "../shared");
export const stories = join(shared, "oracles/stories260K");
export const haveStories = existsSync(join(stories, "greedy_token_ids.json"));
export const NO_STORIES = "the oracle stories260K (../shared/oracles) is not on this machine";

/** `EYAS_THOROUGH=1` repeats the long tests as often as what they show was first shown. */
export const thorough = process.env.EYAS_THOROUGH === "1";

const executablePath = [process.env.EYAS_CHROMIUM, "/usr/bin/chromium", "/usr/bin/chromium-browser"].find((path) => path && existsSync(path));
const PLAIN = ["--no-sandbox", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"];
const SOFTWARE_GPU = ["--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader"];
/** How a software adapter's kernels are cut, as a visit before has measured it: a second that most tests have no use for. */
const MEASURED = ["eyas-tuning:google swiftshader", "4: 1 32 8 16 4 16 8 2 1 4 0"];

const TUNING = ["matvecLanes", "matvecRows", "matvecThreadRows", "matmulRows", "matmulTokens", "matmulBits", "attentionHeads", "attentionTokens", "attentionSplits", "reduceLanes"];
/** The sizes that a text tells, as it is kept (behind a version, and before how many measurements were not clear) or by themselves. */
export const tuningOf = (text) => Object.fromEntries(text.replace(/^\d+: /, "").split(" ").slice(0, TUNING.length).map((size, index) => [TUNING[index], Number(size)]));
/** What is kept for software adapters in every page of the lab. */
export const SOFTWARE_TUNING = tuningOf(MEASURED[1]);
const NO_GPU = ["--disable-features=WebGPU", "--disable-gpu"];

const PAGE = `<!doctype html><meta charset="utf-8"><title>test</title><script type="module">
window.eyas = await import("/eyas/index.js");
window.slim = await import("/eyas/slim.js");
window.nano = (await import("/eyas/nano.js")).nano;
window.ready = true;
</script>`;

/** A GPU that does not compute in software, for all that the worker can see. */
const HARDWARE = 'Object.defineProperty(GPUAdapterInfo.prototype, "isFallbackAdapter", { get: () => false });';

/** Changes the WGSL of every kernel by `change`, the text of a function. */
const changeKernels = (change) => `${HARDWARE}
  const { createShaderModule } = GPUDevice.prototype;
  GPUDevice.prototype.createShaderModule = function (module) {
    return createShaderModule.call(this, { ...module, code: (${change})(module.code) });
  };`;

/** Lets the first run of every pipeline do nothing, but for as many pipelines as are `spared`. */
const skipFirstRuns = (spared) => `${HARDWARE}
  const ran = new Set();
  const at = new WeakMap();
  const { setPipeline, dispatchWorkgroups } = GPUComputePassEncoder.prototype;
  GPUComputePassEncoder.prototype.setPipeline = function (pipeline) {
    at.set(this, pipeline);
    return setPipeline.call(this, pipeline);
  };
  GPUComputePassEncoder.prototype.dispatchWorkgroups = function (...groups) {
    const pipeline = at.get(this);
    const isSkipped = !ran.has(pipeline) && ran.size >= ${spared};
    ran.add(pipeline);
    return dispatchWorkgroups.apply(this, isSkipped ? [0, 0, 0] : groups);
  };`;

/** Turns a bit in the middle of what is written to the GPU's buffers where `isHit`, the text of a function, says so. */
const damageWrites = (isHit) => `${HARDWARE}
  globalThis.largeWrites = globalThis.smallWrites = 0;
  const { writeBuffer } = GPUQueue.prototype;
  GPUQueue.prototype.writeBuffer = function (buffer, offset, data, from = 0, size = undefined) {
    const unit = data.BYTES_PER_ELEMENT ?? 1;
    const bytes = ArrayBuffer.isView(data) ? new Uint8Array(data.buffer, data.byteOffset, data.byteLength) : new Uint8Array(data);
    const copy = bytes.slice(from * unit, size === undefined ? undefined : (from + size) * unit);
    if ((${isHit})(copy)) {
      copy[copy.length >> 1] ^= 4;
    }
    return writeBuffer.call(this, buffer, offset, copy);
  };`;

/** Put before the worker's script: a clock by which every step takes 40 ms, so that guesses pay whatever else the machine does. */
const EVEN_PACE = "{ let now = 0; performance.now = () => (now += 40); }";

/** Put before the worker's script: a browser whose bodies have readers of one mode only, `byob` or `default`, once the module is compiled. */
const readersOf = (mode) => `{
  const { getReader } = ReadableStream.prototype;
  const { compileStreaming } = WebAssembly;
  let isCompiled = false;
  WebAssembly.compileStreaming = (response) => compileStreaming(response).finally(() => (isCompiled = true));
  ReadableStream.prototype.getReader = function (options) {
    if (isCompiled && (options?.mode ?? "default") !== "${mode}") {
      throw new TypeError("no reader of this mode");
    }
    return getReader.call(this, options);
  };
}`;

/** Put before the worker's script: a page that has no memory for buffers of a MiB or more. */
const BUFFERLESS = `globalThis.ArrayBuffer = new Proxy(ArrayBuffer, {
  construct(target, [length, ...rest], made) {
    if (length >= 1 << 20) {
      throw new RangeError("Array buffer allocation failed");
    }
    return Reflect.construct(target, [length, ...rest], made);
  },
});`;

/** What is put before the worker's script for a GPU that is at fault, by what is wrong with it. */
const miscomputing = {
  // Norms are wrong by a tenth.
  always: changeKernels('(code) => code.replaceAll("1.0 / sqrt(", "0.9 / sqrt(")'),
  // Products are wrong by a tenth from the 256th row of a matrix on.
  large: changeKernels('(code) => code.replace(/(UNITS \\+ unit\\d+\\] \\+?= |let g = )(sum(\\d+)_\\d+)/g, "$1select(1.0, 0.9, row$3 >= 256u) * $2")'),
  // The fourth token of a step with guesses is wrong by the last bit of its products, where no other step computes eight tokens at a time.
  guesses: EVEN_PACE + changeKernels('(code) => (code.includes("const TOKENS: u32 = 8u;") ? code.replace("= sum0_3", "= 1.0000001 * sum0_3") : code)'),
  // The first run of a pipeline does nothing; of all but the first, which sums up what was uploaded.
  first: skipFirstRuns(0),
  firsttokens: skipFirstRuns(1),
  // One bit of every 8 KiB or more that are written is turned; of the 20th only; of the weights of the 6th norm only.
  upload: damageWrites("(bytes) => bytes.length >= 8192"),
  middle: damageWrites("(bytes) => bytes.length >= 8192 && ++globalThis.largeWrites === 20"),
  norm: damageWrites("(bytes) => bytes.length === 4 * 192 && ++globalThis.smallWrites === 6"),
};

/** Launches Chromium. `gpu: false` leaves WebGPU out; `gpuFlags` ask for another adapter than the software one. */
export function launch({ gpu = true, gpuFlags = SOFTWARE_GPU, moreFlags = [] } = {}) {
  return chromium.launch({ executablePath, headless: true, args: [...PLAIN, ...(gpu ? gpuFlags : NO_GPU), ...moreFlags] });
}

/** Launches Chromium with a profile in `folder`, which keeps its storage on the disk; other contexts are private windows and keep theirs in memory. */
export function launchProfile(folder, { gpu = false, moreFlags = [] } = {}) {
  return chromium.launchPersistentContext(folder, { executablePath, headless: true, args: [...PLAIN, ...(gpu ? SOFTWARE_GPU : NO_GPU), ...moreFlags] });
}

/** Where Chromium is, and the flags of one with a software GPU. */
export function bareChromium() {
  return [executablePath, [...PLAIN, ...SOFTWARE_GPU]];
}

/** The worker with the meter in front of it. */
const meteredWorker = () => [join(here, "gpu_meter.js"), join(dist, "worker.js")].map((file) => readFileSync(file, "utf8")).join("\n");

/** Starts what a test file needs: the browser, a server for the package, and one at another origin for models. */
export async function startLab(options = {}) {
  const browser = await launch(options);
  const app = await startFileServer({
    "": () => PAGE,
    eyas: dist,
    parity: join(here, ".parity"),
    // The same package with the meter in front of the worker.
    metered: (name) => {
      if (name === "deviceless.js") {
        // A GPU that gives no device.
        return `globalThis.refuseDevices = true; ${HARDWARE}\n${meteredWorker()}`;
      }
      const fault = /^miscomputing-([a-z]+)\.js$/.exec(name)?.[1];
      if (fault) {
        return `{ ${miscomputing[fault]} }\n${readFileSync(join(dist, "worker.js"), "utf8")}`;
      }
      const mode = /^readers-([a-z]+)\.js$/.exec(name)?.[1];
      if (mode) {
        return `${readersOf(mode)}\n${meteredWorker()}`;
      }
      if (name === "bufferless.js") {
        return `${BUFFERLESS}\n${meteredWorker()}`;
      }
      if (name === "paced.js") {
        return `globalThis.isPaced = true;\n${meteredWorker()}`;
      }
      if (name === "even.js") {
        return `${EVEN_PACE}\n${meteredWorker()}`;
      }
      return name === "worker.js" ? meteredWorker() : undefined;
    },
  });
  const models = await startFileServer({ nano: join(dist, "models/eyas-nano"), stories: join(stories, "hf"), gguf: stories });
  return {
    browser,
    app,
    models,
    /** A fresh page with `window.eyas`, `window.slim`, `window.nano` and, for brevity, `window.models` (an origin), which was here before unless it is `first`. */
    async page({ first = false } = {}) {
      const page = await browser.newPage();
      page.on("pageerror", (error) => console.error("page error:", error.message));
      if (process.env.EYAS_VERBOSE) {
        page.on("console", (message) => console.error("console:", message.text()));
      }
      await page.goto(`${app.origin}/`);
      await page.waitForFunction("window.ready");
      await page.evaluate(({ origin, measured }) => {
        window.models = origin;
        measured && localStorage.setItem(...measured);
        window.metered = { worker: "/metered/worker.js", gpuWasm: "/eyas/eyas_gpu_bg.wasm", cpuWasm: "/eyas/eyas_cpu_bg.wasm" };
        window.even = { ...window.metered, worker: "/metered/even.js" };
        // What a promise did, as plain data that crosses to the test.
        window.outcome = (promise) =>
          promise.then(
            (value) => ({ value }),
            (error) => ({ error: { code: error?.code, message: String(error?.message ?? error), name: error?.name, retryable: error?.retryable } }),
          );
      }, { origin: models.origin, measured: !first && MEASURED });
      return page;
    },
    async close() {
      await browser.close();
      await Promise.all([app.close(), models.close()]);
    },
  };
}

/** Whether this browser has a WebGPU adapter in a page. */
export async function hasGpu(lab) {
  const page = await lab.page();
  const found = await page.evaluate(async () => Boolean(await navigator.gpu?.requestAdapter()));
  await page.close();
  return found;
}

/** A module with `i32x4.relaxed_dot_i8x16_i7x16_add_s` (WebAssembly core specification 3.0, binary format). */
const RELAXED_DOT = [0, 97, 115, 109, 1, 0, 0, 0, 1, 8, 1, 96, 3, 123, 123, 123, 1, 123, 3, 2, 1, 0, 10, 13, 1, 11, 0, 32, 0, 32, 1, 32, 2, 253, 147, 2, 11];

/** Whether the page's browser has relaxed SIMD. */
export const hasRelaxedSimd = (page) => page.evaluate((bytes) => WebAssembly.validate(new Uint8Array(bytes)), RELAXED_DOT);

export const NO_RELAXED_SIMD = "this browser has no relaxed SIMD";
