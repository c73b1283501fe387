import type { ErrorCode } from "./error.js";

/** Why an answer ended: an end token or a stop string came, or `maxTokens` or the context's end was reached. */
export type FinishReason = "stop" | "length";

/** Tokens counted. */
export interface Usage {
  /** Tokens of the prompt. */
  promptTokens: number;
  /** Of these, tokens whose keys and values were still cached. */
  cachedTokens: number;
  /** Tokens generated, the end token included. */
  completionTokens: number;
  /** Tokens that were guessed from repetitions (`promptLookupTokens`). */
  draftedTokens: number;
  /** Of these, tokens that came true. */
  acceptedTokens: number;
}

/** Times measured inside the engine. */
export interface Timing {
  /** From the call to the end of the prompt's computation. */
  prefillMs: number;
  /** From the call to the first token. */
  firstTokenMs: number;
  /** From the first token to the last. */
  decodeMs: number;
  /** Tokens a second after the first one; 0 where there was only one. */
  tokensPerSecond: number;
}

/** Why the other tier did not answer: it can't, it could but should not, or the policy forbids it. */
export type Reason = "cannot" | "should-not" | "may-not";

/** How certain an answer is, by what its own computation tells; what is unknown is null. */
export interface Signals {
  /** Mean log-probability of the tokens. */
  meanLogprob: number | null;
  /** The least log-probability. */
  minLogprob: number | null;
  /** The log-probability below which lies a tenth of the tokens. */
  q10Logprob: number | null;
  /** Mean entropy in nats. */
  meanEntropy: number | null;
  /** Probability of the best first token less that of the second best; with `labels`, among these alone. */
  firstMargin: number | null;
  /** With `expectsJson`: 1 if the answer is JSON, else 0. */
  structure: number | null;
  /** The part of the answer's words that stand in the question. */
  grounding: number | null;
}

/** Where an answer was computed, and why there. */
export interface Provenance {
  /** This device, or a server that the application allowed. */
  tier: "local" | "cloud";
  /** The model's name. */
  model: string;
  /** The device that computed, or the origin of the server. */
  device: string;
  /** Why this device, where it computed. */
  deviceReason: string;
  /** Why the other tier did not answer. */
  reason: Reason;
  /** The same in words. */
  detail: string;
  /** The code of what went wrong on the device, where the cloud was asked for that. */
  localError: ErrorCode | null;
  /** The value of the calibrated signal; null without a calibration, or where no local run ended. */
  confidence: number | null;
  /** The threshold that it was compared with. */
  threshold: number | null;
  /** Whether confidence decided anything. */
  calibration: "calibrated" | "uncalibrated";
  /** What the local run told of its certainty; null where none ended or nothing depended on it. */
  signals: Signals | null;
  /** Runs in all: one for the device, one for every request that was handed to the network. */
  attempts: number;
  /** Bytes of bodies that were handed to the network. */
  bytesSent: number;
  /** From the request to the end. */
  ms: number;
  /** Options that were dropped for the cloud. */
  downgrades: string[];
  /** With `append`: who wrote which part, with its length in UTF-16 code units. */
  parts: { tier: "local" | "cloud"; length: number }[];
  /** What the cloud's tokens cost, where prices were given. */
  cost: number | null;
  /** What the cloud would have charged for a local answer's tokens, where prices were given. */
  saved: number | null;
  /** The request's number in the egress ledger. */
  request: number;
}

/** The cloud takes over: the local text shown so far is no part of the answer (`withdrawn`), or stays before it (`appended`). */
export interface TierChange {
  type: "withdrawn" | "appended";
  /** Why. */
  reason: Reason;
  /** The same in words. */
  detail: string;
}

/** An alternative to a token. */
export interface TopLogprob {
  /** The token. */
  id: number;
  /** Its text, with replacement characters where it is half a character. */
  text: string;
  /** Natural logarithm of its probability under the unmodified logits. */
  logprob: number;
}

/** The log-probability of a generated token, with the most probable alternatives that were asked for. */
export interface TokenLogprob extends TopLogprob {
  /** The most probable alternatives, as many as were asked for. */
  top: TopLogprob[];
}

/** A finished answer. */
export interface Completion {
  /** The whole text. */
  text: string;
  /** What the model thought before it answered (`<think>…</think>`); "" where it did not, or where the cloud answered. */
  reasoning: string;
  /** The generated tokens, the end token included; none where the cloud answered. */
  tokenIds: number[];
  /** Why it ended. */
  finishReason: FinishReason;
  /** Tokens counted. */
  usage: Usage;
  /** Times measured. */
  timing: Timing;
  /** Where it was computed, and why there. */
  provenance: Provenance;
  /** One entry a token where `logprobs` was asked for, otherwise empty. */
  logprobs: TokenLogprob[];
  /** The seed that was used; null where a server drew its own. */
  seed: number | null;
}

/** A part of an answer as it comes: what the model thinks before it answers, or text of the answer. */
export interface StreamPart {
  type: "reasoning" | "text";
  /** The next characters. */
  text: string;
}

/** One step of a generation, as the worker reports it. */
export type GenerationEvent =
  | { type: "prefill"; doneTokens: number; totalTokens: number }
  | { type: "delta"; text: string }
  | { type: "reasoning"; text: string }
  | TierChange
  | ({ type: "done" } & Completion);
