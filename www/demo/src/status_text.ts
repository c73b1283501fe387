import type { Completion, EngineInfo, MemoryReport } from "eyas";

import { byteText } from "./byte_text";

/** Where it runs and why, how much memory it takes and how fast it was, in one honest line. */
export function statusText(info: EngineInfo, memory: MemoryReport, timing?: Completion["timing"]): string {
  const { device } = info;
  const kind = device.kind === "gpu" ? `GPU: ${device.name}` : device.name;
  const software = device.isFallbackAdapter ? " (a software adapter, not a real GPU)" : "";
  const parts = [`${kind}${software}, because ${device.reason}`, `${byteText(memory.deviceBytes)} of memory for ${info.quantize} weights and cache, ${byteText(memory.wasmBytes)} of WASM memory`];
  if (timing) {
    parts.push(`first token ${timing.firstTokenMs.toFixed(timing.firstTokenMs < 10 ? 1 : 0)} ms`);
    if (timing.tokensPerSecond > 0) {
      parts.push(`${timing.tokensPerSecond.toFixed(timing.tokensPerSecond < 10 ? 1 : 0)} tokens/s`);
    }
  }
  return parts.join(" · ");
}
