/** Where the package's own files are, as absolute URLs. */
export interface Assets {
  /** The worker, an ES module in one file. */
  worker: string | URL;
  /** The WebAssembly module that computes on the GPU. */
  gpuWasm: string | URL;
  /** The WebAssembly module that computes on the CPU. */
  cpuWasm: string | URL;
}
