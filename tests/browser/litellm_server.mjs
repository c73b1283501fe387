// LiteLLM's proxy from PyPI: an OpenAI-compatible server that nobody here wrote. It answers a fixed text without a model.
import { spawn, spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

export const TEXT = "A cloud answer with an umlaut ü, a bird 🐦 and an end.";
const CONFIG = `model_list:
  - model_name: mock
    litellm_params:
      model: openai/mock
      api_key: none
      mock_response: "${TEXT}"
`;
const START_MS = 240_000;
const QUESTION = JSON.stringify({ model: "mock", stream: false, messages: [{ role: "user", content: "Are you there?" }] });

/** A virtual environment outside the repository, kept between runs; undefined where it can't be made. */
export function environment() {
  const folder = process.env.EYAS_LITELLM_VENV ?? join(tmpdir(), "eyas-litellm-venv");
  const program = join(folder, "bin/litellm");
  if (!existsSync(program)) {
    const quiet = { stdio: "ignore", timeout: 400_000 };
    const made = spawnSync("python3", ["-m", "venv", folder], quiet).status === 0;
    if (!made || spawnSync(join(folder, "bin/pip"), ["install", "-q", "litellm[proxy]"], quiet).status !== 0) {
      return undefined;
    }
  }
  return existsSync(program) ? program : undefined;
}

const freePort = () =>
  new Promise((resolve) => {
    const server = createServer().listen(0, "127.0.0.1", () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });

/** Starts the proxy; returns its origin and `close`, or why it can't be had. */
export async function startLiteLlm() {
  const program = environment();
  if (!program) {
    return { why: "litellm[proxy] can't be installed from PyPI here" };
  }
  const folder = mkdtempSync(join(tmpdir(), "eyas-litellm-"));
  writeFileSync(join(folder, "config.yaml"), CONFIG);
  const port = await freePort();
  const env = { ...process.env, LITELLM_LOCAL_MODEL_COST_MAP: "True", LITELLM_TELEMETRY: "False", LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY: "true" };
  const child = spawn(program, ["--config", join(folder, "config.yaml"), "--host", "127.0.0.1", "--port", String(port)], { cwd: folder, env, stdio: "ignore" });
  const close = () => {
    child.kill("SIGKILL");
    rmSync(folder, { recursive: true, force: true });
  };
  const origin = `http://127.0.0.1:${port}`;
  for (const begin = Date.now(); Date.now() - begin < START_MS && child.exitCode === null; ) {
    // Its first answer takes seconds longer than the later ones, so one is asked for here.
    const isUp = await fetch(`${origin}/v1/chat/completions`, { method: "POST", headers: { "content-type": "application/json" }, body: QUESTION, signal: AbortSignal.timeout(30_000) }).then((response) => response.ok, () => false);
    if (isUp) {
      return { origin, close };
    }
    await new Promise((resolve) => setTimeout(resolve, 500));
  }
  close();
  return { why: "LiteLLM's proxy did not start" };
}
