import tailwindcss from "@tailwindcss/vite";
import react from "@vitejs/plugin-react";
import { defineConfig } from "vite";

/** The StreamGate server that `npm run dev` uses. */
const server = process.env.STREAMGATE_URL ?? "http://127.0.0.1:8080";
const proxy = Object.fromEntries(
  ["/api", "/files", "/v/", "/health"].map((prefix) => [prefix, { target: server, xfwd: true }]),
);

export default defineConfig({
  plugins: [react(), tailwindcss()],
  server: { proxy },
  build: {
    outDir: "dist.next",
    // The Content-Security-Policy allows no data: URLs for scripts and fonts.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    target: "es2022",
    chunkSizeWarningLimit: 700,
  },
});
