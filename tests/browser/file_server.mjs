// A loopback file server for tests. `/MODE/MOUNT/path` or `/MODE@FILE/MOUNT/path` serves a mounted folder's file with a
// fault; with `@FILE` only that file has it. `/MOUNT/path` serves it as it is.
import { createReadStream, existsSync, readFileSync, statSync } from "node:fs";
import { createServer } from "node:http";
import { extname, join, normalize } from "node:path";
import { gzipSync } from "node:zlib";

const KINDS = { ".html": "text/html; charset=utf-8", ".js": "text/javascript", ".mjs": "text/javascript", ".css": "text/css", ".json": "application/json", ".wasm": "application/wasm", ".svg": "image/svg+xml" };
const SLOW_CHUNK_BYTES = 4096;
const SLOW_PAUSE_MS = 40;

/** What a module's answer is called also where it is at fault: a browser compiles no other. */
const moduleKind = (file) => (extname(file) === ".wasm" ? { "content-type": KINDS[".wasm"] } : {});

const ANSWERS = {
  404: (_, response) => response.writeHead(404, { "content-type": "text/plain" }).end("not found"),
  500: (_, response) => response.writeHead(500, { "content-type": "text/plain" }).end("broken"),
  html: (_, response) => response.writeHead(200, { "content-type": "text/html" }).end("<!doctype html><title>Sign in</title><p>Please sign in."),
  // The same page from a server that calls everything a file.
  page: (_, response) => response.writeHead(200, { "content-type": "application/octet-stream" }).end("<!doctype html><title>Sign in</title><p>Please sign in to see this file, which is not a model."),
  empty: (_, response) => response.writeHead(200, { "content-length": 0 }).end(),
  truncated(file, response) {
    const bytes = readFileSync(file);
    response.writeHead(200, moduleKind(file)).end(bytes.subarray(0, Math.floor(bytes.length / 2)));
  },
  cut(file, response) {
    const bytes = readFileSync(file);
    response.writeHead(200, { ...moduleKind(file), "content-length": bytes.length });
    response.write(bytes.subarray(0, Math.floor(bytes.length / 2)), () => setTimeout(() => response.destroy(), 50));
  },
  async slow(file, response) {
    const bytes = readFileSync(file);
    response.writeHead(200, { ...moduleKind(file), "content-length": bytes.length });
    for (let at = 0; at < bytes.length && !response.destroyed; at += SLOW_CHUNK_BYTES) {
      response.write(bytes.subarray(at, at + SLOW_CHUNK_BYTES));
      await new Promise((resolve) => setTimeout(resolve, SLOW_PAUSE_MS));
    }
    response.end();
  },
  gzip(file, response) {
    const bytes = gzipSync(readFileSync(file));
    response.writeHead(200, { "content-encoding": "gzip", "content-length": bytes.length }).end(bytes);
  },
  norange(file, response) {
    const bytes = readFileSync(file);
    response.writeHead(200, { "content-length": bytes.length }).end(bytes);
  },
  nocors: (file, response) => response.writeHead(200, { "content-length": statSync(file).size }).end(readFileSync(file)),
};

const NEEDS_NO_FILE = ["404", "500", "html", "page", "empty"];

function serveFile(file, request, response) {
  const { size } = statSync(file);
  const kind = { "content-type": KINDS[extname(file)] ?? "application/octet-stream", "accept-ranges": "bytes" };
  const range = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? "");
  if (!range) {
    response.writeHead(200, { ...kind, "content-length": size });
    createReadStream(file).pipe(response);
    return;
  }
  const start = Number(range[1]);
  const end = range[2] === "" ? size - 1 : Math.min(Number(range[2]), size - 1);
  if (start >= size) {
    response.writeHead(416, { "content-range": `bytes */${size}` }).end();
    return;
  }
  response.writeHead(206, { ...kind, "content-length": end - start + 1, "content-range": `bytes ${start}-${end}/${size}` });
  createReadStream(file, { start, end }).pipe(response);
}

/**
 * Starts a server. `mounts` maps a first path segment to a folder, or to a function from the rest of the path to a body
 * (a string, served as the path's kind). Returns its origin, the requests it saw, and `close`.
 */
export async function startFileServer(mounts) {
  const seen = [];
  const server = createServer((request, response) => {
    const path = decodeURIComponent(new URL(request.url, "http://localhost").pathname);
    let [, first, ...rest] = path.split("/");
    let mode;
    if (!(first in mounts)) {
      [mode, first, ...rest] = [first, ...rest];
    }
    const name = normalize(rest.join("/"));
    seen.push({ method: request.method, path, range: request.headers.range });
    if (mode !== "nocors") {
      response.setHeader("access-control-allow-origin", "*");
      response.setHeader("access-control-allow-headers", "range");
    }
    response.setHeader("cache-control", "no-store");
    if (request.method === "OPTIONS") {
      response.writeHead(mode === "nocors" ? 403 : 204).end();
      return;
    }
    const mount = mounts[first];
    if (typeof mount === "function") {
      const body = mount(name);
      response.writeHead(body === undefined ? 404 : 200, { "content-type": KINDS[extname(name)] ?? "text/html" }).end(body);
      return;
    }
    const file = mount && !name.startsWith("..") ? join(mount, name.endsWith("/") || name === "." ? `${name}/index.html` : name) : undefined;
    const [kind, only] = (mode ?? "").split("@");
    const exists = file !== undefined && existsSync(file) && statSync(file).isFile();
    if (kind in ANSWERS && (exists || NEEDS_NO_FILE.includes(kind)) && (only === undefined || only === rest.at(-1))) {
      if (kind === "nocors") {
        response.removeHeader("access-control-allow-origin");
      }
      void ANSWERS[kind](file, response);
    } else if (exists) {
      serveFile(file, request, response);
    } else {
      ANSWERS[404](file, response);
    }
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    origin: `http://127.0.0.1:${server.address().port}`,
    seen,
    close() {
      server.closeAllConnections();
      return new Promise((resolve) => server.close(resolve));
    },
  };
}
