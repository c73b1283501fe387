import { EyasError } from "./error.js";
import { ensure, requireChoice, requireFunction, requireKnownKeys, shown } from "./option_check.js";
import type { EarlierTries } from "./request_tries.js";

/** What may leave the device: nothing whatever fails; what the device can't or should not answer; anything. */
export type Privacy = "local-only" | "prefer-local" | "prefer-cloud";

/**
 * What becomes of local text when the cloud takes over: nothing is shown until the local answer is settled (as long as the
 * cloud may take over); it is shown and withdrawn by an event; it is shown and stays, and the cloud's follows after an event.
 */
export type MidStream = "hold" | "replace" | "append";

/** What a million tokens cost, in a currency of your choice. */
export interface CloudPrices {
  promptPerMillion: number;
  completionPerMillion: number;
}

/** Bounds on attempts and waiting. */
export interface CloudRetry {
  /** Attempts after the first one, at most 5; default 2. */
  maxRetries?: number;
  /** A server that asks for a longer pause is not asked again; default 60,000. */
  maxRetryAfterMs?: number;
  /** From a request, or the last bytes, to the next bytes; default 30,000. */
  idleTimeoutMs?: number;
  /** For a request with all its attempts; default 600,000. */
  totalTimeoutMs?: number;
}

/** An OpenAI-compatible server that may answer. */
export interface CloudOptions {
  /** Its base address, e.g. `https://host/v1`. It must be https, or http on this machine. */
  endpoint: string;
  /** The model that it is asked for. */
  model: string;
  /**
   * Gives a short-lived token, again (`refresh` is true) after one was refused; none where the server needs none. What looks like a
   * provider's long-lived key is `cloud-refused`: whoever opens the page could read it.
   */
  getToken?: (request: { refresh: boolean }) => string | undefined | Promise<string | undefined>;
  /** Origins that the endpoint may have; absent: any. */
  allowedOrigins?: readonly string[];
  /** Lets long-lived keys pass. Only for a page that nobody else can open. */
  dangerouslySendLongLivedSecretsFromTheBrowser?: boolean;
  /** Options beyond the common ones that this server honours. */
  supports?: readonly ("topK" | "minP" | "repetitionPenalty")[];
  /** Options that may be dropped for the cloud, by name; each one dropped is listed in `provenance.downgrades`. Any other that it can't honour keeps the request here. */
  mayDrop?: readonly ("tools" | "templateVariables" | "logprobs" | "logitBias" | "stop" | "topK" | "minP" | "repetitionPenalty")[];
  /** A request that may leave, whose messages hold what a local-only request said: it stays (`refuse`, the default), or leaves without these messages. */
  taint?: "refuse" | "without";
  /**
   * Where what a local-only request said is known again: in its session and that session's forks (`session`, the default), or excerpts of it in all sessions
   * (`engine`), also after its own was disposed.
   */
  taintScope?: "session" | "engine";
  /** Bounds on attempts and waiting. */
  retry?: CloudRetry;
  /** With them, `provenance` sums up cost and savings. */
  prices?: CloudPrices;
}

/** What an answer may take. */
export interface BudgetOptions {
  /** Memory on the device; a model that needs more is `over-budget` before its weights are fetched. */
  memoryBytes?: number;
  /** The model's files. */
  downloadBytes?: number;
  /** From the request to the first token: the cloud is asked where the device takes longer, if it may be. */
  firstTokenMs?: number;
}

/** A threshold that `eyas-cli calibrate` made. */
export interface CalibrationThreshold {
  model: string;
  quantize: string;
  task: string;
  signal: string;
  threshold: number;
  alpha: number;
  examples: number;
  baseRisk: number;
  deferralRate: number;
}

/** The options of a load that concern the tiers. */
export interface TierOptions {
  /** For all requests; sessions and requests can only tighten it. Default `prefer-local`; without `cloud` nothing leaves in any case. */
  privacy?: Privacy;
  /** Absent: nothing can leave. */
  cloud?: CloudOptions;
  /** Bounds on memory, download and waiting. */
  budget?: BudgetOptions;
  /**
   * Thresholds for confidence; without one for this model, quantisation and task, confidence decides nothing. Default: those of the model's
   * `eyas.manifest.json`, where it has some.
   */
  calibration?: { thresholds: readonly CalibrationThreshold[] };
  /** What becomes of local text when the cloud takes over; default `hold`. */
  midStream?: MidStream;
  /** `data`: the cloud should not be asked; `battery`: the device should not compute. */
  saving?: { data?: boolean; battery?: boolean };
}

/** The part of the tier options that crosses to the worker. */
export type WireTierOptions = Omit<TierOptions, "cloud"> & { cloud?: Omit<CloudOptions, "getToken"> };

/** The part of a request's options that concerns the tiers. */
export interface WireTierRequest {
  privacy: Privacy[];
  midStream?: MidStream;
  task?: string;
  expectsJson?: boolean;
  labels?: string[];
  signals?: boolean;
  /** The request's number in ledger and provenance. */
  number?: number;
  /** The seed is the engine's own, so that an answer can be computed again; the application asked for none. */
  ownSeed?: boolean;
  earlier?: EarlierTries;
}

export const TIER_OPTION_NAMES = ["privacy", "cloud", "budget", "calibration", "midStream", "saving"] as const;

/** Throws `bad-input` unless `value` is a privacy. A misspelt one must never become a looser one. */
export function requirePrivacy(value: unknown): asserts value is Privacy {
  requireChoice("privacy", value, ["local-only", "prefer-local", "prefer-cloud"]);
}

/** Throws `bad-input` unless `value` is a way to treat local text. */
export function requireMidStream(value: unknown): asserts value is MidStream {
  requireChoice("midStream", value, ["hold", "replace", "append"]);
}

/** Checks what has to be checked before the worker starts; the rest is checked there, where it is defined. */
export function wireTierOptions(options: TierOptions): { wire: WireTierOptions; getToken: CloudOptions["getToken"] } {
  const wire: Record<string, unknown> = {};
  for (const name of TIER_OPTION_NAMES) {
    if (options[name] !== undefined) {
      wire[name] = options[name];
    }
  }
  if (wire["privacy"] !== undefined) {
    requirePrivacy(wire["privacy"]);
  }
  if (wire["midStream"] !== undefined) {
    requireMidStream(wire["midStream"]);
  }
  if (wire["budget"] !== undefined) {
    requireKnownKeys("budget", wire["budget"], ["memoryBytes", "downloadBytes", "firstTokenMs"]);
  }
  let getToken: CloudOptions["getToken"];
  if (wire["cloud"] !== undefined) {
    const { cloud } = options;
    ensure(typeof cloud === "object" && cloud !== null, () => `cloud must be an object, found ${shown(cloud)}`);
    const { getToken: given, ...rest } = cloud;
    if (given !== undefined) {
      requireFunction("cloud.getToken", given);
    }
    getToken = given;
    wire["cloud"] = rest;
  }
  try {
    return { wire: JSON.parse(JSON.stringify(wire)) as WireTierOptions, getToken };
  } catch (cause) {
    throw new EyasError("bad-input", "the load options must be plain data", { cause });
  }
}
