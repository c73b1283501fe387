import type { TierChange } from "./completion.js";
import { ensure, requireFunction, requireInteger, requireKnownKeys, requireNumber, requireSignal, shown } from "./option_check.js";
import { type MidStream, type Privacy, requireMidStream, requirePrivacy, type WireTierRequest } from "./tier_options.js";

/**
 * How an answer is sampled. The order: logit bias, repetition penalty, presence and frequency penalties, (greedy ends
 * here) temperature, top-k, top-p, min-p, draw. An unknown option, or a value out of range, is `bad-input`.
 */
export interface GenerateOptions {
  /** Tokens to generate at most; absent: until the context is full. */
  maxTokens?: number;
  /** 0 (the default) is greedy; otherwise logits are divided by it. */
  temperature?: number;
  /** Keep the k most probable tokens; 0 (the default) keeps all. */
  topK?: number;
  /** Keep the smallest set of tokens whose probabilities sum to at least this; 1 (the default) keeps all. */
  topP?: number;
  /** Keep tokens at least this fraction as probable as the most probable one; 0 (the default) keeps all. */
  minP?: number;
  /** Divide (positive) or multiply (negative) the logits of tokens already seen; 1 (the default) is off. */
  repetitionPenalty?: number;
  /** Subtracted once from the logit of each token of the answer so far; 0 (the default) is off. */
  presencePenalty?: number;
  /** Subtracted for each occurrence of a token in the answer so far; 0 (the default) is off. */
  frequencyPenalty?: number;
  /** Added to the logits of tokens, by token id. */
  logitBias?: Readonly<Record<number, number>>;
  /** Seed of the draw; absent: a fresh one, which the completion reports. */
  seed?: number;
  /** Strings that end the answer; they are not part of it. */
  stop?: string | readonly string[];
  /** Report the log-probability of every token of the answer. */
  logprobs?: boolean;
  /** With `logprobs`: report that many most probable alternatives of each token, at most 20. */
  topLogprobs?: number;
  /**
   * Tokens guessed at most from repetitions in prompt and answer, at most 15 (default 7; 0 is off). The answer is the same, and sooner there where it
   * repeats something; the usage tells how many came true. On a GPU at most 7, and for greedy answers without penalties, biases and log-probabilities only;
   * none where its driver computes several tokens otherwise than one, which the first guesses find out.
   */
  promptLookupTokens?: number;
  /** Variables for the chat template, e.g. `{ enable_thinking: false }`. */
  templateVariables?: Readonly<Record<string, unknown>>;
  /** Tightens the engine's and the session's privacy for this request; it never loosens them. */
  privacy?: Privacy;
  /** What becomes of local text when the cloud takes over; default: as the engine was loaded. */
  midStream?: MidStream;
  /** Called when the cloud takes over after local text was shown. A loop over the stream goes on with the cloud's text. */
  onTierChange?: (change: TierChange) => void;
  /** The task, by which the calibration is found; default `default`. */
  task?: string;
  /** The answer should be JSON; a signal tells whether it is. */
  expectsJson?: boolean;
  /** What the answer should begin with one of, two or more: the signal `firstMargin` is then the margin among these labels alone. They do not bind the model. */
  labels?: readonly string[];
  /** Tell the signals in the provenance even where nothing depends on them. */
  signals?: boolean;
  /** Called as parts of the prompt are computed. */
  onPrefill?: (progress: { doneTokens: number; totalTokens: number }) => void;
  /** Aborts this call; it then rejects with the signal's own reason, and the engine stays usable. */
  signal?: AbortSignal;
}

/** The part of the options that the engine in the worker knows. */
export type SamplingOptions = Omit<GenerateOptions, "signal" | "onPrefill" | "templateVariables" | "stop" | (typeof TIER_NAMES)[number]> & { stop?: string[] };

