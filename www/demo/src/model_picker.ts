import type { DeviceChoice, ModelSource, QuantizeChoice } from "eyas";
import { nano } from "eyas/nano";

import { element } from "./element";

/** What a person chose to load. */
export interface Pick {
  name: string;
  model: ModelSource;
  /** Whether turns depend on each other; eyas-nano answers one request at a time. */
  remembers: boolean;
  device: DeviceChoice;
  quantize: QuantizeChoice;
}

type Source = "nano" | "folder" | "gguf" | "files";

/** The part of the form that says which model to load, and from where. */
export class ModelPicker {
  readonly #form = element<HTMLFormElement>("load-form");
  readonly #fileInput = element<HTMLInputElement>("model-files");
  #files: File[] = [];

  constructor() {
    for (const radio of this.#radios()) {
      radio.addEventListener("change", () => this.#showSource());
    }
    this.#fileInput.addEventListener("change", () => this.#take([...(this.#fileInput.files ?? [])]));
    document.addEventListener("dragover", (event) => {
      event.preventDefault();
      document.body.classList.add("dragging");
    });
    document.addEventListener("dragleave", (event) => {
      if (event.relatedTarget === null) {
        document.body.classList.remove("dragging");
      }
    });
    document.addEventListener("drop", (event) => {
      event.preventDefault();
      document.body.classList.remove("dragging");
      const files = [...(event.dataTransfer?.files ?? [])];
      if (files.length > 0) {
        this.#select("files");
        this.#take(files);
        this.#form.scrollIntoView({ block: "center" });
      }
    });
    this.#showSource();
  }

  pick(): Pick {
    const shared = {
      device: element<HTMLSelectElement>("device").value as DeviceChoice,
      quantize: element<HTMLSelectElement>("quantize").value as QuantizeChoice,
      remembers: true,
    };
    switch (this.#source()) {
      case "nano":
        return { ...shared, name: "eyas-nano", model: nano, remembers: false };
      case "files":
        return { ...shared, name: this.#files[0]?.name ?? "", model: this.#files };
      case "folder": {
        const url = element<HTMLInputElement>("folder-url").value.trim();
        return { ...shared, name: url, model: url };
      }
      case "gguf": {
        const url = element<HTMLInputElement>("gguf-url").value.trim();
        return { ...shared, name: url, model: url };
      }
    }
  }

  #radios(): HTMLInputElement[] {
    return [...this.#form.querySelectorAll<HTMLInputElement>("input[name=source]")];
  }

  #source(): Source {
    return (this.#radios().find((radio) => radio.checked)?.value ?? "nano") as Source;
  }

  #select(source: Source): void {
    for (const radio of this.#radios()) {
      radio.checked = radio.value === source;
    }
    this.#showSource();
  }

  #showSource(): void {
    for (const field of this.#form.querySelectorAll<HTMLElement>("[data-source]")) {
      field.hidden = field.dataset["source"] !== this.#source();
    }
  }

  #take(files: File[]): void {
    this.#files = files;
    element("dropped").textContent = files.length === 0 ? "" : `${files.length} file${files.length === 1 ? "" : "s"}: ${files.map((file) => file.name).join(", ")}`;
  }
}
