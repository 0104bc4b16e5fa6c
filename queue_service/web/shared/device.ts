/**
 * The identity of a device. It arrives once, in the fragment of the address (`#token=…`, which is never sent to a server), is kept under this
 * page's own path, and is taken out of the address at once so that nobody reads it from the screen.
 */
const storageKey = () => `qs.token.${location.pathname.replace(/\/+$/, "")}`;

export function deviceToken(): string | null {
  const fragment = new URLSearchParams(location.hash.slice(1));
  const arrived = fragment.get("token");
  if (arrived) {
    remember(arrived);
    fragment.delete("token");
    const rest = fragment.toString();
    history.replaceState(null, "", location.pathname + location.search + (rest ? `#${rest}` : ""));
    return arrived;
  }
  return read();
}

export function forgetDeviceToken(): void {
  try {
    localStorage.removeItem(storageKey());
  } catch {
    // A browser without storage has nothing to forget.
  }
}

function remember(token: string): void {
  try {
    localStorage.setItem(storageKey(), token);
  } catch {
    // Storage may be switched off on a locked-down kiosk; the token then lasts as long as the page.
  }
}

function read(): string | null {
  try {
    return localStorage.getItem(storageKey());
  } catch {
    return null;
  }
}

/** The last parts of the address: `/kiosk/{centre}/{kiosk}` → `["{centre}", "{kiosk}"]`. */
export function pathParts(): string[] {
  return location.pathname.split("/").filter(Boolean).slice(1).map(decodeURIComponent);
}
