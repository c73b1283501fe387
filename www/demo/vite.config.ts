import { defineConfig } from "vite";

import { offline } from "./offline_plugin";

export default defineConfig({
  base: "./",
  plugins: [offline()],
  build: { target: "es2022", rolldownOptions: { input: ["index.html", "hybrid.html"] } },
  worker: { format: "es" },
  optimizeDeps: { exclude: ["eyas"] }, // the development server must not move the package away from its assets
});
