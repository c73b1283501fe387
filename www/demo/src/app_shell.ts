import { element, make } from "./element";

/** Says whether the page works without a network, and offers a newer version of it; it never takes one by itself. */
export class AppShell {
  readonly #status = element("shell-status");

  async register(): Promise<void> {
    if (!("serviceWorker" in navigator) || !import.meta.env.PROD) {
      return;
    }
    try {
      const registration = await navigator.serviceWorker.register("./service_worker.js");
      this.#watch(registration);
      await navigator.serviceWorker.ready;
      if (!registration.waiting) {
        this.#status.textContent = "This page works without a network.";
      }
    } catch (error) {
      this.#status.textContent = `This page needs the network: ${(error as Error).message}`;
    }
  }

  #watch(registration: ServiceWorkerRegistration): void {
    if (registration.waiting && navigator.serviceWorker.controller) {
      this.#offer(registration.waiting);
    }
    registration.addEventListener("updatefound", () => {
      const worker = registration.installing;
      worker?.addEventListener("statechange", () => {
        if (worker.state === "installed" && navigator.serviceWorker.controller) {
          this.#offer(worker);
        }
      });
    });
  }

  /** The new version takes over when the person says so; then the page starts anew with it. */
  #offer(worker: ServiceWorker): void {
    const button = make("button", "update");
    button.type = "button";
    button.textContent = "Update now";
    button.addEventListener("click", () => {
      navigator.serviceWorker.addEventListener("controllerchange", () => location.reload(), { once: true });
      worker.postMessage("take over");
    });
    this.#status.replaceChildren("A newer version of this page is ready; it starts the page anew. ", button);
  }
}
