import { EyasError } from "./error.js";
import type { Progress } from "./progress.js";

/** The body with every byte counted, as a response that WebAssembly compiles while it arrives. */
function counted(response: Response, onBytes: (bytes: number) => void): Response {
  const count = new TransformStream<Uint8Array, Uint8Array>({
    transform(chunk, controller) {
      onBytes(chunk.byteLength);
      controller.enqueue(chunk);
    },
  });
  return new Response(response.body?.pipeThrough(count) ?? null, { headers: { "content-type": "application/wasm" } });
}

/** Fetches and compiles a WebAssembly module, reporting bytes in phase `start`. */
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
  let loadedBytes = 0;
  const body = counted(response, (bytes) => {
    loadedBytes += bytes;
    onProgress({ phase: "start", loadedBytes, totalBytes: Math.max(totalBytes, totalBytes && loadedBytes), detail, source: "network", fetchedBytes: loadedBytes, bytesPerSecond: null, remainingMs: null });
  });
  try {
    return await WebAssembly.compileStreaming(body);
  } catch (cause) {
    signal.throwIfAborted();
    throw new EyasError("download-failed", `the WebAssembly module from ${url} could not be compiled: ${String((cause as Error).message)}; check that the URL serves the package's .wasm file unchanged`, { cause });
  }
}
