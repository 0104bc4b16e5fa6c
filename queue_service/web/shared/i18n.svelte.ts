/**
 * The words of the pages: one catalogue per language, the same keys and the same `{placeholders}` in each (a test compares them).
 * The chosen language is reactive: whatever calls `t` in a component is drawn again when it changes.
 */
import vi from "@texts/vi.json";

/** Its code, as the file of its catalogue is named. */
export type Language = string;
export type Key = keyof typeof vi;
/** The stem of a pair of keys `<stem>.one`, `<stem>.other`, for words that follow a count. */
export type CountKey = Key extends infer K ? (K extends `${infer Stem}.other` ? Stem : never) : never;
export type Values = Record<string, string | number>;

type Catalogue = Record<string, string>;

/** One file a language: who adds a catalogue has added a language. */
const catalogues: Record<Language, Catalogue> = Object.fromEntries(
  Object.entries(import.meta.glob<Catalogue>("@texts/*.json", { eager: true, import: "default" })).map(([file, words]) => [
    file.replace(/^.*\/|\.json$/g, ""),
    words,
  ]),
);

/** Vietnamese first. */
export const LANGUAGES: { id: Language; name: string }[] = Object.entries(catalogues)
  .map(([id, words]) => ({ id, name: words["shared.language-name"] ?? id }))
  .sort((a, b) => Number(b.id === "vi") - Number(a.id === "vi") || a.id.localeCompare(b.id));

let chosen = $state<Language>("vi");

/** The language of a ticket, as far as there are words for it, and the one beside it where two stand together. */
export function pairOf(language: string | null | undefined): [Language, Language] {
  const first = language && language in catalogues ? language : "vi";
  return [first, first === "vi" ? "en" : "vi"];
}

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
  return fill(word(as, key), values);
}

/** The text that fits `n`: English says "1 person, 2 people"; Vietnamese says the same twice. */
export function tn(stem: CountKey, n: number, values: Values = {}, as: Language = chosen): string {
  const form = as === "en" && n === 1 ? "one" : "other";
  return fill(word(as, `${stem}.${form}`), { n, ...values });
}

/** The name of a thing of the centre in the chosen language; what has no English name keeps its own. */
export function nameOf(thing: { name: string; name_en?: string | null }): string {
  return chosen === "en" && thing.name_en ? thing.name_en : thing.name;
}

/** Whether there is such a text, for words that the service names. */
export function isKey(key: string): key is Key {
  return key in vi;
}

/** What the texts know of one kind, in their order: `wordsOf("admin.role")` are the roles. */
export function wordsOf(kind: Key): string[] {
  return Object.keys(vi).flatMap((key) => (key.startsWith(`${kind}-`) ? [key.slice(kind.length + 1)] : []));
}

/** What a catalogue lacks stands there in Vietnamese. */
function word(as: Language, key: string): string {
  return catalogues[as]?.[key] ?? catalogues["vi"]?.[key] ?? key;
}

function fill(text: string, values: Values): string {
  return text.replace(/\{(\w+)\}/g, (whole, name: string) => String(values[name] ?? whole));
}
