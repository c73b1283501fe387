import type { Completion, EngineInfo } from "eyas";

import { byteText } from "./byte_text";

/** Where it runs and why, how much memory it takes and how fast it was, in one honest line. */
export function statusText(info: EngineInfo, timing?: Completion["timing"]): string {
  const { device } = info;
  const kind = device.kind === "gpu" ? `GPU: ${device.name}` : device.name;
  const software = device.isFallbackAdapter ? " (a software adapter, not a real GPU)" : "";
  const parts = [`${kind}${software}, because ${device.reason}`, `${byteText(info.memoryBytes)} of memory, weights ${info.quantize}`];
  if (timing) {
    parts.push(`first token ${timing.firstTokenMs.toFixed(timing.firstTokenMs < 10 ? 1 : 0)} ms`);
    if (timing.tokensPerSecond > 0) {
      parts.push(`${timing.tokensPerSecond.toFixed(timing.tokensPerSecond < 10 ? 1 : 0)} tokens/s`);
    }
  }
  return parts.join(" · ");
}
