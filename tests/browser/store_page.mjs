// A page that loads a stored model, asks it, and tells what became of both.

/**
 * A page in a browser profile of its own, unless a context is given. `window.once(options)` loads the model at `window.address`, asks it, and gives text
 * and storage, or the error's code; `window.outcome(promise)` makes plain data of what a promise did.
 */
export async function openStorePage(lab, modelOrigin, context) {
  const page = await (context ?? (await lab.browser.newContext())).newPage();
  page.on("pageerror", (error) => console.error("page error:", error.message));
  await page.goto(`${lab.app.origin}/`);
  await page.waitForFunction("window.ready");
  await page.evaluate((origin) => {
    window.address = `${origin}/nano/`;
    window.outcome = (promise) => promise.then((value) => ({ value }), ({ code, message }) => ({ error: { code, message } }));
    window.once = async (options) => {
      const began = performance.now();
      const seen = [];
      window.seen = seen;
      try {
        const load = options.assets ? window.slim.load : window.eyas.load;
        const eyas = await load({ model: window.address, device: "cpu", onProgress: (progress) => seen.push(progress), ...options });
        const loadMs = performance.now() - began;
        const { text } = await eyas.chat("play some jazz by miles davis", { maxTokens: 40 });
        await eyas.dispose();
        return { text, storage: eyas.info.storage, loadMs, seen };
      } catch (error) {
        return { code: error.code, message: error.message, retryable: error.retryable, loadMs: performance.now() - began, seen };
      }
    };
  }, modelOrigin);
  return page;
}

export function loadOnce(page, options = {}) {
  return page.evaluate((options) => window.once(options), options);
}

/** Loads on a visit after one that was killed: for all that the page can see, that one may have taken too much memory, and it asks to be told once more. */
export async function loadAfterKill(page) {
  const seen = await loadOnce(page);
  return seen.code === "over-budget" ? loadOnce(page) : seen;
}
