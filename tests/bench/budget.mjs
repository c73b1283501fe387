// How many seconds the whole run may still take.

export class Budget {
  #end;

  constructor(seconds) {
    this.#end = performance.now() + seconds * 1000;
  }

  /** Seconds that are left; negative where the time is over. */
  left() {
    return (this.#end - performance.now()) / 1000;
  }

  /** Whether something that takes about `seconds` still fits. */
  allows(seconds) {
    return seconds <= this.left();
  }
}

/** Something took longer than it may; that says more of the machine than of what was measured. */
export class TooSlow extends Error {}

/** Settles as `promise`, or rejects after `seconds`: a page that hangs must not hang the benchmark. */
export async function within(seconds, what, promise) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new TooSlow(`${what} took longer than ${seconds} s`)), seconds * 1000);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}
