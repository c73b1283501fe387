import { type Eyas, load } from "eyas";
import { nano } from "eyas/nano";

import { element, make } from "./element";
import { ErrorNotice } from "./error_notice";
import { markedParts, partialFields, readable } from "./partial_fields";
import { ProgressMeter } from "./progress_meter";
import { statusText } from "./status_text";

const EXAMPLES = [
  "play some jazz by miles davis",
  "book a table for two tomorrow at an italian bistro",
  "will it rain in Oslo on friday",
  "add this song to my workout playlist",
  "give the current novel four out of five stars",
  "when is the next showing of casablanca",
];
const DEBOUNCE_MS = 120;
const SLOT_COLOURS = 6;

/** The first screen: a request is typed, and its intent and slots come out as it grows. */
export class NanoPanel {
  readonly #input = element<HTMLInputElement>("request");
  readonly #status = element("nano-status");
  readonly #notice = new ErrorNotice(element("nano-notice"));
  readonly #meter = new ProgressMeter(element("nano-progress"), "Loading eyas-nano");
  #eyas: Eyas | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #running: AbortController | undefined;

  constructor() {
    element<HTMLFormElement>("nano-form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#soon(0);
    });
    this.#input.addEventListener("input", () => this.#soon(DEBOUNCE_MS));
    for (const example of EXAMPLES) {
      const button = make("button", "example", example);
      button.type = "button";
      button.addEventListener("click", () => {
        this.#input.value = example;
        this.#soon(0);
      });
      const item = make("li");
      item.append(button);
      element("examples").append(item);
    }
  }

  async load(): Promise<void> {
    try {
      this.#eyas = await load({ model: nano, onProgress: (progress) => this.#meter.show(progress) });
      this.#status.textContent = statusText(this.#eyas.info, await this.#eyas.memory());
      this.#soon(0);
    } catch (error) {
      this.#notice.show(error);
    } finally {
      this.#meter.hide();
    }
  }

  #soon(delayMs: number): void {
    clearTimeout(this.#timer);
    this.#running?.abort();
    this.#timer = setTimeout(() => void this.#answer(), delayMs);
  }

  async #answer(): Promise<void> {
    const request = this.#input.value.trim();
    element("nano-result").hidden = request === "" || !this.#eyas;
    if (request === "" || !this.#eyas) {
      return;
    }
    const controller = new AbortController();
    this.#running = controller;
    let raw = "";
    try {
      const stream = this.#eyas.stream(request, { signal: controller.signal, maxTokens: 160 });
      for await (const delta of stream) {
        raw += delta;
        this.#show(request, raw);
      }
      const { timing } = await stream.result();
      this.#notice.clear();
      this.#say(raw);
      this.#status.textContent = statusText(this.#eyas.info, await this.#eyas.memory(), timing);
    } catch (error) {
      if (!controller.signal.aborted) {
        this.#notice.show(error);
      }
    }
  }

  #show(request: string, raw: string): void {
    const { intent, slots } = partialFields(raw);
    element("raw").textContent = raw;
    element("intent").textContent = intent === "" ? "…" : readable(intent);
    element("utterance").replaceChildren(
      ...markedParts(request, slots).map(({ text, slot }) => {
        if (slot === undefined) {
          return document.createTextNode(text);
        }
        const mark = make("mark", `slot-${slot % SLOT_COLOURS}`, text);
        mark.title = readable(slots[slot]?.name ?? "");
        return mark;
      }),
    );
    element("slots").replaceChildren(
      ...slots.map(({ name, value }, slot) => {
        const pair = make("div", `slot-${slot % SLOT_COLOURS}`);
        pair.append(make("dt", "", readable(name)), make("dd", "", value));
        return pair;
      }),
    );
    element("no-slots").hidden = slots.length > 0 || !/\]\s*\}/.test(raw);
  }

  /** Says the finished result once, for those who do not see it. */
  #say(raw: string): void {
    const { intent, slots } = partialFields(raw);
    element("nano-said").textContent = [readable(intent), ...slots.map(({ name, value }) => `${readable(name)}: ${value}`)].join(", ");
  }
}
