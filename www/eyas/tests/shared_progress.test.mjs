// What tabs that wait for a model hear of the one that loads it.
import assert from "node:assert/strict";
import { test } from "node:test";

import internals from "./internals.mjs";

const { SharedProgress } = internals;

test("a load that has the lock is heard ten times a second at most, and at every phase", async () => {
  let now = 0;
  const heard = [];
  const end = SharedProgress.listen("a", ({ phase, loadedBytes }) => heard.push(`${phase} ${loadedBytes}`));
  const elsewhere = [];
  const endElsewhere = SharedProgress.listen("b", (progress) => elsewhere.push(progress));
  const shared = new SharedProgress(() => now);
  shared.tell({ phase: "inspect", loadedBytes: 0 }); // nobody can wait for it yet
  const release = shared.hold("a");
  for (let step = 1; step <= 40; step += 1) {
    now += 10;
    shared.tell({ phase: step < 25 ? "inspect" : "weights", loadedBytes: step });
  }
  release();
  now += 1000;
  shared.tell({ phase: "ready", loadedBytes: 99 });
  const last = new SharedProgress(() => now);
  const releaseLast = last.hold("a");
  last.tell({ phase: "ready", loadedBytes: 100 });
  while (heard.at(-1) !== "ready 100") {
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  assert.deepEqual(heard, ["inspect 10", "inspect 20", "weights 25", "weights 35", "ready 100"]);
  assert.deepEqual(elsewhere, []);
  releaseLast();
  end();
  endElsewhere();
});

test("where there are no channels nothing is told", () => {
  const { BroadcastChannel } = globalThis;
  delete globalThis.BroadcastChannel;
  try {
    const shared = new SharedProgress();
    shared.hold("a")();
    shared.tell({ phase: "weights", loadedBytes: 1 });
    SharedProgress.listen("a", () => assert.fail("heard"))();
  } finally {
    globalThis.BroadcastChannel = BroadcastChannel;
  }
});
