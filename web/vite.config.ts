import { defineConfig } from "vite";

// The page is built into the Go package that embeds it. `npm run dev` serves it with the JSON
// of a server on the usual admin address.
export default defineConfig({
  build: {
    outDir: "../internal/console/dist",
    emptyOutDir: true,
    target: "es2022",
    modulePreload: { polyfill: false }, // it would be an inline script
    chunkSizeWarningLimit: 800,
    assetsInlineLimit: 0,
  },
  server: { proxy: { "/api": "http://127.0.0.1:9171" } },
});
