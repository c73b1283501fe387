// Every kernel against its reference over random shapes, on this browser's own devices.
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";

import { hasGpu, hasRelaxedSimd, here, NO_RELAXED_SIMD, startLab } from "./chromium.mjs";

const built = existsSync(join(here, ".parity/eyas_cpu.js"));
const NOT_BUILT = "the modules with the comparison are not built; run pkg-scripts/build --parity";
// Each shape compiles pipelines of its own, which takes a software adapter long.
const SHARE = { cpu: 5, gpu: 0.5 };

let lab;
let gpu;
before(async () => {
  lab = await startLab();
  gpu = await hasGpu(lab);
});
after(() => lab.close());

for (const [device, relaxedSimd] of [["cpu", "quads"], ["cpu", "pairs"], ["cpu"], ["gpu"]]) {
  test(`every kernel of the ${device} module${relaxedSimd ? ` with relaxed SIMD by ${relaxedSimd}` : ""} agrees with its reference on random shapes`, async (t) => {
    if (!built) return t.skip(NOT_BUILT);
    if (device === "gpu" && !gpu) return t.skip("this Chromium has no WebGPU adapter");
    const page = await lab.page();
    if (relaxedSimd && !(await hasRelaxedSimd(page))) return t.skip(NO_RELAXED_SIMD);
    const cases = await page.evaluate(
      async ([device, share, relaxedSimd]) => {
        const module = await import(`/parity/eyas_${device}.js`);
        await module.default({ module_or_path: `/parity/eyas_${device}_bg.wasm` });
        return module.parity(share, 11, relaxedSimd);
      },
      [device, SHARE[device], relaxedSimd],
    );
    console.log(`${cases} random cases on the ${device}`);
    assert.ok(cases >= 40, `${cases} cases`);
    await page.close();
  });
}

test("memory that is allocated as zeros is zero, whether the browser has just given it or not", async (t) => {
  if (!built) return t.skip(NOT_BUILT);
  const page = await lab.page();
  const fresh = [];
  for (const seed of [1, 2, 3]) {
    const count = await page.evaluate(async (seed) => {
      const module = await import(`/parity/eyas_cpu.js?${seed}`); // one that has no memory yet
      await module.default({ module_or_path: "/parity/eyas_cpu_bg.wasm" });
      return module.zeroed_blocks(200, seed);
    }, seed);
    fresh.push(count);
  }
  console.log(`of 200 blocks each so many lay behind the memory there was: ${fresh}`);
  assert.ok(fresh.every((count) => count >= 3), `${fresh}`);
  await page.close();
});
