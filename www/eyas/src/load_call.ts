import type { Call } from "./protocol.js";
import type { WireStoreOptions } from "./store_options.js";

export type LoadCall = Extract<Call, { type: "load" }>;
export type PlanCall = Extract<Call, { type: "plan" }>;

/** On a device that is to save data, larger files are fetched only where a person was asked. */
export const UNASKED_BYTES = 8 * 2 ** 20;

/** Where the mark of a load is kept: the same load on the same device has the same. */
export function loadMarkKey({ source, options }: LoadCall | PlanCall, device: "gpu" | "cpu"): string {
  const name = source.kind === "files" ? source.files.map((file) => `${file.name} ${file.url ?? file.blob?.size}`).join() : source.url;
  return `eyas-loading:${name} ${device} ${options.quantize} ${options.contextTokens ?? "auto"}`;
}

/** What a load asks of the store. Where its download is limited it must find room: what did not fit would be fetched a second time to go on without it. */
export function storeOf({ store, tier }: LoadCall | PlanCall): WireStoreOptions {
  return { ...store, required: store.required || tier.budget?.downloadBytes !== undefined };
}

/** Whether this device is to save data, and a load respects that. */
export function savesData({ respectsDataSaver }: WireStoreOptions): boolean {
  const { connection } = (globalThis.navigator ?? {}) as { connection?: { saveData?: boolean; type?: string } };
  return respectsDataSaver && (connection?.saveData === true || connection?.type === "cellular");
}
