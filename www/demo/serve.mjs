// Serves the built demo on this machine only, and prints its URL.
import { preview } from "vite";

const server = await preview({ preview: { host: "127.0.0.1", port: Number(process.argv[2] ?? 4173), strictPort: false }, logLevel: "warn" });
console.log(`The demo runs at ${server.resolvedUrls?.local[0]}`);
console.log("Press Ctrl+C to end it.");
