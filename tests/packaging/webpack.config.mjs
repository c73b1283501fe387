import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
// Nothing here is for Eyas: it is the least that webpack asks for.
export default { mode: "production", context: here, entry: "./app.js", output: { path: join(here, "dist/webpack"), clean: true }, performance: false };
