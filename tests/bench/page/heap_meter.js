// Put before the worker's script: the most bytes that JavaScript has held in this worker whenever it spoke.
{
  const channel = new BroadcastChannel("heap-meter");
  let peak = 0;
  const sample = () => {
    peak = Math.max(peak, globalThis.performance.memory?.usedJSHeapSize ?? 0);
  };
  const { postMessage } = globalThis;
  globalThis.postMessage = (...args) => {
    sample();
    return postMessage.apply(globalThis, args);
  };
  channel.onmessage = () => {
    sample();
    channel.postMessage({ peakHeapBytes: peak });
  };
}
