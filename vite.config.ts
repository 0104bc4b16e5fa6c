/**
 * One build for every page of the hall.
 *
 * A page is a folder with an `index.html`; a folder that is not there is simply not built, so pages can come and go one by one.
 * The build lands in `queue_service/static`: one `<page>.html` each, scripts, styles and fonts under `assets/` with hashed names.
 * Nothing is inlined into the html and nothing is fetched from another host, so the pages live under a strict content policy.
 */
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { svelte } from "@sveltejs/vite-plugin-svelte";
import { defineConfig, type Plugin } from "vite";

const at = (path: string) => fileURLToPath(new URL(path, import.meta.url));

const PAGES: Record<string, string> = {
  kiosk: "queue_service/web/kiosk",
  board: "displays/web",
  console: "counters/web",
  phone: "queue_service/web/phone",
  start: "queue_service/web/start",
};

const entries = Object.entries(PAGES)
  .map(([page, folder]) => [page, `${folder}/index.html`] as const)
  .filter(([, file]) => existsSync(at(file)));

/** Vite keeps the folders of an html entry; the server wants `<page>.html` side by side. */
function flatPages(): Plugin {
  return {
    name: "flat-pages",
    enforce: "post",
    generateBundle(_options, bundle) {
      for (const [page, file] of entries) {
        const asset = bundle[file];
        if (asset?.type !== "asset") continue;
        delete bundle[file];
        this.emitFile({ type: "asset", fileName: `${page}.html`, source: asset.source });
      }
    },
  };
}

export default defineConfig({
  root: at("."),
  publicDir: false,
  plugins: [svelte(), flatPages()],
  resolve: { alias: { "@shared": at("queue_service/web/shared"), "@texts": at("queue_service/texts") } },
  build: {
    outDir: at("queue_service/static"),
    emptyOutDir: true,
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    target: "es2022",
    rollupOptions: { input: Object.fromEntries(entries.map(([page, file]) => [page, at(file)])) },
  },
});
