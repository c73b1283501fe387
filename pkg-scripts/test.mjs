// Runs the test stages and sums what they count; see the script `test`.
import { spawn, spawnSync } from "node:child_process";
import { existsSync } from "node:fs";

const CARGO = [/^test result: \w+\. (\d+) passed; (\d+) failed; (\d+) ignored/gm];
const NODE = [/^ℹ pass (\d+)$/gm, /^ℹ fail (\d+)$/gm, /^ℹ skipped (\d+)$/gm];

/** Sums of what a stage's runner printed: one pattern with three groups, or three patterns with one. */
function counted(output, patterns) {
  const sum = (pattern, group) => [...output.matchAll(pattern)].reduce((total, match) => total + Number(match[group]), 0);
  return patterns.length === 1 ? [1, 2, 3].map((group) => sum(patterns[0], group)) : patterns.map((pattern) => sum(pattern, 1));
}

/** Runs a command, shows its output and returns it with the exit status. */
function run(command) {
  return new Promise((resolve) => {
    const child = spawn("bash", ["-c", command], { stdio: ["ignore", "pipe", "pipe"], env: { ...process.env, NO_COLOR: "1", CARGO_TERM_COLOR: "never" } });
    let output = "";
    for (const [from, to] of [[child.stdout, process.stdout], [child.stderr, process.stderr]]) {
      from.setEncoding("utf8").on("data", (text) => {
        output += text;
        to.write(text);
      });
    }
    child.on("close", (status) => resolve({ status: status ?? 1, output }));
  });
}

const haveBrowser = () => ["/usr/bin/chromium", "/usr/bin/chromium-browser", process.env.EYAS_CHROMIUM ?? ""].some((path) => path !== "" && existsSync(path));

function needBrowser() {
  if (!haveBrowser() && process.getuid?.() === 0) {
    spawnSync("bash", ["-c", "apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium"], { stdio: ["ignore", 2, 2] });
  }
  return haveBrowser();
}

/** Native GPU tests run on Mesa's software Vulkan where there is no other driver; without one they are printed skips. */
function needVulkan() {
  const drivers = ["/usr/share/vulkan/icd.d", "/etc/vulkan/icd.d"].filter((folder) => existsSync(folder));
  if (drivers.length === 0 && process.getuid?.() === 0) {
    spawnSync("bash", ["-c", "apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends mesa-vulkan-drivers libvulkan1"], { stdio: ["ignore", 2, 2] });
  }
}

const install = (folder, ...files) => `. pkg-scripts/toolchain.sh && npm_ci ${folder} ${files.join(" ")}`;
/** One file after another, or two at once where they wait for networks and processes often enough that a second one finds the processor idle. */
const nodeTest = (files, atOnce = 1) => `node --test --test-force-exit --test-concurrency=${atOnce} --test-timeout=1200000 --test-reporter=spec ${files}`;

/** What two test files need is made before both of them want to. */
const cloud = `node --input-type=module -e 'import { environment } from "./tests/browser/litellm_server.mjs"; environment();'`;

/** The lints of a file that a build script compiles by itself, for relaxed SIMD. */
const clippyAlone = (file) => `clippy-driver ${file} --edition=2024 --crate-type=cdylib --target=wasm32-unknown-unknown -Cpanic=abort -Ctarget-feature=+simd128,+relaxed-simd --emit=metadata -Dwarnings --out-dir "$(mktemp -d)"`;

// Each stage: a command that counts as one check, or a runner whose own counts are summed.
const STAGES = [
  { name: "fmt", command: "cargo fmt --all --check && rustfmt --check --edition 2024 crates/eyas-kernels/relaxed/kernels.rs" },
  { name: "clippy", command: `cargo clippy --quiet --workspace --all-targets -- -D warnings && ${clippyAlone("crates/eyas-kernels/relaxed/kernels.rs")}` },
  { name: "native", command: "cargo test --workspace --no-fail-fast", patterns: CARGO, prepare: needVulkan },
  { name: "build", command: "pkg-scripts/demo --build-only && pkg-scripts/size --check && pkg-scripts/build --parity" },
  { name: "unit", command: `${install("www/eyas")} && ${nodeTest("www/eyas/tests/*.test.mjs tests/bench/*.test.mjs")}`, patterns: NODE },
  { name: "browser", command: `${install("tests/browser")} && ${cloud} && ${nodeTest("tests/browser/*.test.mjs", 2)}`, patterns: NODE, browser: true },
  // Prints ratios of speeds beside the baseline's; what it counts as checks are the numbers of GPU calls a token.
  { name: "bench", command: "pkg-scripts/bench --ratios", patterns: NODE, browser: true },
  { name: "packaging", command: `${install("tests/browser")} && ${install("tests/packaging", "www/eyas/eyas-*.tgz")} && ${nodeTest("tests/packaging/*.test.mjs")}`, patterns: NODE, browser: true },
];

const wanted = process.argv.slice(2);
const unknown = wanted.filter((name) => !STAGES.some((stage) => stage.name === name));
if (unknown.length > 0) {
  console.error(`unknown stage ${unknown.join(", ")}; there are: ${STAGES.map((stage) => stage.name).join(", ")}`);
  process.exit(2);
}

const sum = { passed: 0, failed: 0, skipped: 0 };
const rows = [];
for (const { name, command, patterns, browser, prepare } of STAGES) {
  if (wanted.length > 0 && !wanted.includes(name)) {
    continue;
  }
  console.log(`\n== ${name}`);
  if (browser && !needBrowser()) {
    console.log(`SKIP ${name}: no Chromium on this machine, and it could not be installed`);
    rows.push([name, 0, 0, 1, 0]);
    sum.skipped += 1;
    continue;
  }
  prepare?.();
  const begin = Date.now();
  const { status, output } = await run(command);
  let [passed, failed, skipped] = patterns ? counted(output, patterns) : [status === 0 ? 1 : 0, status === 0 ? 0 : 1, 0];
  if (status !== 0 && failed === 0) {
    failed = 1; // the stage itself failed, e.g. it did not compile
  }
  rows.push([name, passed, failed, skipped, Math.round((Date.now() - begin) / 1000)]);
  sum.passed += passed;
  sum.failed += failed;
  sum.skipped += skipped;
}

console.log("");
for (const [name, passed, failed, skipped, seconds] of rows) {
  console.log(`${name.padEnd(12)}${String(passed).padStart(5)} ok ${String(failed).padStart(4)} bad ${String(skipped).padStart(4)} left out ${String(seconds).padStart(6)} s`);
}
console.log(`${sum.passed} passed, ${sum.failed} failed${sum.skipped > 0 ? `, ${sum.skipped} skipped` : ""}`);
process.exitCode = sum.failed > 0 || sum.passed === 0 ? 1 : 0;
