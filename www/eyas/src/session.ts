import type { LastingClient } from "./lasting_client.js";
import type { Completion } from "./completion.js";
import { EyasError } from "./error.js";
import type { GenerateOptions } from "./generate_options.js";
import { refusalOf, streamGeneration } from "./generation.js";
import type { Message } from "./message.js";
import { ensure, requireKnownKeys, shown } from "./option_check.js";
import type { TextStream } from "./text_stream.js";
import { type Privacy, requirePrivacy } from "./tier_options.js";

/** How a session begins. */
export interface SessionOptions {
  /** Instructions that stand before the conversation. */
  system?: string;
  /** Messages that the conversation continues. */
  messages?: readonly Message[];
  /** Tightens the engine's privacy for all turns of this session and its forks; it never loosens it. */
  privacy?: Privacy;
}

/** Checks the options of a session, throws `bad-input`, and returns its first messages. */
export function firstMessages(options: SessionOptions): Message[] {
  requireKnownKeys("session options", options, ["system", "messages", "privacy"]);
  const { system, messages = [], privacy } = options as SessionOptions;
  if (privacy !== undefined) {
    requirePrivacy(privacy);
  }
  ensure(system === undefined || typeof system === "string", () => `system must be a string, found ${shown(system)}`);
  ensure(Array.isArray(messages), () => `messages must be a list, found ${shown(messages)}`);
  return [...(system === undefined ? [] : [{ role: "system" as const, content: system }]), ...messages];
}

/**
 * A conversation that remembers: it keeps its messages here and their keys and values on the device, so that each turn
 * computes only what is new. Turns of one session run in the order of their calls. A turn that fails or is aborted leaves
 * the conversation as it was before.
 */
export class Session {
  readonly #client: LastingClient;
  readonly #id: number;
  readonly #newId: () => number;
  readonly #privacy: Privacy | undefined;
  #messages: Message[];
  #disposed = false;

  /** Made by `engine.session` and `fork`; an application does not construct it. */
  constructor(client: LastingClient, newId: () => number, messages: Message[], privacy?: Privacy) {
    this.#privacy = privacy;
    this.#client = client;
    this.#id = newId();
    this.#newId = newId;
    this.#messages = messages;
  }

  /** The conversation so far. */
  get messages(): readonly Message[] {
    return [...this.#messages];
  }

  /** Says `text` as the user and returns the whole answer. */
  send(text: string, options: GenerateOptions = {}): Promise<Completion> {
    return this.stream(text, options).result();
  }

  /** Says `text` as the user and returns the answer as it comes. */
  stream(text: string, options: GenerateOptions = {}): TextStream {
    const turn = (): Message[] => [...this.#messages, { role: "user", content: text }];
    let sent: Message[] = [];
    return streamGeneration({
      client: this.#client,
      session: this.#id,
      options,
      privacy: this.#privacy,
      request: () => {
        this.#ensureOpen();
        sent = turn();
        return { messages: sent };
      },
      onResult: (completion) => {
        this.#messages = [...sent, { role: "assistant", content: completion.text }];
      },
      refuse: refusalOf(() => {
        this.#ensureOpen();
        ensure(typeof text === "string" && text !== "", () => `a turn must be a non-empty string, found ${shown(text)}`);
      }),
    });
  }

  /** A second session that goes on from here on its own; the cached keys and values are copied on the device. */
  async fork(): Promise<Session> {
    this.#ensureOpen();
    const fork = new Session(this.#client, this.#newId, [], this.#privacy);
    await this.#client.fork(() => {
      fork.#messages = [...this.#messages];
      return { type: "fork", session: this.#id, to: fork.#id };
    });
    return fork;
  }

  /** Frees the session's memory on the device after its turns under way. Disposing again changes nothing. */
  async dispose(): Promise<void> {
    if (this.#disposed) {
      return;
    }
    this.#disposed = true;
    await this.#client.call<"close-session">(() => ({ type: "close-session", session: this.#id })).catch((error: unknown) => {
      if (!(error instanceof EyasError)) {
        throw error; // an engine that is gone has freed its sessions
      }
    });
  }

  #ensureOpen(): void {
    ensure(!this.#disposed, () => "the session was disposed; open another with engine.session()");
  }
}
