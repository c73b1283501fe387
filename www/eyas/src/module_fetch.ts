import { EyasError } from "./error.js";
import type { Progress } from "./progress.js";

/** Milliseconds between two reports, at least: a frame. */
const REPORT_MS = 16;

/** Reads a body to its end, or to where it breaks, and tells how many bytes came. */
async function count(body: ReadableStreamDefaultReader<Uint8Array> | undefined, onBytes: (bytes: number) => void): Promise<void> {
  let [bytes, told, at] = [0, 0, -REPORT_MS];
  try {
    for (let piece = await body?.read(); piece && !piece.done; piece = await body?.read()) {
      bytes += piece.value.byteLength;
      if (performance.now() - at >= REPORT_MS) {
        [told, at] = [bytes, performance.now()];
        onBytes(told);
      }
    }
  } catch {} // whoever compiles it hears of it
  if (told < bytes) {
    onBytes(bytes);
  }
}

/**
 * Fetches and compiles a WebAssembly module, reporting bytes in phase `start`. The browser compiles its own answer while it arrives, and a copy is counted:
 * counting on the way costs a script's turn for each piece. Throws `download-failed`, and the signal's reason where that is aborted.
 */
export async function fetchModule(url: string, onProgress: (progress: Progress) => void, signal: AbortSignal): Promise<WebAssembly.Module> {
  const detail = url.slice(url.lastIndexOf("/") + 1);
  let response: Response;
  try {
    response = await fetch(url, { signal });
  } catch (cause) {
    signal.throwIfAborted();
    throw new EyasError("download-failed", `the WebAssembly module could not be fetched from ${url}: ${String((cause as Error).message)}`, { cause });
  }
  if (!response.ok) {
    throw new EyasError("download-failed", `the WebAssembly module could not be fetched from ${url}: expected status 200, found ${response.status}; check that the package's files are served`);
  }
  const totalBytes = response.headers.has("content-encoding") ? 0 : Number(response.headers.get("content-length") ?? 0);
  const copy = response.clone().body?.getReader();
  const counted = count(copy, (loadedBytes) => {
    onProgress({ phase: "start", loadedBytes, totalBytes: Math.max(totalBytes, totalBytes && loadedBytes), detail, source: "network", fetchedBytes: loadedBytes, bytesPerSecond: null, remainingMs: null });
  });
  // A browser compiles what is called WebAssembly only; a server that does not know the kind of the file is no reason to fail.
  const isNamed = response.headers.get("content-type") === "application/wasm";
  try {
    const module = await WebAssembly.compileStreaming(isNamed ? response : new Response(response.body, { headers: { "content-type": "application/wasm" } }));
    await counted;
    return module;
  } catch (cause) {
    copy?.cancel().catch(() => {});
    signal.throwIfAborted();
    throw new EyasError("download-failed", `the WebAssembly module from ${url} could not be compiled: ${String((cause as Error).message)}; check that the URL serves the package's .wasm file unchanged`, { cause });
  }
}
