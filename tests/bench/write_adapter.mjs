// Writes the folder that the peers' benchmark takes by `--add NAME=FOLDER`: the adapter, and the built package.
import { cpSync, mkdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));

export function writeAdapter(folder, dist) {
  mkdirSync(folder, { recursive: true });
  cpSync(join(here, "adapter"), folder, { recursive: true });
  cpSync(dist, join(folder, "eyas"), { recursive: true, filter: (path) => !path.includes("/models") });
}
