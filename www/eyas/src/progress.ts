/**
 * The phase of a load, in order: the module is fetched and the device made; configuration, tokenizer and tensor headers
 * are read; weights are read, quantised and uploaded; pipelines are compiled by a first token; the model answers.
 */
export type LoadPhase = "start" | "inspect" | "weights" | "warm-up" | "ready";

/** A progress report of a load. */
export interface Progress {
  /** What is being done. */
  phase: LoadPhase;
  /** Bytes read so far: of the WebAssembly module in phase `start`, of the model's files afterwards. */
  loadedBytes: number;
  /** Bytes in all; 0 while unknown. */
  totalBytes: number;
  /** The file or tensor at hand. */
  detail: string;
  /** Where the last bytes came from: a server, or the store on this device. */
  source: "network" | "store";
  /** Bytes of this load that came over the network. */
  fetchedBytes: number;
  /** Bytes a second over the last seconds; null in the beginning. */
  bytesPerSecond: number | null;
  /** How long the rest will take at that rate; null while nobody knows. */
  remainingMs: number | null;
}
