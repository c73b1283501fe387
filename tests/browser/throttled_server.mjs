// A loopback server of files that gives each connection, and all of them together, so many bytes a second, behind a latency.
import { createServer } from "node:http";

const SLICE_BYTES = 32_768;
/** Where the timer was late, so much is made up for. */
const SLACK_MS = 50;

/** Between the slices of an answer that is to be slow. */
const SLOW_MS = 200;

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/**
 * Serves the files of the map `files` by path. `server.limits` holds for what is sent from then on: `ownRate` and `sharedRate` in bytes a second,
 * `latencyMs` before each answer. `server.etag` is every file's entity tag. Where `server.slowFrom`
 * is set, an answer with a whole file is slow behind so many bytes, until a part of it was asked for that ends before it. Counted are requests for bytes, bytes sent, and answers under way.
 */
export async function startThrottledServer(files) {
  const server = { limits: {}, etag: '"1"', requests: [], servedBytes: 0, open: 0, mostOpen: 0 };
  let sharedFree = 0;

  async function send(bytes, response, isWhole) {
    const closed = new Promise((resolve) => response.once("close", resolve));
    let ownFree = performance.now();
    for (let at = 0; at < bytes.length && !response.destroyed; at += SLICE_BYTES) {
      if (isWhole && at >= server.slowFrom && !server.requests.some(([, until]) => until < bytes.length)) {
        await pause(SLOW_MS);
      }
      const slice = bytes.subarray(at, at + SLICE_BYTES);
      const { ownRate = Infinity, sharedRate = Infinity } = server.limits;
      const earliest = performance.now() - SLACK_MS;
      ownFree = Math.max(ownFree, earliest) + (slice.length * 1000) / ownRate;
      sharedFree = Math.max(sharedFree, earliest) + (slice.length * 1000) / sharedRate;
      const wait = Math.max(ownFree, sharedFree) - performance.now();
      if (wait > 1) {
        await pause(wait);
      }
      if (!response.write(slice) && !response.destroyed) {
        await Promise.race([closed, new Promise((resolve) => response.once("drain", resolve))]);
      }
      server.servedBytes += slice.length;
    }
    response.end();
  }

  const http = createServer(async (request, response) => {
    const bytes = files.get(new URL(request.url, "http://localhost").pathname);
    const headers = { "access-control-allow-origin": "*", "access-control-expose-headers": "etag, content-range", "cache-control": "no-store" };
    await pause(server.limits.latencyMs ?? 0);
    if (!bytes) {
      response.writeHead(404, headers).end();
      return;
    }
    Object.assign(headers, { etag: server.etag, "content-type": "application/octet-stream" });
    const [, first, last] = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? "") ?? [];
    const from = Number(first ?? 0);
    const until = last ? Math.min(Number(last) + 1, bytes.length) : bytes.length;
    if (first !== undefined) {
      headers["content-range"] = `bytes ${from}-${until - 1}/${bytes.length}`;
    }
    response.writeHead(first === undefined ? 200 : 206, { ...headers, "content-length": until - from });
    if (request.method === "HEAD") {
      response.end();
      return;
    }
    server.requests.push([from, until]);
    server.open += 1;
    server.mostOpen = Math.max(server.mostOpen, server.open);
    response.on("close", () => (server.open -= 1));
    await send(bytes.subarray(from, until), response, first === undefined);
  });
  await new Promise((resolve) => http.listen(0, "127.0.0.1", resolve));
  return Object.assign(server, {
    origin: `http://127.0.0.1:${http.address().port}`,
    /** Forgets what was counted. */
    reset() {
      Object.assign(server, { requests: [], servedBytes: 0, mostOpen: server.open });
    },
    close() {
      http.closeAllConnections();
      return new Promise((resolve) => http.close(resolve));
    },
  });
}
