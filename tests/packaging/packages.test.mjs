// The packed tarball in real bundlers, and what must not be in it.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";

import { launch } from "../browser/chromium.mjs";
import { startFileServer } from "../browser/file_server.mjs";

const here = dirname(fileURLToPath(import.meta.url));
const installed = join(here, "node_modules/eyas");
const POLICY = "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'; connect-src 'self'";
let browser;
before(async () => {
  browser = await launch();
});
after(() => browser.close());

function bundle(bundler) {
  const bin = join(here, "node_modules/.bin", bundler);
  const options = bundler === "vite" ? ["build", "--base", "./", "--outDir", "dist/vite", "--logLevel", "error"] : ["--config", "webpack.config.mjs"];
  execFileSync(bin, options, { cwd: here, stdio: ["ignore", "ignore", "inherit"] });
  if (bundler === "webpack") {
    writeFileSync(join(here, "dist/webpack/index.html"), '<!doctype html><meta charset="utf-8"><title>Eyas in webpack</title><script src="main.js"></script>');
  }
  const page = join(here, "dist", bundler, "index.html");
  writeFileSync(page, readFileSync(page, "utf8").replace("<title>", `<meta http-equiv="Content-Security-Policy" content="${POLICY}"><title>`));
}

for (const bundler of ["vite", "webpack"]) {
  test(`the packed package works in ${bundler}, unchanged and under a strict policy`, { timeout: 180_000 }, async () => {
    bundle(bundler);
    const server = await startFileServer({ app: join(here, "dist", bundler) });
    const page = await browser.newPage();
    const errors = [];
    page.on("console", (message) => message.type() === "error" && errors.push(message.text()));
    page.on("pageerror", (error) => errors.push(error.message));
    await page.goto(`${server.origin}/app/`);
    const answers = await page.waitForFunction(() => globalThis.answers, undefined, { timeout: 60_000 }).then((handle) => handle.jsonValue(), () => ({}));
    assert.deepEqual(errors, []);
    for (const device of ["auto", "cpu"]) {
      assert.ok(answers[device]?.text, `${device}: ${JSON.stringify(answers[device])}`);
      assert.equal(JSON.parse(answers[device].text).intent, "BookRestaurant");
    }
    assert.equal(answers.cpu.kind, "cpu");
    const fetched = server.seen.map(({ path }) => path.split("/").at(-1));
    console.log(`${bundler}: auto ran on the ${answers.auto.kind}; fetched ${[...new Set(fetched)].join(", ")}`);
    if (answers.auto.kind === "gpu") {
      assert.equal(fetched.filter((file) => /eyas_gpu_bg|\.wasm$/.test(file)).length >= 2, true, fetched.join(" "));
    }
    await page.close();
    await server.close();
  });
}

test("the types of every entry are found by TypeScript", () => {
  const entries = JSON.parse(readFileSync(join(installed, "package.json"), "utf8")).exports;
  for (const [entry, target] of Object.entries(entries)) {
    for (const file of typeof target === "string" ? [target] : Object.values(target)) {
      assert.ok(existsSync(join(installed, file)), `${entry} names ${file}, which is not in the package`);
    }
  }
  assert.match(readFileSync(join(installed, "dist/index.d.ts"), "utf8"), /export declare function load/);
});

test("the package holds nothing but what it needs", () => {
  const files = readdirSync(installed, { recursive: true, withFileTypes: true }).filter((file) => file.isFile()).map(({ name }) => name);
  for (const file of files) {
    assert.match(file, /^(README\.md|package\.json|.*\.d\.ts|.*\.js|eyas_[gc]pu_bg\.wasm|config\.json|generation_config\.json|tokenizer(_config)?\.json|model\.safetensors|LICENSE.*)$/, file);
  }
});

test("the worker is one file without eval, and fetches nothing by its own address", () => {
  const worker = readFileSync(join(installed, "dist/worker.js"), "utf8");
  for (const forbidden of [/\beval\s*\(/, /new Function\b/, /import\.meta/, /\bimport\s*\(/, /^\s*import\b/m]) {
    assert.ok(!forbidden.test(worker), `worker.js contains ${forbidden}`);
  }
});

test("no export of a module is wrapped to run static constructors again (docs/adr/0002)", () => {
  for (const name of ["eyas_gpu_bg.wasm", "eyas_cpu_bg.wasm"]) {
    const bytes = readFileSync(join(installed, "dist", name));
    assert.ok(!bytes.includes("command_export"), `${name} has command_export wrappers`);
    const module = new WebAssembly.Module(bytes);
    const exported = WebAssembly.Module.exports(module).map((entry) => entry.name);
    assert.ok(!exported.some((entry) => /command_export|__wasm_call_ctors/.test(entry)), exported.join(" "));
    assert.deepEqual(WebAssembly.Module.customSections(module, "name").length, 0, `${name} carries function names`);
    assert.ok(exported.includes("memory"));
  }
});

test("a module asks for nothing but the glue: no shared memory, no threads", () => {
  for (const name of ["eyas_gpu_bg.wasm", "eyas_cpu_bg.wasm"]) {
    const imports = WebAssembly.Module.imports(new WebAssembly.Module(readFileSync(join(installed, "dist", name))));
    assert.ok(imports.every(({ kind, module }) => kind === "function" && /^(\.\/eyas|wbg|__wbindgen)/.test(module)), JSON.stringify(imports.slice(0, 5)));
  }
});

test("no name that the module and its glue share ends in a hash (docs/size.md)", () => {
  for (const name of ["eyas_gpu_bg.wasm", "eyas_cpu_bg.wasm"]) {
    const module = new WebAssembly.Module(readFileSync(join(installed, "dist", name)));
    const shared = [...WebAssembly.Module.imports(module), ...WebAssembly.Module.exports(module)].map((entry) => entry.name);
    assert.deepEqual(shared.filter((entry) => /[0-9a-f]{16}$/.test(entry)), [], name);
  }
  assert.ok(!/_[0-9a-f]{16}\b/.test(readFileSync(join(installed, "dist/worker.js"), "utf8")), "worker.js");
});
