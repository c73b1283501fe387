// How kernels are cut on a GPU: measured once on an adapter, kept under its name, and as the load asks where it does.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { hasGpu, startLab, thorough, tuningOf } from "./chromium.mjs";

const NO_GPU = "this Chromium has no WebGPU adapter";
const SIZES = "4: 16 8 2 4 4 32 4 2 4 32";
const TEXT = `${SIZES} 0`;
const CUT = tuningOf(TEXT);

let lab;
let gpu;
before(async () => {
  lab = await startLab();
  gpu = await hasGpu(lab);
});
after(() => lab.close());

/** What a load on the GPU tells of the tuning, with the text of a short answer. */
const loadOn = (page, options = {}) =>
  page.evaluate(async (options) => {
    const eyas = await window.eyas.load({ model: window.nano, device: "gpu", ...options });
    const { text } = await eyas.chat("play jazz", { maxTokens: 12 });
    const { tuning } = eyas.info.device;
    await eyas.dispose();
    const kept = Object.entries(globalThis.localStorage ?? {}).filter(([key]) => key.startsWith("eyas-tuning:"));
    return { text, tuning, kept };
  }, options);

test("an adapter is measured by the first load, and later ones take what is kept under its name", async (t) => {
  if (!gpu) return t.skip(NO_GPU);
  const page = await lab.page({ first: true });
  const first = await loadOn(page);
  const { source, ...sizes } = first.tuning;
  console.log(JSON.stringify(first));
  assert.equal(source, "measured");
  assert.equal(first.kept.length, 1);
  const [[key, text]] = first.kept;
  assert.match(key, /^eyas-tuning:(?!\d+:)./);
  assert.deepEqual(tuningOf(text), sizes);
  // Clear, or the first of the measurements that are not, which a busy machine makes.
  assert.match(text, / [01]$/);

  const keep = (text) => page.evaluate(([key, text]) => localStorage.setItem(key, text), [key, text]);
  const clear = text.replace(/ \d$/, " 0");
  await keep(clear);
  const second = await loadOn(page);
  assert.deepEqual(second, { ...first, kept: [[key, clear]], tuning: { ...sizes, source: "stored" } });

  // What is kept decides where it is clear, or as clear as it will be.
  for (const unclear of [0, 3]) {
    await keep(`${SIZES} ${unclear}`);
    const other = await loadOn(page);
    assert.deepEqual([other.tuning, other.text, other.kept], [{ ...CUT, source: "stored" }, first.text, [[key, `${SIZES} ${unclear}`]]]);
  }
  // Where it is not, the load measures once more.
  for (const unclear of [1, 2]) {
    await keep(`${SIZES} ${unclear}`);
    const again = await loadOn(page);
    assert.equal(again.tuning.source, "measured");
    assert.deepEqual({ ...tuningOf(again.kept[0][1]), source: "measured" }, again.tuning);
    assert.match(again.kept[0][1], new RegExp(` (0|${unclear + 1})$`));
  }
  // What makes no sense is measured anew, and so is what an earlier version kept; eyas-core's own tests have more of both.
  const rest = ["4: no sizes", "4: 16 4 4 32", "4: 1 32 8 8 8 8 2 4 0", SIZES, TEXT.replace("4: ", "")];
  for (const damaged of ["", TEXT.replace("16", "3"), TEXT.replace("4: ", "3: "), ...(thorough ? rest : [])]) {
    await keep(damaged);
    const again = await loadOn(page);
    assert.equal(again.tuning.source, "measured", damaged);
    assert.notEqual(again.kept[0][1], damaged);
  }
  await page.close();
});

test("a load computes as it is asked, keeps nothing of that, and refuses sizes that no kernel has", async (t) => {
  if (!gpu) return t.skip(NO_GPU);
  const page = await lab.page({ first: true });
  const asked = await loadOn(page, { tuning: CUT });
  assert.deepEqual([asked.tuning, asked.kept], [{ ...CUT, source: "given" }, []]);
  const wrong = [{}, { ...CUT, reduceLanes: "4" }, { ...CUT, more: 1 }, { ...CUT, matvecLanes: 3 }, { ...CUT, matvecRows: 17 }, { ...CUT, matvecRows: 34 }, { ...CUT, matmulRows: 3 }, { ...CUT, attentionHeads: 9 }, { ...CUT, matmulTokens: 16 }, { ...CUT, matmulBits: 8 }, { ...CUT, attentionSplits: 9 }, { ...CUT, reduceLanes: 512 }, "fast"];
  for (const tuning of wrong) {
    const outcome = await page.evaluate((tuning) => window.outcome(window.eyas.load({ model: window.nano, device: "gpu", tuning })), tuning);
    assert.equal(outcome.error?.code, "bad-input", JSON.stringify(tuning));
    assert.match(outcome.error.message, /tuning/);
  }
  const cpu = await page.evaluate(async (tuning) => {
    const eyas = await window.eyas.load({ model: window.nano, device: "cpu", tuning });
    const { tuning: found } = eyas.info.device;
    await eyas.dispose();
    return found ?? null;
  }, CUT);
  assert.equal(cpu, null, "a CPU has nothing to cut");
  await page.close();
});

test("where the browser keeps nothing, what was measured counts as long as the page lives", async (t) => {
  if (!gpu) return t.skip(NO_GPU);
  const page = await lab.page({ first: true });
  await page.evaluate(() => Object.defineProperty(globalThis, "localStorage", { get: () => { throw new DOMException("forbidden", "SecurityError"); } }));
  const kept = () =>
    page.evaluate(async () => {
      const eyas = await window.eyas.load({ model: window.nano, device: "gpu" });
      const { tuning } = eyas.info.device;
      await eyas.dispose();
      return tuning;
    });
  // Where one is not clear, the next measures again; three at most.
  const loads = [await kept()];
  while (loads.at(-1).source === "measured" && loads.length < 5) loads.push(await kept());
  const { source, ...sizes } = loads.at(-1);
  assert.equal(source, "stored", JSON.stringify(loads));
  assert.ok(loads.length >= 2 && loads.length <= 4, JSON.stringify(loads));
  assert.deepEqual({ ...sizes, source: "measured" }, loads.at(-2));
  await page.close();
});
