import { type ModelSource, models, type StoredModel } from "eyas";

import { byteText } from "./byte_text";
import { element, make } from "./element";
import type { ErrorNotice } from "./error_notice";

/** What a load that was stopped has left of a model. */
export async function partText(model: ModelSource): Promise<string> {
  const address = typeof model === "string" ? model.replace(/\/$/, "") : undefined;
  const found = await models.list().catch(() => []); // where nothing is kept, there is nothing to say
  const part = found.find(({ id, complete }) => !complete && id.replace(/\/$/, "") === address);
  return part?.bytes ? `Paused: ${byteText(part.bytes)} are on this device, and “Load” goes on from there.` : "";
}

/** What is kept on this device: each model with its size and when it was last used, and the means to remove it. */
export class StoredList {
  readonly #details = element<HTMLDetailsElement>("stored");
  readonly #list = element("stored-models");
  readonly #notice: ErrorNotice;

  constructor(notice: ErrorNotice) {
    this.#notice = notice;
    this.#details.addEventListener("toggle", () => {
      if (this.#details.open) {
        void this.show();
      }
    });
  }

  /** Reads the list anew, where it can be seen. */
  async show(): Promise<void> {
    if (!this.#details.open) {
      return;
    }
    try {
      const found = await models.list();
      const nothing = make("li", "hint", "Nothing yet. A model that is loaded from an address is kept here, and then loads without a network.");
      this.#list.replaceChildren(...(found.length > 0 ? found.map((model) => this.#row(model)) : [nothing]));
    } catch (error) {
      this.#notice.show(error);
    }
  }

  #row(model: StoredModel): HTMLLIElement {
    const row = make("li", "stored-model");
    const used = new Date(model.lastUsedMs).toLocaleString();
    const state = model.complete ? `version ${model.version ?? "?"}` : "not complete, the next load goes on";
    const about = make("span");
    about.append(make("code", "", model.id), make("span", "hint", ` ${byteText(model.bytes)} · ${state} · last used ${used}`));
    const button = make("button", "", "Remove");
    button.type = "button";
    button.setAttribute("aria-label", `Remove ${model.id}`);
    button.addEventListener("click", async () => {
      button.disabled = true;
      await models.remove(model.id).catch((error: unknown) => this.#notice.show(error));
      await this.show();
    });
    row.append(about, button);
    return row;
  }
}
