import { type Completion, type Eyas, load, type Session, type TextStream } from "eyas";

import { element, make } from "./element";
import { ErrorNotice } from "./error_notice";
import { ModelPicker, type Pick } from "./model_picker";
import { ProgressMeter } from "./progress_meter";
import { statusText } from "./status_text";
import { partText, StoredList } from "./stored_list";

/** The second screen: any model is loaded, talked to and stopped. */
export class ChatPanel {
  readonly #picker = new ModelPicker();
  readonly #meter = new ProgressMeter(element("load-progress"), "Loading the model");
  readonly #loadNotice = new ErrorNotice(element("load-notice"));
  readonly #chatNotice = new ErrorNotice(element("chat-notice"));
  readonly #stored = new StoredList(this.#loadNotice);
  readonly #loadButton = element<HTMLButtonElement>("load");
  readonly #cancelButton = element<HTMLButtonElement>("cancel-load");
  readonly #sendButton = element<HTMLButtonElement>("send");
  readonly #stopButton = element<HTMLButtonElement>("stop");
  readonly #message = element<HTMLTextAreaElement>("message");
  readonly #log = element("log");
  readonly #status = element("chat-status");
  #eyas: Eyas | undefined;
  #session: Session | undefined;
  #running: AbortController | undefined;

  constructor() {
    element<HTMLFormElement>("load-form").addEventListener("submit", (event) => {
      event.preventDefault();
      void this.#load(this.#picker.pick());
    });
    element<HTMLFormElement>("chat-form").addEventListener("submit", (event) => {
      event.preventDefault();
      void this.#send(this.#message.value);
    });
    this.#message.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
        event.preventDefault();
        this.#sendButton.click();
      }
    });
    for (const button of [this.#cancelButton, this.#stopButton]) {
      button.addEventListener("click", () => this.#running?.abort(new DOMException("stopped by you", "AbortError")));
    }
  }

  async #load(pick: Pick): Promise<void> {
    this.#running?.abort();
    const controller = new AbortController();
    this.#running = controller;
    this.#loadNotice.clear();
    this.#chatNotice.clear();
    this.#loadButton.disabled = true;
    this.#cancelButton.hidden = false;
    element("conversation").hidden = true;
    this.#status.textContent = "";
    await this.#eyas?.dispose();
    this.#eyas = undefined;
    try {
      const { model, device, quantize } = pick;
      this.#eyas = await load({ model, device, quantize, signal: controller.signal, onProgress: (progress) => this.#meter.show(progress) });
      await this.#begin(this.#eyas, pick);
    } catch (error) {
      if (controller.signal.aborted) {
        const part = await partText(pick.model);
        if (this.#running === controller) {
          this.#status.textContent = `The load was cancelled. ${part}`;
        }
      } else {
        this.#loadNotice.show(error);
      }
    } finally {
      this.#meter.hide();
      this.#loadButton.disabled = false;
      this.#cancelButton.hidden = true;
      void this.#stored.show();
    }
  }

  async #begin(eyas: Eyas, pick: Pick): Promise<void> {
    const { hasChatTemplate, architecture, contextTokens } = eyas.info;
    this.#session = hasChatTemplate && pick.remembers ? eyas.session() : undefined;
    element("message-label").textContent = hasChatTemplate ? "Message" : "Text to continue (this model has no chat template)";
    this.#sendButton.textContent = hasChatTemplate ? "Send" : "Continue";
    this.#log.replaceChildren(make("p", "loaded", `${pick.name} is ready: ${architecture}, ${contextTokens.toLocaleString("en")} tokens of context.`));
    element("conversation").hidden = false;
    this.#message.focus();
    this.#status.textContent = statusText(eyas.info, await eyas.memory());
  }

  #answer(eyas: Eyas, text: string, signal: AbortSignal): TextStream {
    const options = {
      signal,
      maxTokens: element<HTMLInputElement>("max-tokens").valueAsNumber,
      temperature: element<HTMLInputElement>("temperature").valueAsNumber,
    };
    return this.#session ? this.#session.stream(text, options) : eyas.stream(eyas.info.hasChatTemplate ? text : { prompt: text }, options);
  }

  async #send(text: string): Promise<void> {
    const eyas = this.#eyas;
    if (!eyas || this.#sendButton.disabled) {
      return;
    }
    const controller = new AbortController();
    this.#running = controller;
    this.#chatNotice.clear();
    this.#sendButton.disabled = true;
    this.#stopButton.disabled = false;
    this.#log.setAttribute("aria-busy", "true");
    const turn = make("div", eyas.info.hasChatTemplate ? "turn" : "turn continued");
    const answer = make("p", "answer");
    turn.append(make("p", "question", text), answer);
    this.#log.append(turn);
    let completion: Completion | undefined;
    try {
      const stream = this.#answer(eyas, text, controller.signal);
      for await (const delta of stream) {
        answer.append(delta);
        this.#log.scrollTop = this.#log.scrollHeight;
      }
      completion = await stream.result();
      this.#message.value = "";
    } catch (error) {
      if (controller.signal.aborted) {
        turn.append(make("p", "stopped", "Stopped."));
      } else {
        turn.remove();
        this.#chatNotice.show(error);
      }
    } finally {
      this.#log.setAttribute("aria-busy", "false");
      this.#sendButton.disabled = false;
      this.#stopButton.disabled = true;
      this.#message.focus();
      const memory = await eyas.memory().catch(() => undefined); // undefined: the engine is gone
      if (memory && this.#eyas === eyas) {
        this.#status.textContent = statusText(eyas.info, memory, completion?.timing);
      }
    }
  }
}
