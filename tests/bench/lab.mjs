// What the measurements run in: one Chromium, a server for the package and the models, and fresh pages.
import { existsSync, readFileSync, readdirSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

import { dist, here as browserTests, launch } from "../browser/chromium.mjs";
import { startFileServer } from "../browser/file_server.mjs";

const here = dirname(fileURLToPath(import.meta.url));
const HARDWARE_GPU = ["--enable-unsafe-webgpu", "--enable-features=Vulkan", "--use-angle=vulkan"];
const PAGE = `<!doctype html><meta charset="utf-8"><title>benchmark</title><script type="module">
window.slim = await import("/eyas/slim.js");
window.nano = (await import("/eyas/nano.js")).nano;
window.assets = { worker: "/eyas/worker.js", gpuWasm: "/eyas/eyas_gpu_bg.wasm", cpuWasm: "/eyas/eyas_cpu_bg.wasm" };
window.metered = { ...window.assets, worker: "/metered/worker.js" };
window.ready = true;
</script>`;

const hasRenderNode = () => existsSync("/dev/nvidia0") || (existsSync("/dev/dri") && readdirSync("/dev/dri").some((name) => name.startsWith("render")));

/** The adapter that a page gets, in words, or undefined. */
function adapterOf(page) {
  return page.evaluate(async () => {
    const adapter = await navigator.gpu?.requestAdapter();
    const info = adapter?.info;
    return info && { name: [info.description, info.device, info.vendor, info.architecture].find((name) => name) ?? "unnamed", software: Boolean(info.isFallbackAdapter ?? adapter.isFallbackAdapter) || /swiftshader|llvmpipe/i.test(JSON.stringify([info.description, info.device, info.vendor, info.architecture])) };
  });
}

/** Starts Chromium on a real GPU where there is one, and on its software adapter otherwise. */
async function launchWithAdapter(open) {
  const moreFlags = ["--enable-precise-memory-info"];
  for (const gpuFlags of hasRenderNode() ? [HARDWARE_GPU, undefined] : [undefined]) {
    const browser = await launch({ gpuFlags, moreFlags });
    const page = await open(browser);
    const adapter = await adapterOf(page);
    await page.close();
    if (adapter || gpuFlags === undefined) {
      return { browser, adapter };
    }
    await browser.close();
  }
  throw new Error("unreachable: the last flags return");
}

/** Starts the lab. `models` maps a name to a GGUF file or a folder; a page loads them from `lab.url(name)`. `builds` maps names to other builds of the package. */
export async function startBenchLab(models, builds = {}) {
  const metered = () => [join(browserTests, "gpu_meter.js"), join(here, "page/heap_meter.js"), join(dist, "worker.js")].map((file) => readFileSync(file, "utf8")).join("\n");
  const mounts = Object.fromEntries(Object.entries(models).map(([name, path]) => [`model-${name}`, path.endsWith(".gguf") ? dirname(path) : path]));
  const server = await startFileServer({
    "": () => PAGE,
    eyas: dist,
    bench: join(here, "page"),
    metered: (name) => (name === "worker.js" ? metered() : undefined),
    ...mounts,
    ...Object.fromEntries(Object.entries(builds).map(([name, folder]) => [`build-${name}`, folder])),
  });
  const open = async (browser) => {
    const page = await browser.newPage();
    page.on("pageerror", (error) => console.error(`page error: ${error.message}`));
    await page.goto(`${server.origin}/`);
    await page.waitForFunction("window.ready");
    return page;
  };
  const { browser, adapter } = await launchWithAdapter(open);
  return {
    adapter,
    chromium: browser.version(),
    url: (name) => `${server.origin}/model-${name}/${models[name].endsWith(".gguf") ? basename(models[name]) : ""}`,
    /** The model's file or folder on the disk. */
    file: (name) => models[name],
    page: () => open(browser),
    async close() {
      await browser.close();
      await server.close();
    },
  };
}
