// Long use in one tab: nothing grows after the first time.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { hasGpu, startLab, thorough } from "./chromium.mjs";

let lab;
let gpu;
before(async () => {
  lab = await startLab();
  gpu = await hasGpu(lab);
});
after(() => lab.close());

const GENERATIONS = 200;
const CYCLES = thorough ? 20 : 8;

for (const device of ["gpu", "cpu"]) {
  test(`${GENERATIONS} generations on the ${device}: GPU buffers and WASM memory do not grow after the first 24`, async (t) => {
    if (device === "gpu" && !gpu) return t.skip("this Chromium has no WebGPU adapter");
    const page = await lab.page();
    const seen = await page.evaluate(
      async ([device, generations]) => {
        const channel = new BroadcastChannel("gpu-meter");
        const report = () =>
          new Promise((resolve) => {
            channel.onmessage = ({ data }) => resolve(data);
            channel.postMessage("report");
          });
        const eyas = await window.slim.load({ model: window.nano, device, assets: window.metered });
        const requests = ["play some jazz", "book a table for two tomorrow at eight", "will it rain in oslo", "add this to my list"];
        const samples = [];
        const { signal } = new AbortController();
        let listeners = 0;
        const { addEventListener, removeEventListener } = EventTarget.prototype;
        EventTarget.prototype.addEventListener = function (...args) {
          listeners += 1;
          return addEventListener.apply(this, args);
        };
        EventTarget.prototype.removeEventListener = function (...args) {
          listeners -= 1;
          return removeEventListener.apply(this, args);
        };
        for (let i = 0; i < generations; i++) {
          await eyas.chat(requests[i % requests.length], { maxTokens: 3 + (i % 4), temperature: i % 2, seed: i, signal });
          if (i % 20 === 3 || i === generations - 1) {
            samples.push({ after: i + 1, gpu: await report(), memory: await eyas.memory(), listeners });
          }
        }
        EventTarget.prototype.addEventListener = addEventListener;
        EventTarget.prototype.removeEventListener = removeEventListener;
        await eyas.dispose();
        return samples;
      },
      [device, GENERATIONS],
    );
    // By then each way to choose tokens has its recorded step, and the allocator's pools have every size that these make.
    const first = seen[1];
    const last = seen.at(-1);
    const line = ({ after, gpu, memory, listeners }) => `${after}: GPU ${gpu.liveBufferBytes} bytes in ${gpu.liveBuffers} buffers, WASM ${memory.wasmBytes} bytes, device ${memory.deviceBytes}, listeners ${listeners}`;
    console.log(`${device}: after ${line(first)}\n${device}: after ${line(last)}`);
    assert.equal(last.gpu.liveBufferBytes, first.gpu.liveBufferBytes);
    assert.equal(last.gpu.liveBuffers, first.gpu.liveBuffers);
    assert.equal(last.memory.wasmBytes, first.memory.wasmBytes);
    assert.equal(last.listeners, first.listeners);
    if (device === "gpu") {
      assert.ok(first.gpu.liveBufferBytes > 1e6, `${first.gpu.liveBufferBytes}`);
    }
    await page.close();
  });

  test(`${CYCLES} times load and dispose on the ${device}: every byte comes back`, async (t) => {
    if (device === "gpu" && !gpu) return t.skip("this Chromium has no WebGPU adapter");
    const page = await lab.page();
    const seen = await page.evaluate(
      async ([device, cycles]) => {
        const channel = new BroadcastChannel("gpu-meter");
        let last;
        channel.onmessage = ({ data }) => {
          last = data;
        };
        const until = async (isSo) => {
          for (let waits = 0; !isSo(); waits += 1) {
            if (waits > 1000) throw new Error("the meter is silent");
            await new Promise((resolve) => setTimeout(resolve, 10));
          }
        };
        const { need } = (await window.eyas.plan({ model: window.nano, device })).asked;
        const plannedBytes = need.weightBytes + need.cacheBytes + need.scratchBytes + need.stagingBytes;
        const rows = [];
        for (let i = 0; i < cycles; i++) {
          const eyas = await window.slim.load({ model: window.nano, device, assets: window.metered });
          await eyas.chat("play jazz", { maxTokens: 2 });
          const { wasmBytes } = await eyas.memory();
          channel.postMessage("report");
          last = undefined;
          await until(() => last !== undefined);
          const held = last.liveBufferBytes;
          await eyas.dispose();
          // The meter's last message goes another way than the worker's, and a worker that is terminated sends no more.
          await until(() => last.liveBufferBytes === 0 && last.liveDevices === 0).catch(() => {});
          rows.push({ plannedBytes, held, left: last.liveBufferBytes, devices: last.liveDevices, wasmBytes });
        }
        return rows;
      },
      [device, CYCLES],
    );
    console.log(`${device}: first ${JSON.stringify(seen[0])}, last ${JSON.stringify(seen.at(-1))}`);
    for (const row of seen) {
      assert.equal(row.left, 0);
      assert.equal(row.devices, 0);
      assert.equal(row.held, seen[0].held);
    }
    // The browser tells of a worker's end after the page has.
    for (let waits = 0; page.workers().length > 0 && waits < 1000; waits += 1) {
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    // Every engine had a memory of its own, whose size depends on how the network cut the file: the module's own 16 MiB at most and what is planned. All
    // are gone.
    const wasmBytes = seen.map((row) => row.wasmBytes);
    console.log(`${device}: WASM memory of the ${CYCLES} engines from ${Math.min(...wasmBytes)} to ${Math.max(...wasmBytes)} bytes; workers left: ${page.workers().length}`);
    assert.ok(Math.max(...wasmBytes) < seen[0].plannedBytes + (16 << 20));
    assert.equal(page.workers().length, 0);
    await page.close();
  });
}
