// A tab that is frozen in the middle of an answer, as a browser does with tabs in the background, and thawed: the same text.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { startBareChromium } from "./bare_chromium.mjs";
import { bareChromium, hasGpu, startLab } from "./chromium.mjs";

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

let lab;
let gpu;
let browser;
before(async () => {
  lab = await startLab();
  gpu = await hasGpu(lab);
  browser = startBareChromium(...bareChromium());
});
after(async () => {
  await browser.close();
  await lab.close();
});

for (const device of ["cpu", "gpu"]) {
  test(`frozen and thawed three times in an answer of the ${device}`, async (t) => {
    if (device === "gpu" && !gpu) return t.skip("this Chromium has no WebGPU adapter");
    const page = await browser.open(`${lab.app.origin}/`);
    while (!(await page.evaluate(() => window.ready === true))) {
      await pause(20);
    }
    const options = { maxTokens: 240, temperature: 1, seed: 3, logitBias: { 2: -100 } };
    const undisturbed = await page.evaluate(
      async (device, options) => {
        window.engine = await window.eyas.load({ model: window.nano, device });
        window.heard = [];
        for (const event of ["freeze", "resume"]) {
          document.addEventListener(event, () => window.heard.push(event));
        }
        return (await window.engine.chat({ prompt: "book a table" }, options)).text;
      },
      device,
      options,
    );
    assert.ok(undisturbed.length > 30, undisturbed);
    await page.evaluate((options) => {
      window.parts = 0;
      window.answer = (async () => {
        const stream = window.engine.stream({ prompt: "book a table" }, options);
        let text = "";
        for await (const delta of stream) {
          text += delta;
          window.parts += 1;
        }
        return [text, (await stream.result()).text];
      })();
    }, options);
    const seen = [];
    for (let time = 1; time <= 3; time++) {
      await page.send("Page.setWebLifecycleState", { state: "frozen" });
      await pause(700);
      await page.send("Page.setWebLifecycleState", { state: "active" });
      while ((await page.evaluate(() => window.heard.length)) < 2 * time) {
        await pause(20);
      }
      seen.push(await page.evaluate(() => window.parts));
    }
    assert.deepEqual(await page.evaluate(() => window.heard), Array(3).fill(["freeze", "resume"]).flat());
    assert.deepEqual(await page.evaluate(() => window.answer), [undisturbed, undisturbed]);
    assert.equal(await page.evaluate(async (options) => (await window.engine.chat({ prompt: "book a table" }, options)).text, options), undisturbed);
    console.log(`${device}: thawed behind ${seen.join(", ")} of ${await page.evaluate(() => window.parts)} parts`);
    await page.evaluate(() => window.engine.dispose());
  });
}
