/**
 * Builds the dashboard's web app (src/dashboard) into the directory that is named as the argument. Run by `npm run build`
 * for the package, and by a checkout's platform when a page is opened and the sources have changed.
 */
import { join, resolve } from "node:path";
import tailwindcss from "@tailwindcss/vite";
import react from "@vitejs/plugin-react";
import { build } from "vite";

const root = join(import.meta.dirname, "..");

await build({
  root: join(root, "src/dashboard"),
  configFile: false,
  logLevel: "warn",
  plugins: [react(), tailwindcss()],
  build: {
    outDir: resolve(process.argv[2] ?? "dist/dashboard"),
    emptyOutDir: true,
    target: "es2023",
    // The page's policy allows files of its own origin and nothing inline.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    chunkSizeWarningLimit: 1000,
  },
});
