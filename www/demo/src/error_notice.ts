import { type ErrorCode, EyasError } from "eyas";

import { make } from "./element";

const ADVICE: Partial<Record<ErrorCode, string>> = {
  "bad-device": "Choose “Automatic” or “CPU (WASM SIMD)” as the device, or try another browser or driver.",
  "webgpu-unavailable": "Choose “Automatic” or “CPU (WASM SIMD)” as the device.",
  "device-lost": "The GPU went away. Load the model again.",
  "out-of-memory": "Choose smaller weights (4 bit) or a smaller model, and close other tabs.",
  "over-budget": "Choose smaller weights or a smaller model.",
  "model-not-found": "Check the address: a folder needs config.json, tokenizer.json and model.safetensors; a GGUF is one file.",
  "download-failed": "Check the connection, and that the server allows other pages to read the file (CORS). Then try again.",
  "storage-full": "Free some storage for this site, then try again.",
  integrity: "The file arrived damaged. Load it again.",
  "bad-model": "The file is damaged, cut off or no model. Fetch it again, or choose another.",
  "unsupported-model": "This model needs something that Eyas does not have yet. Choose another.",
  "bad-input": "Correct what the message names.",
  "context-overflow": "Shorten the text, or begin a new conversation by loading again.",
  "local-only": "Nobody else was asked. Give the model its device back, or let the request leave.",
  "cloud-refused": "Check the address, the model's name and the token.",
  "cloud-http": "Check that the server runs and allows this page (CORS), and that the network is there.",
  "cloud-timeout": "The server took too long. Try again later, or answer here.",
  "cloud-truncated": "The server's answer broke off. Try again.",
  aborted: "Nothing to do: it was stopped.",
  internal: "Something in Eyas broke. Load the model again; if it happens once more, please report it.",
};

/** A place on the page for one error: its code, its message and what to do. */
export class ErrorNotice {
  readonly #host: HTMLElement;

  constructor(host: HTMLElement) {
    this.#host = host;
    host.setAttribute("role", "alert");
    this.clear();
  }

  show(error: unknown): void {
    const known = error instanceof EyasError;
    const title = make("p", "notice-title");
    title.append(make("code", "", known ? error.code : "error"));
    const message = make("p", "", error instanceof Error ? error.message : String(error));
    const advice = make("p", "advice", (known && ADVICE[error.code]) || "Load the model again.");
    this.#host.replaceChildren(title, message, advice);
    this.#host.hidden = false;
  }

  clear(): void {
    this.#host.hidden = true;
    this.#host.replaceChildren();
  }
}
