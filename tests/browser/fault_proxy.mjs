// Stands between the browser and a real server and breaks what it is told to: `/FAULT,FAULT,…/v1/…` uses one fault for each request of
// that path in turn, and then none. Counts the bytes of every body that reaches it.
import { createServer, request as httpRequest } from "node:http";

const CORS = {
  "access-control-allow-origin": "*",
  "access-control-allow-headers": "authorization, content-type",
  "access-control-expose-headers": "retry-after, retry-after-ms, x-should-retry",
};
const SSE = { ...CORS, "content-type": "text/event-stream" };
const event = (content) => `data: ${JSON.stringify({ choices: [{ index: 0, delta: { content } }] })}\n\n`;
const status = (code, headers = {}) => (_, response) => response.writeHead(code, { ...CORS, "content-type": "application/json", ...headers }).end('{"error":{"message":"told to fail"}}');

const FAULTS = {
  "429-seconds": status(429, { "retry-after": "1" }),
  "429-ms": status(429, { "retry-after-ms": "300" }),
  "429-date": (_, response) => status(429, { "retry-after": new Date(Date.now() + 2000).toUTCString() })(_, response),
  "429-hour": status(429, { "retry-after": "3600" }),
  500: status(500),
  401: status(401),
  redirect: status(307, { location: "/none/v1/chat/completions" }),
  reset(_, response) {
    response.writeHead(200, SSE);
    response.write(event("half"), () => setTimeout(() => response.destroy(), 50));
  },
  stall(_, response) {
    response.writeHead(200, SSE);
    response.write(event("half"));
  },
  hang() {},
  silence(_, response) {
    response.writeHead(200, SSE).flushHeaders();
  },
  garbage: (_, response) => response.writeHead(200, SSE).end("data: <!doctype html>\n\n"),
  html: (_, response) => response.writeHead(200, { ...CORS, "content-type": "text/html" }).end("<!doctype html>"),
  huge(_, response) {
    response.writeHead(200, SSE).end("x".repeat(5 << 20));
  },
  truncated: (_, response) => response.writeHead(200, SSE).end(event("half")),
  nocors: (_, response) => response.writeHead(200, { "content-type": "text/event-stream" }).end(event("secret")),
};

/** Starts the proxy before `target` (an origin). */
export async function startFaultProxy(target) {
  const seen = [];
  const used = new Map();
  const server = createServer(async (request, response) => {
    const [, plan, ...rest] = request.url.split("/");
    const chunks = [];
    for await (const chunk of request) {
      chunks.push(chunk);
    }
    const body = Buffer.concat(chunks);
    if (request.method === "OPTIONS") {
      // A refused preflight: the browser sends no body at all.
      response.writeHead(plan === "preflight" ? 403 : 204, plan === "preflight" ? {} : CORS).end();
      return;
    }
    const seenOne = { plan, bytes: body.length, body: body.toString(), headers: request.headers, isCutOff: undefined };
    // Resolves when the connection is done with this answer: true where the browser let it go before its end.
    seenOne.ended = new Promise((resolve) => response.on("close", () => resolve((seenOne.isCutOff = !response.writableFinished))));
    seen.push(seenOne);
    const turn = used.get(plan) ?? 0;
    used.set(plan, turn + 1);
    const fault = plan.split(",").filter((name) => name !== "none")[turn] ?? "none";
    if (fault in FAULTS) {
      FAULTS[fault](request, response);
      return;
    }
    const upstream = httpRequest(`${target}/${rest.join("/")}`, { method: request.method, headers: { "content-type": "application/json", authorization: request.headers.authorization ?? "" } }, (answer) => {
      response.writeHead(answer.statusCode, { ...CORS, "content-type": answer.headers["content-type"] ?? "" });
      if (fault !== "drip") {
        answer.pipe(response);
        return;
      }
      const parts = [];
      answer.on("data", (part) => parts.push(part));
      answer.on("end", async () => {
        // One byte at a time, characters and lines cut anywhere.
        for (const byte of Buffer.concat(parts).subarray(0, 1 << 14)) {
          response.write(Buffer.of(byte));
          await new Promise((resolve) => setImmediate(resolve));
        }
        response.end();
      });
    });
    upstream.on("error", () => response.destroy());
    upstream.end(body);
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    origin: `http://127.0.0.1:${server.address().port}`,
    seen,
    bytes: () => seen.reduce((total, { bytes }) => total + bytes, 0),
    close() {
      server.closeAllConnections();
      return new Promise((resolve) => server.close(resolve));
    },
  };
}
