import type { BegunRequests } from "./begun_request.js";
import { EyasError } from "./error.js";
import { startTimer } from "./timer.js";

/** A file that the store has open. */
export interface StoredFileAccess {
  size(): number;
  read(into: Uint8Array, offset: number): number;
  write(bytes: Uint8Array, offset: number): void;
  truncate(size: number): void;
  flush(): void;
  close(): void;
}

/** What the store in the WebAssembly module calls; its other side is `crates/eyas-web/src/store_host.rs`. */
export interface StoreHost {
  sleep(ms: number): { done: Promise<void>; cancel(): void };
  folders(): Promise<string[]>;
  names(folder: string): Promise<string[]>;
  size(folder: string, name: string): Promise<number>;
  load(folder: string, name: string): Promise<Uint8Array | undefined>;
  save(folder: string, name: string, bytes: Uint8Array): Promise<void>;
  open(folder: string, name: string): Promise<StoredFileAccess>;
  remove(folder: string, name?: string): Promise<void>;
  freeBytes(): Promise<number | undefined>;
  lock(folder: string, wait: boolean): Promise<(() => void) | undefined>;
  digest(bytes: Uint8Array): Promise<ArrayBuffer>;
  verify(publicKey: string, signature: string, message: Uint8Array): Promise<boolean>;
  /** The answer to a plain request for this address that was sent before the module ran; given once. */
  begun(url: string): Promise<Response> | undefined;
}

/** The part of FileSystemSyncAccessHandle that the store needs; not every version of the DOM's types has it. */
interface SyncAccessHandle {
  getSize(): number;
  read(into: Uint8Array, options: { at: number }): number;
  write(bytes: Uint8Array, options: { at: number }): number;
  truncate(size: number): void;
  flush(): void;
  close(): void;
}

type FileHandle = FileSystemFileHandle & { createSyncAccessHandle(): Promise<SyncAccessHandle> };
type Folder = FileSystemDirectoryHandle & { keys(): AsyncIterableIterator<string> };

const ROOT = "eyas-models";
/** A tab that was killed gives its files back a moment later; one that writes is done a moment later. */
const OPEN_ATTEMPTS = 60;
const OPEN_PAUSE_MS = 50;
const REMOVE_ATTEMPTS = 10;
const REMOVE_PAUSE_MS = 20;

/** The folder of all models, or why this environment keeps none. */
export async function deviceFolder(): Promise<FileSystemDirectoryHandle | string> {
  if (!globalThis.isSecureContext) {
    return "a page keeps models only where it is secure (https or localhost)";
  }
  if (!navigator.storage?.getDirectory || !navigator.locks || !("FileSystemFileHandle" in globalThis) || !("createSyncAccessHandle" in FileSystemFileHandle.prototype)) {
    return "this browser has no private file system that a worker can use";
  }
  try {
    return await (await navigator.storage.getDirectory()).getDirectoryHandle(ROOT, { create: true });
  } catch (error) {
    return `the browser keeps this page from storing anything (${(error as Error).name}: ${(error as Error).message})`;
  }
}

const isNamed = (error: unknown, ...names: string[]) => names.includes((error as Error)?.name);

/** What `work` gives, or undefined where the file or folder does not exist. */
async function ifThere<T>(work: () => Promise<T>): Promise<T | undefined> {
  try {
    return await work();
  } catch (error) {
    if (isNamed(error, "NotFoundError")) {
      return undefined;
    }
    throw error;
  }
}

const pause = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms));

async function openHandle(folder: FileSystemDirectoryHandle, name: string): Promise<SyncAccessHandle> {
  const file = (await folder.getFileHandle(name, { create: true })) as FileHandle;
  for (let attempt = 1; ; attempt++) {
    try {
      return await file.createSyncAccessHandle();
    } catch (error) {
      if (attempt === OPEN_ATTEMPTS || !isNamed(error, "NoModificationAllowedError", "InvalidStateError")) {
        throw error;
      }
      await pause(OPEN_PAUSE_MS);
    }
  }
}

/** Chromium returns the negative code of an error as a large count where the quota is used up, and throws nothing. */
function writeAll(handle: SyncAccessHandle, bytes: Uint8Array, at: number): void {
  if (handle.write(bytes, { at }) !== bytes.byteLength) {
    throw new DOMException("not all bytes could be written", "QuotaExceededError");
  }
}

function readSome(handle: SyncAccessHandle, into: Uint8Array, at: number): number {
  const count = handle.read(into, { at });
  if (count > into.byteLength) {
    throw new DOMException("a file of the store could not be read", "NotReadableError");
  }
  return count;
}

const fromBase64 = (text: string) => Uint8Array.from(atob(text), (char) => char.charCodeAt(0));

