/** Who speaks in a conversation. */
export type Role = "system" | "user" | "assistant" | "tool";

/** A chat message. Fields that only some chat templates know (`tool_calls`, `name`, …) are handed on as they are. */
export interface Message {
  /** Who speaks. */
  role: Role;
  /** The text; null where a message only calls tools. */
  content: string | null;
  [field: string]: unknown;
}

/**
 * What is to be answered:
 * - a list of messages, which the model's chat template turns into a prompt;
 * - `{ prompt }`, text that the model continues as it stands, without a template (`""` means: from the start token);
 * - a string: one user message, or, where the model has no chat template, text to continue.
 */
export type ChatInput = string | readonly Message[] | { prompt: string };
