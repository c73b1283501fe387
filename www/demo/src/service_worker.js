// Keeps the page, the engine and eyas-nano on this device, each file checked against the hash that the build wrote; offline_plugin.ts fills the list in.
// A newer version is fetched beside the running one and waits until the page asks for it; pages that still run the old one keep its files.
const SHELL = [];
const VERSION = "";

const PREFIX = "eyas-shell-";
const CACHE = PREFIX + VERSION;
const scope = new URL(self.registration.scope);
const addressOf = (path) => new URL(path, scope).href;
const addresses = new Set(SHELL.map(([path]) => addressOf(path)));

async function sha256(bytes) {
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** A file as an earlier version keeps it, or else from the network; never one whose hash differs. */
async function fetched([path, expected]) {
  const address = addressOf(path);
  for (const from of [() => caches.match(address), () => fetch(address, { cache: "no-cache" })]) {
    const response = await from();
    if (response?.ok && (await sha256(await response.clone().arrayBuffer())) === expected) {
      // A response that was redirected must not answer a navigation.
      return new Response(response.body, { headers: response.headers });
    }
  }
  throw new Error(`${path} is not the file of this version; the next visit tries again`);
}

async function install() {
  const cache = await caches.open(CACHE);
  for (const file of SHELL) {
    if (!(await cache.match(addressOf(file[0])))) {
      await cache.put(addressOf(file[0]), await fetched(file));
    }
  }
}

/** Keeps this version and the one before it: a tab may still run that. */
async function activate() {
  const names = (await caches.keys()).filter((name) => name.startsWith(PREFIX));
  const old = names.filter((name) => name !== CACHE).slice(0, -1);
  await Promise.all(old.map((name) => caches.delete(name)));
  await self.clients.claim();
}

/** The address without what follows a path; a folder's is that of its page. */
function plain(request) {
  const { href } = Object.assign(new URL(request.url), { search: "", hash: "" });
  return href === scope.href ? addressOf("index.html") : href;
}

async function answer(request) {
  const address = plain(request);
  const cache = await caches.open(CACHE);
  return (await cache.match(address)) ?? (await caches.match(address)) ?? fetch(request);
}

self.addEventListener("install", (event) => event.waitUntil(install()));
self.addEventListener("activate", (event) => event.waitUntil(activate()));
self.addEventListener("message", ({ data }) => data === "take over" && self.skipWaiting());
self.addEventListener("fetch", (event) => {
  const address = plain(event.request);
  // Assets of the version before may still be wanted; everything else, models for example, is none of this worker's business.
  if (event.request.method === "GET" && (addresses.has(address) || address.startsWith(addressOf("assets/")))) {
    event.respondWith(answer(event.request));
  }
});
