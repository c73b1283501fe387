import type { MidStream, Privacy } from "eyas/slim";

import { element, make } from "./element";
import { ErrorNotice } from "./error_notice";
import { HybridEngine, type Scene } from "./hybrid_engine";
import { LedgerTable } from "./ledger_table";
import { ProgressMeter } from "./progress_meter";
import { RiskCurve } from "./risk_curve";
import { Switchboard } from "./switchboard";
import { VerdictCard } from "./verdict_card";

const EXAMPLES = ["will it rain in Oslo on friday", "add this song to my workout playlist", "how do i change a tyre", "my knee hurts since yesterday"];
const MAX_TOKENS = 120;

const isChecked = (id: string) => element<HTMLInputElement>(id).checked;
const textOf = (id: string) => element<HTMLInputElement>(id).value.trim();

/** The page: a scene is set, a request is asked, and who answered is shown. */
export class HybridPanel {
  readonly #switchboard = new Switchboard();
  readonly #meter = new ProgressMeter(element("hybrid-progress"), "Loading eyas-nano");
  readonly #ledger = new LedgerTable();
  readonly #engine = new HybridEngine(this.#switchboard, (progress) => this.#meter.show(progress), (entry, engine) => this.#ledger.write(entry, engine));
  readonly #curve = new RiskCurve(() => this.#changed());
  readonly #card = new VerdictCard();
  readonly #notice = new ErrorNotice(element("hybrid-notice"));
  readonly #status = element("hybrid-status");
  readonly #askButton = element<HTMLButtonElement>("ask");
  readonly #stopButton = element<HTMLButtonElement>("stop-answer");
  readonly #question = element<HTMLInputElement>("question");
  #running: AbortController | undefined;

  constructor() {
    element<HTMLFormElement>("ask-form").addEventListener("submit", (event) => {
      event.preventDefault();
      void this.#ask(this.#question.value.trim());
    });
    element<HTMLFormElement>("settings-form").addEventListener("submit", (event) => event.preventDefault());
    element<HTMLFormElement>("settings-form").addEventListener("change", () => this.#changed());
    this.#stopButton.addEventListener("click", () => this.#running?.abort(new DOMException("stopped by you", "AbortError")));
    for (const example of EXAMPLES) {
      const button = make("button", "example", example);
      button.type = "button";
      button.addEventListener("click", () => {
        this.#question.value = example;
        void this.#ask(example);
      });
      const item = make("li");
      item.append(button);
      element("hybrid-examples").append(item);
    }
  }

  /** A switch takes away at once, also from an answer under way. */
  #changed(): void {
    this.#switchboard.set({ network: isChecked("no-network"), gpu: isChecked("no-gpu") });
    this.#status.textContent = "Changed; the next request sees it.";
  }

  get #scene(): Scene {
    return {
      endpoint: textOf("endpoint"),
      cloudModel: textOf("cloud-model"),
      token: textOf("token"),
      hasGpu: !isChecked("no-gpu"),
      hasMemory: !isChecked("no-memory"),
      threshold: this.#curve.threshold,
    };
  }

  async #ask(question: string): Promise<void> {
    if (question === "" || this.#running) {
      return;
    }
    const controller = new AbortController();
    this.#running = controller;
    const { signal } = controller;
    this.#notice.clear();
    this.#card.clear();
    this.#status.textContent = "";
    this.#askButton.disabled = true;
    this.#stopButton.disabled = false;
    try {
      const eyas = await this.#engine.open(this.#scene, signal);
      this.#meter.hide();
      this.#card.begin();
      const session = eyas.session();
      const privacy = element<HTMLFormElement>("ask-form").elements.namedItem("privacy") as RadioNodeList;
      const stream = session.stream(question, {
        signal,
        privacy: privacy.value as Privacy,
        midStream: textOf("mid-stream") as MidStream,
        task: this.#curve.threshold?.task ?? "default",
        maxTokens: MAX_TOKENS,
        onTierChange: (change) => this.#card.change(change),
      });
      for await (const delta of stream) {
        this.#card.append(delta);
      }
      const completion = await stream.result();
      this.#card.end(completion);
      this.#status.textContent = `${element("verdict-title").textContent}.`;
      await session.dispose();
    } catch (error) {
      this.#card.clear();
      if (signal.aborted) {
        this.#status.textContent = "Stopped.";
      } else {
        this.#notice.show(error);
        // A device that was lost stays lost: the next request gets a fresh engine.
        await this.#engine.close();
      }
    } finally {
      this.#meter.hide();
      this.#running = undefined;
      this.#askButton.disabled = false;
      this.#stopButton.disabled = true;
    }
  }
}
