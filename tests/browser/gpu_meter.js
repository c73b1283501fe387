// Put before the worker's script by the tests: counts what is asked of WebGPU, answers on a BroadcastChannel,
// and breaks things when it is told to.
{
  const count = { liveBufferBytes: 0, peakBufferBytes: 0, liveBuffers: 0, buffers: 0, shaderModules: 0, pipelines: 0, bindGroups: 0, dispatches: 0, passes: 0, submits: 0, writes: 0, reads: 0, readBytes: 0, devices: 0, liveDevices: 0 };
  const live = new Map();
  const drop = (buffer) => {
    const entry = live.get(buffer);
    if (entry) {
      live.delete(buffer);
      count.liveBufferBytes -= entry.size;
      count.liveBuffers -= 1;
    }
  };
  const wrap = (type, name, before, after) => {
    const original = globalThis[type]?.prototype[name];
    if (original) {
      globalThis[type].prototype[name] = function (...args) {
        before?.call(this, ...args);
        const result = original.apply(this, args);
        return after ? after.call(this, result, ...args) : result;
      };
    }
  };
  wrap("GPUDevice", "createBuffer", undefined, function (buffer, { size }) {
    count.buffers += 1;
    count.liveBuffers += 1;
    count.liveBufferBytes += size;
    count.peakBufferBytes = Math.max(count.peakBufferBytes, count.liveBufferBytes);
    live.set(buffer, { size, device: this });
    return buffer;
  });
  wrap("GPUBuffer", "destroy", function () {
    drop(this);
  });
  wrap("GPUDevice", "destroy", function () {
    count.liveDevices -= 1;
    [...live].filter(([, entry]) => entry.device === this).forEach(([buffer]) => drop(buffer));
  });
  const made = [];
  wrap("GPUAdapter", "requestDevice", undefined, async (promise) => {
    if (globalThis.refuseDevices) {
      throw new DOMException("refused by the test", "OperationError");
    }
    count.devices += 1;
    count.liveDevices += 1;
    const device = await promise;
    made.push(device);
    return device;
  });
  const add = (key) => () => {
    count[key] += 1;
  };
  wrap("GPUDevice", "createShaderModule", add("shaderModules"));
  wrap("GPUDevice", "createComputePipeline", add("pipelines"));
  wrap("GPUDevice", "createComputePipelineAsync", add("pipelines"));
  wrap("GPUDevice", "createBindGroup", add("bindGroups"));
  wrap("GPUComputePassEncoder", "dispatchWorkgroups", add("dispatches"));
  wrap("GPUComputePassEncoder", "dispatchWorkgroupsIndirect", add("dispatches"));
  wrap("GPUCommandEncoder", "beginComputePass", add("passes"));
  wrap("GPUQueue", "submit", add("submits"));
  wrap("GPUQueue", "writeBuffer", add("writes"));
  wrap("GPUBuffer", "mapAsync", function (mode, offset = 0, size = this.size - offset) {
    count.reads += 1;
    count.readBytes += size;
  });
  const channel = new BroadcastChannel("gpu-meter");
  channel.onmessage = ({ data }) => {
    if (data === "report") {
      channel.postMessage({ ...count, bufferBytes: [...live.values()].map(({ size }) => size) });
    } else if (data === "lose") {
      made.forEach((device) => device.destroy());
    } else if (data === "trap") {
      void Promise.reject(new WebAssembly.RuntimeError("unreachable")); // as a panic in an async export looks from outside
    } else if (data === "throw") {
      setTimeout(() => {
        throw new Error("thrown in the worker");
      });
    }
  };
  // The last word of a worker that frees its memory before it ends.
  const { postMessage } = globalThis;
  let hasSpoken = false;
  globalThis.postMessage = (...args) => {
    channel.postMessage({ ...count });
    hasSpoken ||= args[0]?.type === "event";
    return postMessage.apply(globalThis, args);
  };
  if (globalThis.isPaced) {
    // Behind each part of an answer the worker waits until the test says go, and so is where the test thinks when it breaks.
    const pace = new BroadcastChannel("pace");
    const worker = crypto.randomUUID();
    const { postMessage: turn } = MessagePort.prototype;
    MessagePort.prototype.postMessage = function (...args) {
      if (!hasSpoken) {
        return turn.apply(this, args);
      }
      hasSpoken = false;
      pace.onmessage = () => turn.apply(this, args);
      pace.postMessage(worker);
    };
  }
}