/** Whether `signature` is that of `publicKey` over `message` (Ed25519, both in base64). Rejects where the browser can't tell. */
export async function verify(publicKey: string, signature: string, message: Uint8Array): Promise<boolean> {
  let bytes: Uint8Array;
  try {
    bytes = fromBase64(signature);
  } catch {
    return false; // no base64
  }
  let key: CryptoKey;
  try {
    key = await crypto.subtle.importKey("raw", fromBase64(publicKey) as BufferSource, { name: "Ed25519" }, false, ["verify"]);
  } catch (error) {
    const { name, message } = error as Error;
    throw new EyasError("integrity", `the manifest's signature can't be checked here: this browser's WebCrypto took no Ed25519 key (${name}: ${message}); a newer browser can, or load without publicKey`, { cause: error });
  }
  return crypto.subtle.verify({ name: "Ed25519" }, key, bytes as BufferSource, message as BufferSource);
}

async function collected(names: AsyncIterable<string>): Promise<string[]> {
  const found = [];
  for await (const name of names) {
    found.push(name);
  }
  return found;
}

/** Hears of a model's lock. What both return is called when that is over. */
export interface LockListener {
  /** Another tab has the model that is wanted. */
  onWait(folder: string): () => void;
  /** This load has it. */
  onHold(folder: string): () => void;
}

/** The worker's side of the store. Without `root` only timer and begun requests are used. `signal` is the one of the call that runs. */
export function storeHost(root: FileSystemDirectoryHandle | undefined, signal: () => AbortSignal | undefined, listener?: LockListener, begun?: BegunRequests): StoreHost {
  const folderAt = (name: string, create = false) => (root as FileSystemDirectoryHandle).getDirectoryHandle(name, { create });
  const fileAt = (folder: string, name: string) => ifThere(async () => (await (await folderAt(folder)).getFileHandle(name)).getFile());
  return {
    sleep: (ms) => startTimer(ms),
    folders: () => collected((root as Folder).keys()),
    names: async (folder) => (await ifThere(async () => collected(((await folderAt(folder)) as Folder).keys()))) ?? [],
    size: async (folder, name) => (await fileAt(folder, name))?.size ?? 0,
    async load(folder, name) {
      for (let attempt = 1; ; attempt++) {
        try {
          const file = await fileAt(folder, name);
          return file && new Uint8Array(await file.arrayBuffer());
        } catch (error) {
          // Another tab wrote the file between the two calls, or removed it.
          if (attempt === OPEN_ATTEMPTS || !isNamed(error, "NotReadableError", "NotFoundError")) {
            throw error;
          }
          await pause(OPEN_PAUSE_MS);
        }
      }
    },
    async save(folder, name, bytes) {
      const handle = await openHandle(await folderAt(folder, true), name);
      try {
        handle.truncate(0);
        writeAll(handle, bytes, 0);
        handle.flush();
      } finally {
        handle.close();
      }
    },
    async open(folder, name) {
      const handle = await openHandle(await folderAt(folder, true), name);
      return {
        size: () => handle.getSize(),
        read: (into, offset) => readSome(handle, into, offset),
        write: (bytes, offset) => writeAll(handle, bytes, offset),
        truncate: (size) => handle.truncate(size),
        flush: () => handle.flush(),
        close: () => handle.close(),
      };
    },
    async remove(folder, name) {
      for (let attempt = 1; ; attempt++) {
        try {
          if (name === undefined) {
            await ifThere(() => (root as FileSystemDirectoryHandle).removeEntry(folder, { recursive: true }));
          } else {
            await ifThere(async () => (await folderAt(folder)).removeEntry(name));
          }
          return;
        } catch (error) {
          if (!isNamed(error, "NoModificationAllowedError", "InvalidModificationError")) {
            throw error;
          }
          if (attempt === REMOVE_ATTEMPTS) {
            return; // what is still open is removed by the next load that finds it without an owner
          }
          await pause(REMOVE_PAUSE_MS); // a file is given back a moment after it was closed
        }
      }
    },
    async freeBytes() {
      const { quota, usage } = await navigator.storage.estimate();
      return quota === undefined ? undefined : Math.max(quota - (usage ?? 0), 0);
    },
    async lock(folder, wait) {
      const name = `${ROOT}/${folder}`;
      const request = (options: LockOptions) =>
        new Promise<(() => void) | undefined>((resolve, reject) => {
          const hold = (lock: Lock | null) => (lock ? new Promise<void>((release) => resolve(release)) : resolve(undefined));
          navigator.locks.request(name, options, hold).catch(reject);
        });
      const held = (release: (() => void) | undefined) => {
        const end = release && listener?.onHold(folder);
        return release && (() => (end?.(), release()));
      };
      const release = await request({ ifAvailable: true });
      if (release || !wait) {
        return held(release);
      }
      const end = listener?.onWait(folder);
      try {
        const current = signal();
        return held(await request(current ? { signal: current } : {}));
      } finally {
        end?.();
      }
    },
    digest: (bytes) => crypto.subtle.digest("SHA-256", bytes as BufferSource),
    verify,
    begun: (url) => begun?.take(url),
  };
}
