import type { LastingClient } from "./lasting_client.js";
import { ensure, requireKnownKeys, requireSignal, shown } from "./option_check.js";

/** The vector of a text. */
export interface Embedding {
  /** A unit vector: the dot product of two is the cosine of the angle between them. */
  vector: Float32Array;
  /** Tokens that were computed, special ones included. */
  tokens: number;
  /** Tokens at the end of the text that did not fit into the model and were left out. */
  truncatedTokens: number;
}

/** Two texts that a model takes as one sequence: a question and a passage, a premise and a hypothesis. */
export type TextPair = readonly [string, string];

/** A label and the probability that the model gives it. */
export interface LabelScore {
  label: string;
  score: number;
}

/** Options of `classify`. */
export interface ClassifyOptions {
  /** Aborts this call; it then rejects with the signal's own reason, and the engine stays usable. */
  signal?: AbortSignal;
}

/** Options of `embed`. */
export interface EmbedOptions extends ClassifyOptions {
  /** The name of the prompt that stands before every text, one of `info.prompts`, as sentence-transformers' `prompt_name`; absent, the model's default. */
  prompt?: string;
}

function listenersOf(options: ClassifyOptions, known: readonly string[]): { signal: AbortSignal | undefined; repeatable: true } {
  requireKnownKeys("options", options, known);
  if (options.signal !== undefined) {
    requireSignal(options.signal);
  }
  return { signal: options.signal, repeatable: true };
}

/** Checks the arguments of `embed`, rejects with `bad-input`, and asks the worker. */
export async function embedTexts(client: LastingClient, texts: string | readonly string[], options: EmbedOptions): Promise<Embedding[]> {
  const list: unknown = typeof texts === "string" ? [texts] : texts;
  ensure(Array.isArray(list), () => `texts must be a string or a list of strings, found ${shown(texts)}`);
  list.forEach((text, index) => ensure(typeof text === "string", () => `texts[${index}] must be a string, found ${shown(text)}`));
  const listeners = listenersOf(options, ["signal", "prompt"]);
  const { prompt } = options;
  ensure(prompt === undefined || typeof prompt === "string", () => `prompt must be the name of one of the model's prompts, found ${shown(prompt)}`);
  return client.call<"embed">(() => ({ type: "embed", texts: [...list], ...(prompt === undefined ? {} : { prompt }) }), listeners);
}

/** Checks the arguments of `classify`, rejects with `bad-input`, and asks the worker. */
export async function classifyText(client: LastingClient, text: string | TextPair, options: ClassifyOptions): Promise<LabelScore[]> {
  const texts: unknown = typeof text === "string" ? [text] : text;
  const isPair = Array.isArray(texts) && texts.length === (typeof text === "string" ? 1 : 2);
  ensure(isPair && texts.every((one) => typeof one === "string"), () => `text must be a string or a pair of strings, found ${shown(text)}`);
  const [first, second] = texts as [string, string?];
  return client.call<"classify">(() => ({ type: "classify", text: first, ...(second === undefined ? {} : { second }) }), listenersOf(options, ["signal"]));
}
