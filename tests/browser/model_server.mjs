// A loopback server of model files that counts what it sends, and breaks as a test says. `server.fault(request)` gives the fault of a request, where it
// is to have one; a request is `{ name, path, start, attempt }`, `attempt` counting the requests for that path.
import { existsSync, readFileSync } from "node:fs";
import { createServer } from "node:http";
import { basename, join } from "node:path";
import { gzipSync } from "node:zlib";

const SLICE_BYTES = 16384;

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/**
 * Serves the folders of `mounts` by the first path segment, and what is put in `server.files` by path. A fault may have:
 * - `status`: an answer without the file; `html`: a page in its place; `redirect`: another path;
 * - `cutAt`, `resetAt`, `stallAt`: at this byte of the file the connection is closed, is reset (what was on its way is lost), or falls silent;
 * - `noRanges`, `gzip`, `noLength`, `extraBytes`, `noCors`, `hideHeaders`; `etag` in place of the right one, or null for none;
 * - `headMs`: a pause behind the head; `sliceMs`: one behind every 16 KiB; `hold`: a promise that the rest behind the first MiB waits for.
 */
export async function startModelServer(mounts = {}) {
  const server = { files: new Map(), fault: () => undefined, requests: [], servedBytes: 0, openStalls: 0 };
  const attempts = new Map();

  const bytesOf = (path) => {
    if (server.files.has(path)) {
      return server.files.get(path);
    }
    const [, mount, ...rest] = path.split("/");
    const file = mounts[mount] && join(mounts[mount], ...rest);
    return file && !rest.includes("..") && existsSync(file) && basename(file) !== "" ? readFileSync(file) : undefined;
  };

  async function answer(request, response) {
    const path = decodeURIComponent(new URL(request.url, "http://localhost").pathname);
    const range = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? "");
    const attempt = (attempts.get(path) ?? 0) + 1;
    attempts.set(path, attempt);
    const start = range ? Number(range[1]) : 0;
    const asked = { name: path.split("/").at(-1), path, start, attempt, method: request.method, range: request.headers.range, ifRange: request.headers["if-range"] };
    const fault = server.fault(asked) ?? {};
    server.requests.push(asked);
    if (!fault.noCors) {
      response.setHeader("access-control-allow-origin", "*");
      response.setHeader("access-control-allow-headers", "range, if-range");
      if (!fault.hideHeaders) {
        response.setHeader("access-control-expose-headers", "etag, content-range, accept-ranges");
      }
    }
    response.setHeader("cache-control", "no-store");
    const bytes = bytesOf(path);
    const status = fault.status ?? (bytes ? undefined : 404);
    if (request.method === "OPTIONS") {
      response.writeHead(fault.noCors ? 403 : 204).end();
    } else if (fault.redirect) {
      response.writeHead(302, { location: fault.redirect }).end();
    } else if (status) {
      response.writeHead(status, { "content-type": "text/plain" }).end("no");
    } else if (fault.html) {
      response.writeHead(200, { "content-type": "text/html" }).end("<!doctype html><title>Sign in</title>");
    } else {
      await sendFile(bytes, asked, fault, range, response);
    }
  }

  async function sendFile(bytes, asked, fault, range, response) {
    const etag = fault.etag === undefined ? `"${bytes.length}-${bytes.subarray(0, 64).toString("hex").slice(0, 16)}"` : fault.etag;
    const headers = { "content-type": "application/octet-stream", ...(etag === null ? {} : { etag }) };
    const fits = asked.ifRange === undefined || asked.ifRange === etag;
    let [code, body, first] = [200, bytes, 0];
    if (range && !fault.noRanges && fits) {
      if (asked.start >= bytes.length) {
        response.writeHead(416, { "content-range": `bytes */${bytes.length}` }).end();
        return;
      }
      const end = range[2] === "" ? bytes.length : Math.min(Number(range[2]) + 1, bytes.length);
      [code, body, first] = [206, bytes.subarray(asked.start, end), asked.start];
      headers["content-range"] = `bytes ${first}-${end - 1}/${bytes.length}`;
    }
    if (fault.extraBytes) {
      body = Buffer.concat([body, Buffer.alloc(fault.extraBytes)]);
    }
    if (fault.gzip) {
      body = gzipSync(body);
      headers["content-encoding"] = "gzip";
    }
    if (!fault.noLength) {
      headers["content-length"] = body.length;
    }
    response.writeHead(code, headers);
    if (asked.method === "HEAD") {
      response.end();
      return;
    }
    if (fault.headMs) {
      response.flushHeaders();
      await pause(fault.headMs);
    }
    const stops = [fault.cutAt, fault.resetAt, fault.stallAt].filter((at) => at !== undefined).map((at) => Math.max(at - first, 0));
    const limit = Math.min(body.length, ...stops);
    for (let at = 0; at < limit && !response.destroyed; ) {
      const slice = body.subarray(at, Math.min(at + SLICE_BYTES, limit));
      await new Promise((resolve) => response.write(slice, resolve));
      at += slice.length;
      server.servedBytes += slice.length;
      if (fault.sliceMs) {
        await pause(fault.sliceMs);
      }
      if (fault.hold && at >= 2 ** 20) {
        await fault.hold;
      }
    }
    if (limit < body.length && fault.stallAt !== undefined) {
      server.openStalls += 1;
    } else if (limit < body.length && fault.resetAt !== undefined) {
      response.socket.resetAndDestroy();
    } else if (limit < body.length) {
      response.socket.end(); // what was written still arrives
    } else {
      response.end();
    }
  }

  const http = createServer((request, response) => void answer(request, response).catch(() => response.destroy()));
  await new Promise((resolve) => http.listen(0, "127.0.0.1", resolve));
  Object.assign(server, {
    origin: `http://127.0.0.1:${http.address().port}`,
    /** Forgets what was counted. */
    reset() {
      attempts.clear();
      Object.assign(server, { fault: () => undefined, requests: [], servedBytes: 0, openStalls: 0 });
    },
    close() {
      http.closeAllConnections();
      return new Promise((resolve) => http.close(resolve));
    },
  });
  return server;
}
