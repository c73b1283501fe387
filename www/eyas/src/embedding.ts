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

/** A label and the probability that the model gives it. */
export interface LabelScore {
  label: string;
  score: number;
}

/** Options of `embed` and `classify`. */
export interface EmbedOptions {
  /** Aborts this call; it then rejects with the signal's own reason, and the engine stays usable. */
  signal?: AbortSignal;
}

function listenersOf(options: EmbedOptions): { signal: AbortSignal | undefined; repeatable: true } {
  requireKnownKeys("options", options, ["signal"]);
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
  return client.call<"embed">(() => ({ type: "embed", texts: [...list] }), listenersOf(options));
}

/** Checks the arguments of `classify`, rejects with `bad-input`, and asks the worker. */
export async function classifyText(client: LastingClient, text: string, options: EmbedOptions): Promise<LabelScore[]> {
  ensure(typeof text === "string", () => `text must be a string, found ${shown(text)}`);
  return client.call<"classify">(() => ({ type: "classify", text }), listenersOf(options));
}
