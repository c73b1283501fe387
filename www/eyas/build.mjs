// Builds dist/: the entries and the worker with esbuild, declarations with tsc, and copies of the WebAssembly modules
// (made by pkg-scripts/build in wasm/) and of the embedded model. `--check` only verifies that dist/ is complete.
import { execFileSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
const dist = join(here, "dist");
const MODEL_FILES = ["config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors", "README.md"];
const MODULES = ["eyas_gpu_bg.wasm", "eyas_cpu_bg.wasm"];

if (process.argv.includes("--check")) {
  const missing = ["index.js", "slim.js", "nano.js", "worker.js", "index.d.ts", ...MODULES].filter((file) => !existsSync(join(dist, file)));
  if (missing.length > 0) {
    console.error(`dist/ lacks ${missing.join(", ")}; run pkg-scripts/build first`);
    process.exit(1);
  }
  process.exit(0);
}

const { build } = await import("esbuild");
rmSync(dist, { recursive: true, force: true });
mkdirSync(dist, { recursive: true });
const shared = { absWorkingDir: here, bundle: true, format: "esm", target: "es2022", minify: true, legalComments: "none", logLevel: "warning" };
await build({ ...shared, entryPoints: ["src/index.ts", "src/slim.ts", "src/nano.ts"], outdir: "dist", splitting: true, chunkNames: "shared-[hash]", keepNames: false });
await build({
  ...shared,
  entryPoints: ["src/worker.ts"],
  outfile: "dist/worker.js",
  alias: { "eyas-gpu-glue": "./wasm/eyas_gpu.js", "eyas-cpu-glue": "./wasm/eyas_cpu.js" },
});

const worker = readFileSync(join(dist, "worker.js"), "utf8");
for (const forbidden of [/\beval\(/, /new Function\(/, /import\.meta/, /\bimport\(/]) {
  if (forbidden.test(worker)) {
    throw new Error(`worker.js contains ${forbidden}: it must be one file that runs under a strict Content Security Policy`);
  }
}

execFileSync(process.execPath, [join(here, "node_modules/typescript/bin/tsc"), "-p", "tsconfig.build.json"], { cwd: here, stdio: "inherit" });
for (const module of MODULES) {
  cpSync(join(here, "wasm", module), join(dist, module));
}
for (const file of MODEL_FILES) {
  const source = join(here, "models/eyas-nano", file);
  if (existsSync(source)) {
    mkdirSync(join(dist, "models/eyas-nano"), { recursive: true });
    cpSync(source, join(dist, "models/eyas-nano", file));
  } else {
    console.warn(`models/eyas-nano/${file} is missing from the package`);
  }
}
writeFileSync(join(dist, ".complete"), "");
