// What the page's worker spends its time on, by V8's sampling profiler over the DevTools protocol.

const INTERVAL_MICROSECONDS = 200;
/** What the profiler calls time in which no script runs. */
const NO_SCRIPT = new Set(["(idle)", "(program)", "(root)"]);

/** Talks to the page's next dedicated worker; call this before it is started. */
export async function workerProfiler(page) {
  const protocol = await page.context().newCDPSession(page);
  const answers = new Map();
  let session;
  let last = 0;
  protocol.on("Target.attachedToTarget", ({ sessionId, targetInfo }) => {
    session = targetInfo.type === "worker" ? sessionId : session;
  });
  protocol.on("Target.receivedMessageFromTarget", ({ message }) => {
    const { id, result, error } = JSON.parse(message);
    answers.get(id)?.(error ? Promise.reject(new Error(error.message)) : result);
    answers.delete(id);
  });
  await protocol.send("Target.setAutoAttach", { autoAttach: true, waitForDebuggerOnStart: false, flatten: false });
  const send = (method, params = {}) =>
    new Promise((resolve) => {
      last += 1;
      answers.set(last, resolve);
      void protocol.send("Target.sendMessageToTarget", { sessionId: session, message: JSON.stringify({ id: last, method, params }) });
    });
  return {
    /** Runs `work`; returns its value and the milliseconds in which the worker ran JavaScript, WebAssembly or what they called. */
    async during(work) {
      await send("Profiler.enable");
      await send("Profiler.setSamplingInterval", { interval: INTERVAL_MICROSECONDS });
      await send("Profiler.start");
      const value = await work();
      const { profile } = await send("Profiler.stop");
      return { value, scriptMs: scriptMs(profile) };
    },
  };
}

/** Milliseconds of a profile in which a script ran. */
export function scriptMs({ nodes, samples, timeDeltas }) {
  const isIdle = new Set(nodes.filter(({ callFrame }) => NO_SCRIPT.has(callFrame.functionName)).map(({ id }) => id));
  return samples.reduce((sum, node, index) => sum + (isIdle.has(node) ? 0 : timeDeltas[index]), 0) / 1000;
}
