// The command line of the benchmark.
import { existsSync, statSync } from "node:fs";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";

export const HELP = `pkg-scripts/bench [options]

Measures the built package in Chromium. Without --model it writes, once, random weights in the shape of SmolLM2-135M
into .eyas/bench. Tables go to the screen, all runs and plots to tests/bench/results.

  --quick            fewer prompts, contexts and repeats: under about 2 minutes instead of 10
  --long             nothing but decoding at 128 and at 2,048 tokens of context; with a software GPU some minutes a repeat
  --device LIST      cpu, gpu or cpu,gpu (default: both, where there is a WebGPU adapter)
  --repeats N        repeats in fresh pages (default 3, with --quick and --long 1; with --beside rounds, 7)
  --model PATH       a .gguf file, or a folder in Hugging Face's form
  --json FILE        also write all runs there
  --ratios           a short run that prints ratios beside tests/bench/baseline.json; fails only where a count of GPU
                     work a token grew, or where nothing could be measured
  --write-baseline   with --ratios: write the ratios that were measured as those of this processor
  --large            what loading a random model of some 505 MB takes and holds, from the network and from the store, beside a plain
                     read of the same bytes; minutes, with a software GPU many
  --beside DIR       this package and another build of it (its www/eyas/dist), in turns on the CPU: what a change brought
  --adapter DIR      write the folder that the peers' benchmark takes by --add, and end
  --peers[=NAMES]    run the peers' benchmark ($EYAS_SHARED/bench/peers) with this package beside NAMES (default
                     wllama-cpu,tjs-wasm,llamacpp-native), where it and its models ($BENCH) are there, and end
  --help             this text

Times depend on the machine and on what else runs on it: every row says the load average and the cores that other
processes took. On Linux the CPU path is also given by the CPU time of the worker, which says more on a busy machine.
EYAS_CHROMIUM names another browser.
`;

/** A wrong command line; its message is for the person who typed it. */
export class UsageError extends Error {}

const OPTIONS = {
  quick: { type: "boolean", default: false },
  long: { type: "boolean", default: false },
  device: { type: "string" },
  repeats: { type: "string" },
  model: { type: "string" },
  json: { type: "string" },
  ratios: { type: "boolean", default: false },
  "write-baseline": { type: "boolean", default: false },
  large: { type: "boolean", default: false },
  beside: { type: "string" },
  adapter: { type: "string" },
  peers: { type: "string" },
  help: { type: "boolean", default: false },
};

/** Reads the arguments; throws UsageError. */
export function readOptions(given) {
  // `--peers` may stand alone or before a list.
  const list = [...given];
  const at = list.indexOf("--peers");
  if (at >= 0) {
    const names = list[at + 1];
    list.splice(at, names && !names.startsWith("--") ? 2 : 1, `--peers=${names && !names.startsWith("--") ? names : ""}`);
  }
  let values;
  try {
    ({ values } = parseArgs({ args: list, options: OPTIONS, strict: true }));
  } catch (error) {
    throw new UsageError(error.message);
  }
  const devices = values.device?.split(",");
  if (devices && !(devices.length > 0 && devices.every((device) => ["cpu", "gpu"].includes(device)))) {
    throw new UsageError(`--device must be cpu, gpu or cpu,gpu; found ${values.device}`);
  }
  const repeats = values.repeats === undefined ? undefined : Number(values.repeats);
  if (repeats !== undefined && !(Number.isInteger(repeats) && repeats >= 1 && repeats <= 100)) {
    throw new UsageError(`--repeats must be a whole number from 1 to 100, found ${values.repeats}`);
  }
  const model = values.model === undefined ? undefined : resolve(values.model);
  if (model !== undefined && !(existsSync(model) && (model.endsWith(".gguf") || statSync(model).isDirectory()))) {
    throw new UsageError(`--model must be a .gguf file or a folder with a model, found ${values.model}`);
  }
  if (["quick", "long", "ratios", "large", "beside", "adapter"].filter((name) => values[name]).length > 1) {
    throw new UsageError("--quick, --long, --ratios, --large, --beside and --adapter are runs of their own; give one");
  }
  const beside = values.beside === undefined ? undefined : resolve(values.beside);
  if (beside !== undefined && !["slim.js", "worker.js", "eyas_cpu_bg.wasm"].every((file) => existsSync(join(beside, file)))) {
    throw new UsageError(`--beside must be a folder with a built package, found ${values.beside}`);
  }
  if (values["write-baseline"] && !values.ratios) {
    throw new UsageError("--write-baseline goes with --ratios");
  }
  if (values.ratios && model !== undefined) {
    throw new UsageError("--ratios compares the model of random weights with its baseline; leave --model out");
  }
  return { ...values, devices, repeats, model, beside, writeBaseline: values["write-baseline"] };
}
