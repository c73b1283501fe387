import type { WireSource } from "./model_source.js";
import { ensure, requireChoice, shown } from "./option_check.js";

/** How a load uses the store on the device. */
export interface StoreOptions {
  /**
   * `device`: what is fetched is kept on this device, and the next load needs no network; the default for a folder's and a file's URL. `none`: every
   * load fetches anew. Files that a person chose are never copied; files by name (`{ files }`) are kept where `device` is given.
   */
  store?: "device" | "none";
  /** Whether the model may be removed when another one needs its room; default false. The least recently used goes first. */
  evictable?: boolean;
  /** The SHA-256 of files, by name, as 64 hexadecimal digits. A file that differs is `integrity`; others are pinned when they are first fetched. */
  sha256?: Readonly<Record<string, string>>;
  /**
   * Whether a device that is to save data (`navigator.connection`: data saver, or a mobile network that says so) refuses to fetch files above 8 MiB
   * with `over-budget`; ask the person, then pass `ignore`. Default `respect`.
   */
  dataSaver?: "respect" | "ignore";
}

/** The same as the worker gets it. */
export interface WireStoreOptions {
  /** What the model is called in the store; absent where nothing is kept. */
  id?: string;
  evictable: boolean;
  sha256: Readonly<Record<string, string>>;
  respectsDataSaver: boolean;
}

export const STORE_OPTION_NAMES = ["store", "evictable", "sha256", "dataSaver"] as const;

/** What a model is called in the store: its address. */
export function storeId(source: WireSource): string {
  if (source.kind !== "files") {
    return source.url;
  }
  const files = source.files.map(({ name, url }) => `${name} ${url ?? ""}`).sort();
  return `${source.name ?? "files"}: ${files.join(", ")}`;
}

/** Checks the options, and throws `bad-input`. */
export function wireStoreOptions(options: StoreOptions, source: WireSource): WireStoreOptions {
  const hasAddress = source.kind !== "files";
  const { store = hasAddress ? "device" : "none", evictable = false, sha256 = {}, dataSaver = "respect" } = options;
  requireChoice("store", store, ["device", "none"]);
  requireChoice("dataSaver", dataSaver, ["respect", "ignore"]);
  ensure(typeof evictable === "boolean", () => `evictable must be true or false, found ${shown(evictable)}`);
  ensure(typeof sha256 === "object" && sha256 !== null && !Array.isArray(sha256), () => `sha256 must be an object with a digest for each file's name, found ${shown(sha256)}`);
  for (const [name, digest] of Object.entries(sha256)) {
    ensure(typeof digest === "string" && /^[0-9a-f]{64}$/i.test(digest), () => `sha256 of ${shown(name)} must have 64 hexadecimal digits, found ${shown(digest)}`);
  }
  return { ...(store === "device" ? { id: storeId(source) } : {}), evictable, sha256, respectsDataSaver: dataSaver === "respect" };
}
