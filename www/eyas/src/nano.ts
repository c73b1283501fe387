import type { ModelFiles } from "./model_source.js";

/**
 * eyas-nano, the model that comes with the package: it turns a request into an intent and its slots as JSON.
 *
 * ```ts
 * const eyas = await load({ model: nano });
 * const { text } = await eyas.chat("book a table for two tomorrow");
 * ```
 */
export const nano: ModelFiles = {
  name: "eyas-nano",
  files: {
    "config.json": new URL("./models/eyas-nano/config.json", import.meta.url).href,
    "generation_config.json": new URL("./models/eyas-nano/generation_config.json", import.meta.url).href,
    "tokenizer.json": new URL("./models/eyas-nano/tokenizer.json", import.meta.url).href,
    "tokenizer_config.json": new URL("./models/eyas-nano/tokenizer_config.json", import.meta.url).href,
    "model.safetensors": new URL("./models/eyas-nano/model.safetensors", import.meta.url).href,
  },
};
