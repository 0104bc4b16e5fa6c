/** What is looked for stands in the address: a reload, a bookmark and a colleague who gets the link see the same. */
let query = $state(new URLSearchParams(location.search).toString());

export function asked(name: string): string {
  return new URLSearchParams(query).get(name) ?? "";
}

export function ask(values: Record<string, string>): void {
  const next = new URLSearchParams(query);
  for (const [name, value] of Object.entries(values)) {
    if (value) next.set(name, value);
    else next.delete(name);
  }
  query = next.toString();
  history.replaceState(null, "", location.pathname + (query ? `?${query}` : ""));
}

/** Another tab of the page is another place: *back* leads to the one before. */
export function go(tab: string): void {
  query = new URLSearchParams({ tab }).toString();
  history.pushState(null, "", `${location.pathname}?${query}`);
}

addEventListener("popstate", () => (query = new URLSearchParams(location.search).toString()));
