import type { LoadPhase, Progress } from "eyas";

import { byteText } from "./byte_text";
import { make } from "./element";

const DOING: Record<LoadPhase, string> = {
  start: "Fetching the engine",
  inspect: "Reading the model's configuration",
  weights: "Reading weights",
  "warm-up": "Warming up",
  ready: "Ready",
};

/** A progress bar with words for what is being done, in bytes. */
export class ProgressMeter {
  readonly #host: HTMLElement;
  readonly #bar = make("div", "bar");
  readonly #fill = make("div", "fill");
  readonly #text = make("p", "meter-text");

  constructor(host: HTMLElement, label: string) {
    this.#host = host;
    this.#bar.setAttribute("role", "progressbar");
    this.#bar.setAttribute("aria-label", label);
    this.#bar.append(this.#fill);
    host.append(this.#bar, this.#text);
    this.hide();
  }

  show({ phase, loadedBytes, totalBytes, detail, source, remainingMs }: Progress): void {
    this.#host.hidden = false;
    const counted = totalBytes > 0;
    const share = counted ? Math.min(1, loadedBytes / totalBytes) : 0;
    const bytes = counted ? `${byteText(loadedBytes)} of ${byteText(totalBytes)}` : loadedBytes > 0 ? byteText(loadedBytes) : "";
    const from = phase === "weights" && source === "store" ? "from this device" : "";
    const left = phase === "weights" && source === "network" && remainingMs !== null && remainingMs > 2_000 ? `${Math.ceil(remainingMs / 1000)} s left` : "";
    const words = [DOING[phase], bytes, from, left, detail].filter((part) => part !== "").join(" · ");
    this.#text.textContent = words;
    this.#bar.classList.toggle("unknown", !counted);
    this.#fill.style.transform = `scaleX(${share})`;
    this.#bar.setAttribute("aria-valuetext", words);
    if (counted) {
      this.#bar.setAttribute("aria-valuemin", "0");
      this.#bar.setAttribute("aria-valuemax", String(totalBytes));
      this.#bar.setAttribute("aria-valuenow", String(loadedBytes));
    } else {
      this.#bar.removeAttribute("aria-valuenow");
    }
  }

  hide(): void {
    this.#host.hidden = true;
  }
}
