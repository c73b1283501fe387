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

/** Where an answer was computed, and why there. */
export interface Provenance {
  /** This device, or a server that the application allowed. */
  tier: "local" | "cloud";
  /** The model's name. */
  model: string;
  /** The device that computed. */
  device: string;
  /** Why this tier and device. */
  reason: string;
  /** Runs that were tried before and with this one. */
  attempts: number;
  /** Bytes that left the device. */
  bytesSent: number;
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
  /** The generated tokens, the end token included. */
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
  /** The seed that was used. */
  seed: number;
}

/** One step of a generation, as the worker reports it. */
export type GenerationEvent =
  | { type: "prefill"; doneTokens: number; totalTokens: number }
  | { type: "delta"; text: string; tokenId: number }
  | ({ type: "done" } & Completion);
