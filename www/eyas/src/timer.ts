/** A wait that can be given up: `done` resolves after `ms`, or at once when it is cancelled or `signal` aborts. */
export function startTimer(ms: number, signal?: AbortSignal): { done: Promise<void>; cancel(): void } {
  let cancel = () => {};
  const done = new Promise<void>((resolve) => {
    const timer = setTimeout(() => cancel(), Math.min(ms, 2 ** 31 - 1));
    cancel = () => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", cancel);
      resolve();
    };
    signal?.addEventListener("abort", cancel);
    if (signal?.aborted) {
      cancel();
    }
  });
  return { done, cancel };
}
