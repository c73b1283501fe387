// The memory's own speed as a page sees it.
import { within } from "../budget.mjs";
import { underConditions } from "../machine.mjs";

const MEBI = 2 ** 20;

/** One repeat in a fresh page. A software adapter copies less, since it is slow. */
export async function measureBandwidth({ lab, report }, { gpu }) {
  const page = await lab.page();
  try {
    const rate = (name, bytes) => within(60, name, page.evaluate(async ([name, bytes]) => (await import("/bench/bandwidth.js"))[name](bytes), [name, bytes]));
    const rows = [
      ["wasmReadRate", "sum over WASM memory, SIMD", 256 * MEBI],
      ["arrayReadRate", "sum over a Float32Array, JavaScript", 256 * MEBI],
      ...(gpu ? [["gpuCopyRate", "copy by WGSL, read + write", (lab.adapter.software ? 32 : 256) * MEBI]] : []),
    ];
    for (const [name, title, bytes] of rows) {
      const { value, conditions } = await underConditions(() => rate(name, bytes));
      report.add({ group: "bandwidth", name: title, unit: "GB/s", digits: 2 }, value / 1e9, conditions);
    }
  } finally {
    await page.close();
  }
}
