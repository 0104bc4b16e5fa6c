/**
 * The words of the pages: one catalogue per language, the same keys and the same `{placeholders}` in each (a test compares them).
 * The chosen language is reactive: whatever calls `t` in a component is drawn again when it changes.
 */
import en from "@texts/en.json";
import vi from "@texts/vi.json";

export type Language = "vi" | "en";
export type Key = keyof typeof vi & keyof typeof en;
/** The stem of a pair of keys `<stem>.one`, `<stem>.other`, for words that follow a count. */
export type CountKey = Key extends infer K ? (K extends `${infer Stem}.other` ? Stem : never) : never;
export type Values = Record<string, string | number>;

export const LANGUAGES: { id: Language; name: string }[] = [
  { id: "vi", name: "Tiếng Việt" },
  { id: "en", name: "English" },
];

const catalogues: Record<Language, Record<string, string>> = { vi, en };

let chosen = $state<Language>("vi");

export function language(): Language {
  return chosen;
}

export function speak(id: Language): void {
  chosen = id;
  document.documentElement.lang = id;
}

const REMEMBERED = "qs.language";

/** The language this person chose on this machine last; for the pages of the staff. */
export function recallLanguage(): void {
  const kept = localStorage.getItem(REMEMBERED);
  if (LANGUAGES.some((one) => one.id === kept)) speak(kept as Language);
}

/** The same as `speak`, and remembered. */
export function rememberLanguage(id: Language): void {
  speak(id);
  localStorage.setItem(REMEMBERED, id);
}

/** The text of `key` in the chosen language, or in `as` for what must stay in its own language. */
export function t(key: Key, values: Values = {}, as: Language = chosen): string {
  return fill(catalogues[as][key] ?? key, values);
}

/** The text that fits `n`: English says "1 person, 2 people"; Vietnamese says the same twice. */
export function tn(stem: CountKey, n: number, values: Values = {}, as: Language = chosen): string {
  const form = as === "en" && n === 1 ? "one" : "other";
  return fill(catalogues[as][`${stem}.${form}`] ?? stem, { n, ...values });
}

/** The name of a thing of the centre in the chosen language; what has no English name keeps its own. */
export function nameOf(thing: { name: string; name_en?: string | null }): string {
  return chosen === "en" && thing.name_en ? thing.name_en : thing.name;
}

function fill(text: string, values: Values): string {
  return text.replace(/\{(\w+)\}/g, (whole, name: string) => String(values[name] ?? whole));
}
