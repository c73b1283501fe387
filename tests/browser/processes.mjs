// A browser's processes, which tests end by their ids.
import { readdirSync, readFileSync } from "node:fs";

/** Ids of a browser's processes of a type: `renderer`, `GPU`. */
export async function processIds(browser, type) {
  const session = await browser.newBrowserCDPSession();
  try {
    const { processInfo } = await session.send("SystemInfo.getProcessInfo");
    return processInfo.filter((process) => process.type === type).map(({ id }) => id);
  } finally {
    await session.detach();
  }
}

function hasWorker(pid) {
  try {
    return readdirSync(`/proc/${pid}/task`).some((thread) => readFileSync(`/proc/${pid}/task/${thread}/comm`, "utf8").startsWith("DedicatedWorker"));
  } catch {
    return false; // it has ended
  }
}

/** Ends the process of a page by SIGKILL: it must be the only page of its browser that has a worker. Returns when the browser has noticed. */
export async function killTab(browser, page) {
  const pids = (await processIds(browser, "renderer")).filter(hasWorker);
  if (pids.length !== 1) {
    throw new Error(`expected one process with a worker, found ${pids.length}`);
  }
  const crashed = page.waitForEvent("crash", { timeout: 0 });
  process.kill(pids[0], "SIGKILL");
  await crashed;
  await page.close();
}
