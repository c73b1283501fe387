// Emits service_worker.js with a list of everything that the build has made, each file with its SHA-256: the shell that works without a network.
import { createHash } from "node:crypto";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join, posix, relative } from "node:path";

import type { Plugin } from "vite";

const WORKER = "service_worker.js";

function filesBelow(folder: string): string[] {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => (entry.isDirectory() ? filesBelow(join(folder, entry.name)) : [join(folder, entry.name)]));
}

export function offline(): Plugin {
  let outDir = "";
  let source = "";
  return {
    name: "eyas-offline",
    apply: "build",
    configResolved(config) {
      outDir = join(config.root, config.build.outDir);
      source = join(config.root, "src", WORKER);
    },
    closeBundle() {
      const paths = filesBelow(outDir).map((file) => relative(outDir, file).replaceAll("\\", posix.sep));
      const shell = paths
        .filter((path) => path !== WORKER)
        .sort()
        .map((path) => [path, createHash("sha256").update(readFileSync(join(outDir, path))).digest("hex")]);
      const template = readFileSync(source, "utf8");
      const list = JSON.stringify(shell);
      const version = createHash("sha256").update(list).digest("hex").slice(0, 16);
      for (const line of ["const SHELL = [];", 'const VERSION = "";']) {
        if (!template.includes(line)) {
          throw new Error(`src/service_worker.js has no line \`${line}\` to be filled in`);
        }
      }
      const filled = template.replace("const SHELL = [];", `const SHELL = ${list};`).replace('const VERSION = "";', `const VERSION = "${version}";`);
      writeFileSync(join(outDir, WORKER), filled);
    },
  };
}
