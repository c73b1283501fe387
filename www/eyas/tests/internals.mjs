// The package's modules, compiled for Node: what the tests import.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const folder = mkdtempSync(join(tmpdir(), "eyas-unit-"));
process.on("exit", () => rmSync(folder, { recursive: true, force: true }));
const modules = ["call_queue", "client", "device_choice", "egress_ledger", "engine", "error", "generate_options", "generation", "lasting_client", "load_options", "model_source", "module_fetch", "page_store", "plan", "replay", "request_tries", "session", "shared_progress", "store_host", "store_options", "stored_models", "text_stream", "tier_host", "tier_options", "update_call", "usage_totals", "version_proof", "worker_host"];
await build({
  stdin: {
    contents: modules.map((name) => `export * from "./${name}.js";`).join("\n"),
    resolveDir: join(dirname(fileURLToPath(import.meta.url)), "../src"),
    loader: "ts",
  },
  bundle: true,
  format: "esm",
  target: "es2022",
  outfile: join(folder, "internals.mjs"),
  logLevel: "warning",
});

export default await import(join(folder, "internals.mjs"));
