import type { LastingClient } from "./lasting_client.js";
import type { Completion } from "./completion.js";
import { EyasError } from "./error.js";
import { type GenerateOptions, samplingOptions, tierRequest } from "./generate_options.js";
import type { ChatInput, Message } from "./message.js";
import { ensure, shown } from "./option_check.js";
import type { GenerationRequest } from "./protocol.js";
import { type StartGeneration, TextStream } from "./text_stream.js";
import type { Privacy } from "./tier_options.js";

const ROLES = ["system", "user", "assistant", "tool"];

/** Checks messages and throws `bad-input`. */
export function checkMessages(messages: unknown): asserts messages is readonly Message[] {
  ensure(Array.isArray(messages), () => `messages must be a list, found ${shown(messages)}`);
  ensure(messages.length > 0, () => "messages must have at least one message, found none");
  messages.forEach((message: Partial<Message> | null, index) => {
    ensure(ROLES.includes(message?.role as string), () => `messages[${index}].role must be one of ${ROLES.join(", ")}; found ${shown(message?.role)}`);
    const content = message?.content;
    ensure(typeof content === "string" || content === null, () => `messages[${index}].content must be a string or null, found ${shown(content)}`);
  });
}

/** What an input asks the engine for: messages for the chat template, or text to continue. Throws `bad-input`. */
export function inputRequest(input: ChatInput, hasChatTemplate: boolean): { messages: readonly Message[] } | { prompt: string } {
  if (typeof input === "string") {
    ensure(input !== "", () => "the prompt is empty; expected text (to continue from the start token pass { prompt: \"\" })");
    return hasChatTemplate ? { messages: [{ role: "user", content: input }] } : { prompt: input };
  }
  if (typeof input === "object" && input !== null && "prompt" in input) {
    ensure(typeof input.prompt === "string", () => `prompt must be a string, found ${shown(input.prompt)}`);
    return { prompt: input.prompt };
  }
  checkMessages(input);
  return { messages: input };
}

/** A generation to start: in which session, on what, and who is told of the completion first. */
export interface Generation {
  client: LastingClient;
  session: number;
  /** Asked for when the generation's turn comes. */
  request: () => { messages: readonly Message[] } | { prompt: string };
  options: GenerateOptions;
  /** The session's own privacy. */
  privacy?: Privacy | undefined;
  onResult?: (completion: Completion) => void;
  /** Thrown instead of starting, where the arguments were already found wrong. */
  refuse?: unknown;
}

/** Starts a generation. Wrong arguments reject the stream; they are never thrown at the caller. */
export function streamGeneration({ client, session, request, options, privacy, onResult, refuse }: Generation): TextStream {
  const start: StartGeneration = async (onPart, onWithdraw, signal) => {
    if (refuse !== undefined) {
      throw refuse;
    }
    const sampling = samplingOptions(options);
    const tier = tierRequest(options, privacy);
    const { onPrefill, onTierChange, templateVariables } = options;
    const call = () => {
      const generation: GenerationRequest = { ...request(), options: sampling };
      if (templateVariables) {
        generation.templateVariables = templateVariables;
      }
      return { type: "generate" as const, session, request: generation, tier };
    };
    return client.call<"generate">(call, {
      signal,
      onResult,
      onEvent: (event) => {
        if (event.type === "delta") {
          onPart({ type: "text", text: event.text });
        } else if (event.type === "reasoning") {
          onPart({ type: "reasoning", text: event.text });
        } else if (event.type === "prefill") {
          onPrefill?.({ doneTokens: event.doneTokens, totalTokens: event.totalTokens });
        } else {
          if (event.type === "withdrawn") {
            onWithdraw();
          }
          onTierChange?.(event);
        }
      },
    });
  };
  const signal = typeof options?.signal?.addEventListener === "function" ? options.signal : undefined;
  return new TextStream(start, signal);
}

/** Runs `check` and returns what it threw, so that a stream can reject with it. */
export function refusalOf(check: () => void): EyasError | undefined {
  try {
    check();
    return undefined;
  } catch (error) {
    return error as EyasError;
  }
}
