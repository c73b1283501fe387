/** Texts that were left where the browser keeps none: for as long as this page lives. */
const leftHere = new Map<string, string>();

/** Keys that this page holds now, counted, so that a page that lives is not taken for one that was killed. */
const held = new Map<string, number>();
let isListening = false;

function storage(): Storage | undefined {
  try {
    return globalThis.localStorage;
  } catch {
    return undefined; // the browser forbids it here; then no marks are kept
  }
}

/** The browser's locks, which end with their page however it ends; undefined where the context is not secure. */
function locks(): LockManager | undefined {
  return globalThis.navigator?.locks;
}

/** Whether a living page, this one or another, holds the key. */
async function isHeld(key: string): Promise<boolean> {
  if (held.has(key)) {
    return true;
  }
  const found = await locks()?.query().catch(() => undefined);
  return found?.held?.some(({ name }) => name === key) ?? false;
}

function forget(key: string): void {
  try {
    storage()?.removeItem(key);
  } catch {
    // forbidden: then nothing was kept either
  }
}

/** A worker's marks in the page's storage. They are taken away when the worker ends or the page is left; a killed tab leaves them. */
export class PageStore {
  readonly #unlock = new Map<string, () => void>();

  /** The text under a key, unless a page that lives holds it: then nobody was killed. */
  async get(key: string): Promise<string | undefined> {
    const text = leftHere.get(key) ?? storage()?.getItem(key) ?? undefined;
    return text === undefined || (await isHeld(key)) ? undefined : text;
  }

  /** Keeps a text under a key; `undefined` takes it away. */
  set(key: string, text: string | undefined): void {
    this.#release(key);
    if (text === undefined) {
      if (!held.has(key)) {
        forget(key);
      }
      return;
    }
    try {
      storage()?.setItem(key, text);
    } catch {
      return; // full or forbidden: no mark is kept
    }
    held.set(key, (held.get(key) ?? 0) + 1);
    const ended = new Promise<void>((resolve) => this.#unlock.set(key, resolve));
    locks()?.request(key, { mode: "shared" }, () => ended).catch(() => {}); // refused: other tabs then can't tell that this one lives
    if (!isListening) {
      isListening = true;
      globalThis.addEventListener?.("pagehide", () => [...held.keys()].forEach(forget));
    }
  }

  /** Leaves a text under a key for whoever asks next, this page included. */
  leave(key: string, text: string): void {
    this.#release(key);
    const kept = storage();
    try {
      kept?.setItem(key, text);
    } catch {
      leftHere.set(key, text); // full or forbidden
      return;
    }
    kept ? leftHere.delete(key) : leftHere.set(key, text);
  }

  /** The worker has ended: its marks go. */
  clear(): void {
    for (const key of [...this.#unlock.keys()]) {
      this.set(key, undefined);
    }
  }

  #release(key: string): void {
    leftHere.delete(key);
    const unlock = this.#unlock.get(key);
    if (unlock) {
      this.#unlock.delete(key);
      unlock();
      const others = (held.get(key) ?? 1) - 1;
      others > 0 ? held.set(key, others) : held.delete(key);
    }
  }
}
