// Writes the folder that the peers' benchmark takes by `--add NAME=FOLDER`: the adapter, and the built package.
import { cpSync, mkdirSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));

/** Writes the adapter for the built package in `dist` into `folder`; the embedded model is not part of it. */
export function writeAdapter(folder, dist) {
  mkdirSync(folder, { recursive: true });
  cpSync(join(here, "adapter"), folder, { recursive: true });
  cpSync(dist, join(folder, "eyas"), { recursive: true, filter: (path) => !relative(dist, path).startsWith("models") });
}
