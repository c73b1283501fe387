import type { GenerationEvent } from "./completion.js";

type Event = Exclude<GenerationEvent, { type: "done" }>;
type Said = Extract<Event, { type: "delta" | "reasoning" }>;

/** One kind of text: what was heard of it, and what of that a repetition has said again. */
interface Track {
  heard: string;
  again: string | undefined;
}

/**
 * Lets a listener hear an answer once, however often it is computed: when it begins anew, what was heard already is compared and not heard again.
 */
export class Replay {
  readonly #listener: (event: Event) => void;
  readonly #onDivergence: () => void;
  /** The answer's text and its reasoning. */
  #tracks: Record<Said["type"], Track> = { delta: { heard: "", again: undefined }, reasoning: { heard: "", again: undefined } };

  /** `onDivergence` is called when a repetition says something else than what was heard. */
  constructor(listener: (event: Event) => void, onDivergence: () => void) {
    this.#listener = listener;
    this.#onDivergence = onDivergence;
  }

  /** The answer is computed from its beginning again. */
  rewind(): void {
    for (const track of Object.values(this.#tracks)) {
      track.again = "";
    }
  }

  /** What was heard and not withdrawn. */
  get heard(): { text: string; reasoning: string } {
    return { text: this.#tracks.delta.heard, reasoning: this.#tracks.reasoning.heard };
  }

  /** Whether everything that was heard has come again. */
  get isCaughtUp(): boolean {
    return Object.values(this.#tracks).every(({ heard, again }) => again === undefined || again === heard);
  }

  hear(event: Event): void {
    if (event.type === "withdrawn") {
      this.#tracks = { delta: { heard: "", again: undefined }, reasoning: { heard: "", again: undefined } };
    }
    if (event.type === "appended") {
      // What was heard stays, said again or not; another tier goes on behind it.
      for (const track of Object.values(this.#tracks)) {
        track.again = undefined;
      }
    }
    if (event.type !== "delta" && event.type !== "reasoning") {
      this.#listener(event);
      return;
    }
    const track = this.#tracks[event.type];
    if (track.again === undefined) {
      track.heard += event.text;
      this.#listener(event);
      return;
    }
    track.again += event.text;
    const { again, heard } = track;
    if (again.length <= heard.length ? !heard.startsWith(again) : !again.startsWith(heard)) {
      this.#onDivergence();
    } else if (again.length > heard.length) {
      track.heard = again;
      track.again = undefined;
      this.#listener({ ...event, text: again.slice(heard.length) });
    }
  }
}
