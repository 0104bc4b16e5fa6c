/**
 * A page that stays open for weeks must notice that a newer one has been installed. It compares its own script with the one its address serves now,
 * and loads itself again as soon as `isSafe` says that nobody is in the middle of something.
 */
const EVERY_MS = 5 * 60_000;
const SAFE_EVERY_MS = 5_000;

export function watchForNewVersion(isSafe: () => boolean): () => void {
  const own = scriptOf(document);
  let reload: ReturnType<typeof setInterval> | undefined;
  const look = setInterval(async () => {
    if (reload !== undefined || (await servedScript()) === own) return;
    reload = setInterval(() => isSafe() && location.reload(), SAFE_EVERY_MS);
  }, EVERY_MS);

  async function servedScript(): Promise<string | null> {
    try {
      const response = await fetch(location.pathname, { cache: "no-store" });
      if (!response.ok) return own;
      return scriptOf(new DOMParser().parseFromString(await response.text(), "text/html")) ?? own;
    } catch {
      return own;
    }
  }

  return () => {
    clearInterval(look);
    clearInterval(reload);
  };
}

function scriptOf(page: Document): string | null {
  return page.querySelector("script[type=module][src]")?.getAttribute("src") ?? null;
}
