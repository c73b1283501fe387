import { defineConfig } from "vite";

export default defineConfig({
  base: "./",
  build: { target: "es2022", rolldownOptions: { input: ["index.html", "hybrid.html"] } },
  worker: { format: "es" },
  optimizeDeps: { exclude: ["eyas"] }, // the development server must not move the package away from its assets
});
