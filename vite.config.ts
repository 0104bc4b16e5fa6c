/**
 * One build for every page of the hall.
 *
 * A page is a folder with an `index.html`; a folder that is not there is simply not built, so pages can come and go one by one.
 * The build lands in `queue_service/static`: one `<page>.html` each, scripts, styles and fonts under `assets/` with hashed names.
 * Nothing is inlined into the html and nothing is fetched from another host, so the pages live under a strict content policy.
 */
import { existsSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { svelte } from "@sveltejs/vite-plugin-svelte";
import { brotliCompressSync, gzipSync } from "node:zlib";
import { defineConfig, type Plugin } from "vite";

const at = (path: string) => fileURLToPath(new URL(path, import.meta.url));

const PAGES: Record<string, string> = {
  kiosk: "queue_service/web/kiosk",
  board: "displays/web",
  console: "counters/web",
  supervisor: "queue_service/web/supervisor",
  boards: "queue_service/web/boards",
  phone: "queue_service/web/phone",
  track: "queue_service/web/track",
  start: "queue_service/web/start",
  admin: "queue_service/web/admin",
  docs: "queue_service/web/docs",
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

/** `vi.json?only=phone`: the texts of one page. A visitor's phone should not fetch the words of every page of the hall. */
function textsOfOnePage(): Plugin {
  return {
    name: "texts-of-one-page",
    enforce: "pre",
    load(id) {
      const [file = "", page] = id.split("?only=");
      if (page === undefined) return null;
      const texts = Object.entries(JSON.parse(readFileSync(file, "utf8")) as Record<string, string>);
      const own = Object.fromEntries(texts.filter(([key]) => key.startsWith(`${page}.`)));
      return { code: `export default ${JSON.stringify(own)}`, moduleType: "js" };
    },
  };
}

/** Every script and style beside itself as `.br` and `.gz`: the server hands out what the browser takes, and packs nothing itself. */
function packedAssets(): Plugin {
  return {
    name: "packed-assets",
    enforce: "post",
    generateBundle(_options, bundle) {
      for (const [fileName, file] of Object.entries(bundle)) {
        if (!/\.(js|css)$/.test(fileName)) continue;
        const content = Buffer.from(file.type === "chunk" ? file.code : file.source);
        this.emitFile({ type: "asset", fileName: `${fileName}.br`, source: brotliCompressSync(content) });
        this.emitFile({ type: "asset", fileName: `${fileName}.gz`, source: gzipSync(content, { level: 9 }) });
      }
    },
  };
}

export default defineConfig({
  root: at("."),
  publicDir: at("queue_service/web/public"),
  plugins: [svelte(), textsOfOnePage(), flatPages(), packedAssets()],
  resolve: { alias: { "@shared": at("queue_service/web/shared"), "@texts": at("queue_service/texts") } },
  build: {
    outDir: at("queue_service/static"),
    emptyOutDir: true,
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    target: "es2022",
    rolldownOptions: { input: Object.fromEntries(entries.map(([page, file]) => [page, at(file)])), checks: { pluginTimings: false } },
  },
});
