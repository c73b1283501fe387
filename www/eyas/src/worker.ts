import * as cpu from "eyas-cpu-glue";
import * as gpu from "eyas-gpu-glue";

import { fetchModule } from "./module_fetch.js";
import type { FromWorker, ToWorker } from "./protocol.js";
import { WorkerHost } from "./worker_host.js";

interface WorkerScope {
  navigator: { gpu?: never };
  isSecureContext: boolean;
  /** Called by the module's panic hook with the message, before it traps. */
  eyasPanic?: (message: string) => void;
  postMessage(message: FromWorker): void;
  addEventListener(type: string, listener: (event: never) => void): void;
}

const scope = globalThis as unknown as WorkerScope;

const host = new WorkerHost({
  post: (message) => scope.postMessage(message),
  gpu: scope.navigator.gpu,
  isSecureContext: scope.isSecureContext,
  modules: { gpu, cpu },
  fetchModule,
});

// A panic inside an async export never settles its promise: these two events and the hook are the only word of it. Other
// rejections that nobody awaits (a stream that was cancelled) break nothing.
let panicMessage = "";
scope.eyasPanic = (message) => {
  panicMessage = message;
};
scope.addEventListener("error", (event: ErrorEvent) => host.panic(panicMessage || event.message));
scope.addEventListener("unhandledrejection", (event: PromiseRejectionEvent) => {
  if (panicMessage !== "" || event.reason instanceof WebAssembly.RuntimeError) {
    host.panic(panicMessage || event.reason.message);
  }
});
scope.addEventListener("message", (event: MessageEvent<ToWorker>) => host.receive(event.data));
