/**
 * A page that stays open for weeks must notice that a newer one has been installed. It compares its own script with the one its address serves now,
 * and loads itself again as soon as `isSafe` says that nobody is in the middle of something.
 */
const EVERY_MS = 5 * 60_000;
const SAFE_EVERY_MS = 5_000;
/** Screens of a hall do not all load themselves again in the same second. */
const SPREAD_MS = 60_000;

export interface Watch {
  /** Somebody says that there is a newer page: look now. */
  look: () => Promise<void>;
  stop: () => void;
}

export function watchForNewVersion(isSafe: () => boolean): Watch {
  const own = scriptOf(document);
  let reload: ReturnType<typeof setInterval> | undefined;
  const looking = setInterval(look, EVERY_MS);

  async function look(): Promise<void> {
    if (reload !== undefined || (await servedScript()) === own || reload !== undefined) return;
    const notBefore = performance.now() + Math.random() * SPREAD_MS;
    reload = setInterval(() => performance.now() >= notBefore && isSafe() && location.reload(), SAFE_EVERY_MS);
  }

  async function servedScript(): Promise<string | null> {
    try {
      const response = await fetch(location.pathname, { cache: "no-store" });
      if (!response.ok) return own;
      return scriptOf(new DOMParser().parseFromString(await response.text(), "text/html")) ?? own;
    } catch {
      return own;
    }
  }

  return {
    look,
    stop: () => {
      clearInterval(looking);
      clearInterval(reload);
    },
  };
}

function scriptOf(page: Document): string | null {
  return page.querySelector("script[type=module][src]")?.getAttribute("src") ?? null;
}
