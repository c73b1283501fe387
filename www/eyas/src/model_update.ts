import type { DeviceChoice, EngineOptions, LoadOptions, QuantizeChoice } from "./load_options.js";
import type { Progress } from "./progress.js";

/** How a model on this device is to be brought up to date. An unknown option, or a value out of range, is `bad-input`. */
export interface UpdateOptions {
  /** Where the newer version is tried before it counts; default `auto`. */
  device?: DeviceChoice;
  /** What becomes of its matrix weights in that trial; default `auto`. Give what `load` is given. */
  quantize?: QuantizeChoice;
  /** The SHA-256 of the newer version's files, by name. What is stored with that digest is not asked for. */
  sha256?: LoadOptions["sha256"];
  /** As for `load`. Where it is the one that is stored, nothing else is asked for. */
  manifest?: LoadOptions["manifest"];
  /** As for `load`: a newer version without the publisher's signature is `integrity`, and changes nothing. */
  publicKey?: LoadOptions["publicKey"];
  /** As for `load`: whether a device that is to save data refuses files above 8 MiB with `over-budget`. Default `respect`. */
  dataSaver?: LoadOptions["dataSaver"];
  /** Called with what is being done, in bytes. */
  onProgress?: (progress: Progress) => void;
  /** Aborts the update in any phase; what was fetched stays for the next one. It rejects with the signal's own reason. */
  signal?: AbortSignal;
}

/** What an update came to. */
export interface UpdateReport {
  /** `current`: the server has what is stored. `updated`: the newer version was fetched and tried, and the next load has it. */
  status: "current" | "updated";
  /** A name for what the model's files hold now. */
  version: string;
  /** That of the version before, which is kept until the new one has answered. Null where nothing was updated. */
  previousVersion: string | null;
  /** Bytes of files that were fetched over the network. */
  fetchedBytes: number;
}

export const UPDATE_OPTION_NAMES = ["device", "quantize", "sha256", "manifest", "publicKey", "dataSaver", "onProgress", "signal"] as const;

/** A trial answers a few tokens, and so needs no cache for a long context: the engine in use may need the memory. */
export const TRIAL_OPTIONS: Omit<EngineOptions, "quantize"> = { prefillChunkTokens: 32, relaxedSimd: false };
