import { EyasError, type ErrorCode } from "./error.js";
import type { DeviceChoice } from "./load_options.js";

/** The part of a GPUAdapter that the choice needs. */
export interface AdapterLike {
  info?: { vendor?: string; architecture?: string; device?: string; description?: string; isFallbackAdapter?: boolean };
  /** Where older browsers say it. */
  isFallbackAdapter?: boolean;
  limits?: BufferLimits;
}

/** What an adapter binds at most. */
export interface BufferLimits {
  maxBufferSize: number;
  maxStorageBufferBindingSize: number;
}

/** The part of `navigator.gpu` that the choice needs. */
export interface GpuLike {
  requestAdapter(options?: { powerPreference?: "high-performance" }): Promise<AdapterLike | null>;
}

/** A device kind to try, and why. */
export interface DevicePlan {
  kind: "gpu" | "cpu";
  /** Why this device, in words. */
  reason: string;
  /** The GPU adapter, as the browser describes it. */
  adapter?: { name: string; isFallbackAdapter: boolean };
  /** What the adapter binds at most. */
  limits?: BufferLimits;
}

/** What the browser tells about an adapter; for privacy that is often no more than vendor and architecture. */
function described({ info = {}, isFallbackAdapter }: AdapterLike): { name: string; isFallbackAdapter: boolean } {
  const parts = [info.vendor, info.architecture, info.device, info.description].filter((part) => part);
  return { name: [...new Set(parts)].join(" ") || "WebGPU adapter without a name", isFallbackAdapter: info.isFallbackAdapter ?? isFallbackAdapter ?? false };
}

/** The adapter, or why there is none. */
async function findAdapter(gpu: GpuLike | undefined, isSecureContext: boolean): Promise<AdapterLike | string> {
  if (!gpu) {
    return isSecureContext ? "this browser offers no WebGPU in a worker" : "WebGPU needs a secure page (https or localhost)";
  }
  try {
    return (await gpu.requestAdapter({ powerPreference: "high-performance" })) ?? "the browser offers no WebGPU adapter";
  } catch (error) {
    return `the browser refused a WebGPU adapter: ${(error as Error).message}`;
  }
}

/**
 * Chooses the device. `gpu` takes any adapter, also one that computes in software, and is `webgpu-unavailable` without one; `auto` takes the CPU
 * where there is no adapter or only such a one, and says why.
 */
export async function chooseDevice(choice: DeviceChoice, gpu: GpuLike | undefined, isSecureContext: boolean): Promise<DevicePlan> {
  if (choice === "cpu") {
    return { kind: "cpu", reason: "the caller asked for the CPU" };
  }
  const found = await findAdapter(gpu, isSecureContext);
  if (typeof found !== "string") {
    const adapter = described(found);
    if (choice === "auto" && adapter.isFallbackAdapter) {
      // The same processor computes either way, and WASM SIMD needs no detour through shaders.
      return { kind: "cpu", reason: `the only WebGPU adapter (${adapter.name}) computes in software` };
    }
    const plan: DevicePlan = { kind: "gpu", reason: choice === "gpu" ? "the caller asked for the GPU" : "a WebGPU adapter is available", adapter };
    return found.limits ? { ...plan, limits: found.limits } : plan;
  }
  if (choice === "gpu") {
    throw new EyasError("webgpu-unavailable", `${found}; use device: "auto" or "cpu"`);
  }
  return { kind: "cpu", reason: found };
}

const RESCUED: readonly ErrorCode[] = ["webgpu-unavailable", "bad-device", "device-lost", "out-of-memory"];

/** The plan after the GPU failed: the CPU where the caller left the choice and the GPU itself was at fault, else undefined. */
export function planAfterFailure(choice: DeviceChoice, plan: DevicePlan, error: unknown): DevicePlan | undefined {
  const { code, message } = error as EyasError;
  if (choice === "auto" && plan.kind === "gpu" && RESCUED.includes(code)) {
    return { kind: "cpu", reason: `the GPU failed (${code}: ${message})` };
  }
  return undefined;
}
