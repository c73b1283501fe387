import type { Away } from "./switchboard";

// Runs in the worker before the package's own code: what a switch takes away is really gone for the engine. The page says in the
// fragment of the worker's address which channel carries its switches, and how they stand.
const [channelName = "", state = "{}"] = decodeURIComponent(self.location.hash.slice(1)).split("|");
let away = JSON.parse(state) as Away;
const devices = new Set<GPUDeviceLike>();

interface GPUDeviceLike {
  destroy(): void;
}
interface GPUAdapterLike {
  requestDevice(...options: unknown[]): Promise<GPUDeviceLike>;
}
interface GPULike {
  requestAdapter(...options: unknown[]): Promise<GPUAdapterLike | null>;
}

const NO_NETWORK = "the page took the network away";
const connections = new Set<AbortController>();

const fetchReally = self.fetch.bind(self);
self.fetch = async (input, init) => {
  const url = new URL(input instanceof Request ? input.url : input, self.location.href);
  if (url.origin === self.location.origin) {
    return fetchReally(input, init);
  }
  if (away.network) {
    throw new TypeError(NO_NETWORK);
  }
  // Until the engine lets it go: an answer comes through it after its head did.
  const connection = new AbortController();
  connections.add(connection);
  const letGo = () => {
    connections.delete(connection);
    connection.abort(init?.signal?.reason);
  };
  init?.signal?.addEventListener("abort", letGo);
  if (init?.signal?.aborted) {
    letGo();
  }
  return fetchReally(input, { ...init, signal: connection.signal });
};

const gpu = (navigator as { gpu?: GPULike }).gpu;
if (gpu) {
  const requestReally = gpu.requestAdapter.bind(gpu);
  gpu.requestAdapter = async (...options) => {
    const adapter = away.gpu ? null : await requestReally(...options);
    if (adapter) {
      const requestDevice = adapter.requestDevice.bind(adapter);
      adapter.requestDevice = async (...wanted) => {
        const device = await requestDevice(...wanted);
        devices.add(device);
        return device;
      };
    }
    return adapter;
  };
}

new BroadcastChannel(channelName).onmessage = ({ data }) => {
  away = data as Away;
  if (away.network) {
    connections.forEach((connection) => connection.abort(new TypeError(NO_NETWORK)));
    connections.clear();
  }
  if (away.gpu) {
    devices.forEach((device) => device.destroy());
    devices.clear();
  }
};
