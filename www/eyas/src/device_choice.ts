import { EyasError, type ErrorCode } from "./error.js";
import type { DeviceChoice } from "./load_options.js";

/** A device kind to try, and why. */
export interface DevicePlan {
  kind: "gpu" | "cpu";
  /** Why this device, in words. */
  reason: string;
}

/** The part of `navigator.gpu` that the choice needs. */
export interface GpuLike {
  requestAdapter(options?: { powerPreference?: "high-performance" }): Promise<unknown>;
}

/** Why there is no GPU adapter, or undefined where there is one. */
async function missingAdapter(gpu: GpuLike | undefined, isSecureContext: boolean): Promise<string | undefined> {
  if (!gpu) {
    return isSecureContext ? "this browser offers no WebGPU in a worker" : "WebGPU needs a secure page (https or localhost)";
  }
  try {
    return (await gpu.requestAdapter({ powerPreference: "high-performance" })) ? undefined : "the browser offers no WebGPU adapter";
  } catch (error) {
    return `the browser refused a WebGPU adapter: ${(error as Error).message}`;
  }
}

/** Chooses the device. `gpu` without an adapter is `webgpu-unavailable`; `auto` then takes the CPU and says why. */
export async function chooseDevice(choice: DeviceChoice, gpu: GpuLike | undefined, isSecureContext: boolean): Promise<DevicePlan> {
  if (choice === "cpu") {
    return { kind: "cpu", reason: "the caller asked for the CPU" };
  }
  const missing = await missingAdapter(gpu, isSecureContext);
  if (missing === undefined) {
    return { kind: "gpu", reason: choice === "gpu" ? "the caller asked for the GPU" : "a WebGPU adapter is available" };
  }
  if (choice === "gpu") {
    throw new EyasError("webgpu-unavailable", `${missing}; use device: "auto" or "cpu"`);
  }
  return { kind: "cpu", reason: missing };
}

const RESCUED: readonly ErrorCode[] = ["webgpu-unavailable", "device-lost", "out-of-memory"];

/** The plan after the GPU failed: the CPU where the caller left the choice and the GPU itself was at fault, else undefined. */
export function planAfterFailure(choice: DeviceChoice, plan: DevicePlan, error: unknown): DevicePlan | undefined {
  const { code, message } = error as EyasError;
  if (choice === "auto" && plan.kind === "gpu" && RESCUED.includes(code)) {
    return { kind: "cpu", reason: `the GPU failed (${code}: ${message})` };
  }
  return undefined;
}