const INTEGERS = { maxTokens: 1, topK: 0, seed: 0, topLogprobs: 0, promptLookupTokens: 0 } as const;
const NUMBERS = ["temperature", "topP", "minP", "repetitionPenalty", "presencePenalty", "frequencyPenalty"] as const;
const TIER_NAMES = ["privacy", "midStream", "onTierChange", "task", "expectsJson", "labels", "signals"] as const;
const KNOWN = [...TIER_NAMES, ...Object.keys(INTEGERS), ...NUMBERS, "logitBias", "stop", "logprobs", "templateVariables", "onPrefill", "signal"];

function checkLogitBias(bias: unknown): asserts bias is Record<number, number> {
  ensure(typeof bias === "object" && bias !== null, () => `logitBias must be an object from token id to number, found ${shown(bias)}`);
  for (const [id, value] of Object.entries(bias)) {
    ensure(/^\d{1,9}$/.test(id), () => `logitBias must have token ids as keys, found ${shown(id)}`);
    ensure(typeof value === "number" && !Number.isNaN(value), () => `logitBias of token ${id} must be a number, found ${shown(value)}`);
  }
}

/**
 * Checks the options' names and kinds, throws `bad-input`, and returns what the worker gets. Ranges are checked by the
 * engine itself, so that they are stated once.
 */
export function samplingOptions(options: GenerateOptions): SamplingOptions {
  requireKnownKeys("options", options, KNOWN);
  const sampling: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(options as GenerateOptions)) {
    if (value === undefined || (TIER_NAMES as readonly string[]).includes(name)) {
      continue;
    }
    if (name in INTEGERS) {
      requireInteger(name, value, INTEGERS[name as keyof typeof INTEGERS]);
    } else if ((NUMBERS as readonly string[]).includes(name)) {
      requireNumber(name, value);
    }
    switch (name) {
      case "signal":
        requireSignal(value);
        continue;
      case "onPrefill":
        requireFunction(name, value);
        continue;
      case "templateVariables":
        ensure(typeof value === "object" && value !== null, () => `templateVariables must be an object, found ${shown(value)}`);
        continue;
      case "logprobs":
        ensure(typeof value === "boolean", () => `logprobs must be true or false, found ${shown(value)}`);
        break;
      case "logitBias":
        checkLogitBias(value);
        break;
      case "stop": {
        const stop: unknown[] = Array.isArray(value) ? value : [value];
        ensure(stop.every((text) => typeof text === "string" && text !== ""), () => "stop must be a non-empty string or a list of them");
        sampling["stop"] = stop;
        continue;
      }
    }
    sampling[name] = value;
  }
  return sampling as SamplingOptions;
}

/** Checks the options that concern the tiers, throws `bad-input`, and returns what the worker gets besides the session's `privacy`. */
export function tierRequest({ privacy, midStream, onTierChange, task, expectsJson, labels, signals }: GenerateOptions, sessionPrivacy: Privacy | undefined): WireTierRequest {
  const wire: WireTierRequest = { privacy: [privacy, sessionPrivacy].filter((level) => level !== undefined) };
  wire.privacy.forEach(requirePrivacy);
  if (midStream !== undefined) {
    requireMidStream(midStream);
    wire.midStream = midStream;
  }
  if (onTierChange !== undefined) {
    requireFunction("onTierChange", onTierChange);
  }
  if (task !== undefined) {
    ensure(typeof task === "string" && task !== "", () => `task must be a non-empty string, found ${shown(task)}`);
    wire.task = task;
  }
  if (labels !== undefined) {
    const isText = (label: unknown) => typeof label === "string" && label !== "";
    ensure(Array.isArray(labels) && labels.length > 1 && labels.every(isText), () => `labels must be two non-empty strings or more, found ${shown(labels)}`);
    wire.labels = [...labels];
  }
  for (const [name, value] of Object.entries({ expectsJson, signals })) {
    ensure(value === undefined || typeof value === "boolean", () => `${name} must be true or false, found ${shown(value)}`);
  }
  return { ...wire, expectsJson: expectsJson ?? false, signals: signals ?? false };
}
