import { absolute, type WireSource } from "./model_source.js";
import { ensure, requireChoice, shown } from "./option_check.js";

/** How a load uses the store on the device. */
export interface StoreOptions {
  /**
   * `auto`: what is fetched is kept on this device, and the next load needs no network; where there is no room, the model is loaded all the same, and
   * `info.storage` says why it is not kept, unless `budget.downloadBytes` limits the download: then it is as `device`. The default for a folder's and a file's URL. `device`: the same, but a load that finds no room is
   * `storage-full`. `none`: every load fetches anew. Files that a person chose are never copied; files by name (`{ files }`) are kept where `auto` or
   * `device` is given.
   */
  store?: "auto" | "device" | "none";
  /** Whether the model may be removed when another one needs its room; default false. The least recently used goes first. */
  evictable?: boolean;
  /** The SHA-256 of files, by name, as 64 hexadecimal digits. A file that differs is `integrity`; others are pinned when they are first fetched. */
  sha256?: Readonly<Record<string, string>>;
  /**
   * Where the model's `eyas.manifest.json` is, which `eyas-cli pack` writes. Default: beside the model, and where there is none, there is none. `false`
   * asks for none. Its files' sizes and hashes are demanded, what it does not list is not asked for, and it may demand a version of this package
   * (`unsupported-model`).
   */
  manifest?: string | URL | false;
  /**
   * The publisher's Ed25519 key in base64, as `eyas-cli key` printed it. A manifest without its signature (`eyas.manifest.json.sig`), or none, is
   * `integrity`, and nothing else of the model is fetched. So it is in a browser whose WebCrypto has no Ed25519.
   */
  publicKey?: string;
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
  /** Whether a model that finds no room is not loaded. */
  required: boolean;
  evictable: boolean;
  sha256: Readonly<Record<string, string>>;
  respectsDataSaver: boolean;
  /** Where the manifest is, and a file that it must list to be this model's. */
  manifest?: { url: string; lists?: string };
  publicKey?: string;
}

export const STORE_OPTION_NAMES = ["store", "evictable", "sha256", "manifest", "publicKey", "dataSaver"] as const;

const MANIFEST_NAME = "eyas.manifest.json";

/** The file name that a URL's last part stands for; the part itself where its escapes are malformed. */
function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

/** Where a model's manifest is by default: beside its files. Undefined where no address tells. */
function manifestBeside(source: WireSource): { url: string; lists?: string } | undefined {
  if (source.kind === "folder") {
    return { url: `${source.url}${MANIFEST_NAME}` };
  }
  if (source.kind === "gguf") {
    // Other models may lie in the same folder.
    const url = new URL(source.url);
    const [lists = ""] = url.pathname.split("/").slice(-1);
    url.pathname = `${url.pathname.slice(0, -lists.length)}${MANIFEST_NAME}`;
    return { url: url.href, lists: decoded(lists) };
  }
  const url = source.files.find(({ name }) => name === MANIFEST_NAME)?.url;
  return url === undefined ? undefined : { url };
}

/** What a model is called in the store: its address. */
export function storeId(source: WireSource): string {
  if (source.kind !== "files") {
    return source.url;
  }
  const files = source.files.map(({ name, url }) => `${name} ${url ?? ""}`).sort();
  return `${source.name ?? "files"}: ${files.join(", ")}`;
}

/** Checks the options, and throws `bad-input`. */
export function wireStoreOptions(options: StoreOptions, source: WireSource, base = ""): WireStoreOptions {
  const hasAddress = source.kind !== "files";
  const { store = hasAddress ? "auto" : "none", evictable = false, sha256 = {}, manifest, publicKey, dataSaver = "respect" } = options;
  requireChoice("store", store, ["auto", "device", "none"]);
  requireChoice("dataSaver", dataSaver, ["respect", "ignore"]);
  ensure(typeof evictable === "boolean", () => `evictable must be true or false, found ${shown(evictable)}`);
  ensure(typeof sha256 === "object" && sha256 !== null && !Array.isArray(sha256), () => `sha256 must be an object with a digest for each file's name, found ${shown(sha256)}`);
  for (const [name, digest] of Object.entries(sha256)) {
    ensure(typeof digest === "string" && /^[0-9a-f]{64}$/i.test(digest), () => `sha256 of ${shown(name)} must have 64 hexadecimal digits, found ${shown(digest)}`);
  }
  ensure(manifest === undefined || manifest === false || typeof manifest === "string" || manifest instanceof URL, () => `manifest must be a URL or false, found ${shown(manifest)}`);
  ensure(publicKey === undefined || (typeof publicKey === "string" && /^[A-Za-z0-9+/]{43}=$/.test(publicKey)), () => `publicKey must be 32 bytes in base64, as eyas-cli key prints them; found ${shown(publicKey)}`);
  ensure(publicKey === undefined || manifest !== false, () => "publicKey demands a signed manifest, and manifest: false asks for none");
  const wire: WireStoreOptions = { ...(store === "none" ? {} : { id: storeId(source) }), required: store === "device", evictable, sha256, respectsDataSaver: dataSaver === "respect" };
  const place = typeof manifest === "string" || manifest instanceof URL ? { url: absolute(String(manifest), base).href } : manifestBeside(source);
  if (place && manifest !== false) {
    wire.manifest = place;
  }
  if (publicKey !== undefined) {
    wire.publicKey = publicKey;
  }
  return wire;
}
