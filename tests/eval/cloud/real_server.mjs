// Runs the cases of tests/browser/tier.test.mjs against a server that really generates: `transformers serve` with stories260K, behind the fault proxy,
// from Chromium. `--record FOLDER` writes what the server sends, byte by byte: a stream, a whole answer, and its errors.
//
// Needs a built package (pkg-scripts/build), the oracle stories260K, and a virtual environment with `transformers[serving]` and `torch`, whose
// folder is named by EYAS_TRANSFORMERS_VENV.
import { spawn } from "node:child_process";
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { startLab, stories } from "../../browser/chromium.mjs";
import { faultCases, runFaultCase } from "../../browser/fault_cases.mjs";
import { startFaultProxy } from "../../browser/fault_proxy.mjs";

const MODEL = "stories-chat";
const MAX_TOKENS = 24;
const QUESTION = [{ role: "user", content: "Grüße an den Vogel" }];
const START_MS = 300_000;

const venv = process.env.EYAS_TRANSFORMERS_VENV;
if (!venv) {
  console.error("EYAS_TRANSFORMERS_VENV must name a virtual environment with transformers[serving] and torch");
  process.exit(2);
}
const record = process.argv[2] === "--record" ? process.argv[3] : undefined;

/** The model with a chat template, which its publisher gave it none of: a question is text to go on from. */
function chatModel() {
  const folder = mkdtempSync(join(tmpdir(), "eyas-serve-"));
  const model = join(folder, MODEL);
  cpSync(join(stories, "hf"), model, { recursive: true });
  const path = join(model, "tokenizer_config.json");
  const config = JSON.parse(readFileSync(path, "utf8"));
  writeFileSync(path, JSON.stringify({ ...config, chat_template: "{{ messages[-1].content }}" }));
  return folder;
}

const freePort = () =>
  new Promise((resolve) => {
    const server = createServer().listen(0, "127.0.0.1", () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });

const post = (origin, body) =>
  fetch(`${origin}/v1/chat/completions`, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) });

async function startServer(folder) {
  const port = await freePort();
  const origin = `http://127.0.0.1:${port}`;
  const env = { ...process.env, HF_HUB_OFFLINE: "1", TRANSFORMERS_OFFLINE: "1" };
  const child = spawn(join(venv, "bin/transformers"), ["serve", "--host", "127.0.0.1", "--port", String(port), "--device", "cpu"], { cwd: folder, env, stdio: ["ignore", "inherit", "inherit"] });
  for (const begin = Date.now(); Date.now() - begin < START_MS && child.exitCode === null; ) {
    const answer = await post(origin, { model: MODEL, messages: QUESTION, max_tokens: 2 }).catch(() => undefined);
    if (answer?.ok) {
      await answer.text();
      return { origin, close: () => child.kill("SIGKILL") };
    }
    await new Promise((resolve) => setTimeout(resolve, 1000));
  }
  child.kill("SIGKILL");
  throw new Error("transformers serve did not start");
}

/** What the server sends for each of these bodies, with its status. */
async function recordTranscripts(origin, folder) {
  const bodies = {
    stream: { model: MODEL, messages: QUESTION, max_tokens: MAX_TOKENS, temperature: 0, stream: true, stream_options: { include_usage: true } },
    whole: { model: MODEL, messages: QUESTION, max_tokens: 8, temperature: 0, stream: false },
    "no-model": { model: "nobody/nothing", messages: QUESTION, max_tokens: 2, stream: true },
    "no-messages": { model: MODEL, stream: true },
    "wrong-field": { model: MODEL, messages: QUESTION, max_tokens: "many", stream: true },
  };
  for (const [name, body] of Object.entries(bodies)) {
    const answer = await post(origin, body);
    const bytes = Buffer.from(await answer.arrayBuffer());
    const kind = (answer.headers.get("content-type") ?? "").includes("event-stream") ? "sse" : "json";
    const file = `transformers_serve_${name}_${answer.status}.${kind}`;
    writeFileSync(join(folder, file), bytes);
    console.log(`${file}: ${bytes.length} bytes, ${answer.headers.get("content-type")}`);
  }
}

const folder = chatModel();
const server = await startServer(folder);
const lab = await startLab();
const proxy = await startFaultProxy(server.origin);
try {
  if (record) {
    await recordTranscripts(server.origin, record);
  }
  const page = await lab.page();
  const answer = await (await post(server.origin, { model: MODEL, messages: QUESTION, max_tokens: MAX_TOKENS, temperature: 0 })).json();
  const text = answer.choices[0].message.content;
  console.log(`the server goes on: ${JSON.stringify(text)}`);
  for (const fault of faultCases(text)) {
    console.log(await runFaultCase(page, proxy, { model: MODEL, nowhere: "/nano-that-is-not-there/", text, fault, options: { maxTokens: MAX_TOKENS } }));
  }
} finally {
  server.close();
  await Promise.all([lab.close(), proxy.close()]);
  rmSync(folder, { recursive: true, force: true });
}
