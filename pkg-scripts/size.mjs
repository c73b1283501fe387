// What a GPU device and a CPU device download; see the script `size`.
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { brotliCompressSync, constants, gzipSync } from "node:zlib";

const here = dirname(fileURLToPath(import.meta.url));
const dist = join(here, "../www/eyas/dist");
const budgetFile = join(here, "size-budget.json");
const GROWTH = 1.05;

function measure(file) {
  const bytes = readFileSync(join(dist, file));
  const brotli = brotliCompressSync(bytes, { params: { [constants.BROTLI_PARAM_QUALITY]: 11, [constants.BROTLI_PARAM_SIZE_HINT]: bytes.length } });
  return { raw: bytes.length, gzip: gzipSync(bytes, { level: 9 }).length, brotli: brotli.length };
}

if (!existsSync(join(dist, ".complete"))) {
  console.error("www/eyas/dist is missing: run pkg-scripts/build first");
  process.exit(1);
}
const entry = ["index.js", ...readdirSync(dist).filter((file) => /^shared-.*\.js$/.test(file))];
const files = [...entry, "worker.js", "eyas_gpu_bg.wasm", "eyas_cpu_bg.wasm"];
const sizes = Object.fromEntries(files.map((file) => [file, measure(file)]));
const devices = { gpu: [...entry, "worker.js", "eyas_gpu_bg.wasm"], cpu: [...entry, "worker.js", "eyas_cpu_bg.wasm"] };
const total = (device, kind) => devices[device].reduce((sum, file) => sum + sizes[file][kind], 0);
const report = { files: sizes };
for (const kind of ["raw", "gzip", "brotli"]) {
  report[`${kind}_bytes`] = { gpu: total("gpu", kind), cpu: total("cpu", kind) };
}

const options = process.argv.slice(2);
if (options.includes("--json")) {
  console.log(JSON.stringify(report));
} else {
  const row = (name, { raw, gzip, brotli }) => console.log(`${name.padEnd(24)}${String(raw).padStart(11)}${String(gzip).padStart(11)}${String(brotli).padStart(11)}`);
  console.log(`${"bytes".padEnd(24)}${"raw".padStart(11)}${"gzip -9".padStart(11)}${"brotli".padStart(11)}`);
  for (const file of files) {
    row(file, sizes[file]);
  }
  for (const device of ["gpu", "cpu"]) {
    row(`a ${device.toUpperCase()} device`, { raw: total(device, "raw"), gzip: total(device, "gzip"), brotli: total(device, "brotli") });
  }
}
if (options.includes("--write")) {
  writeFileSync(budgetFile, `${JSON.stringify({ gzip_bytes: report.gzip_bytes }, undefined, 2)}\n`);
}
if (options.includes("--check")) {
  const budget = JSON.parse(readFileSync(budgetFile, "utf8")).gzip_bytes;
  for (const device of ["gpu", "cpu"]) {
    const now = report.gzip_bytes[device];
    if (now > budget[device] * GROWTH) {
      console.error(`a ${device.toUpperCase()} device downloads ${now} bytes (gzip); the budget is ${budget[device]} and 5%. If the growth is worth it, run pkg-scripts/size --write and say why in the commit.`);
      process.exitCode = 1;
    }
  }
}
