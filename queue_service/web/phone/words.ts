/**
 * The words of the phone page, and only these: a visitor pays for every byte. Otherwise as `@shared/i18n.svelte`, in the language of the ticket.
 */
import type catalogue from "@texts/vi.json";

type Words = Record<string, string>;

/** One file a language, as for the other pages. */
const catalogues = Object.fromEntries(
  Object.entries(import.meta.glob<Words>("@texts/*.json", { query: "?only=phone", eager: true, import: "default" })).map(([file, words]) => [
    file.replace(/^.*\/|\.json.*$/g, ""),
    words,
  ]),
);

export type Key = Extract<keyof typeof catalogue, `phone.${string}`>;

export function texts(language: string) {
  const english = language === "en";
  const words = catalogues[language] ?? catalogues["vi"] ?? {};
  const t = (key: Key, values: Record<string, string | number> = {}): string =>
    (words[key] ?? key).replace(/\{(\w+)\}/g, (whole, name: string) => String(values[name] ?? whole));
  return {
    t,
    nameOf: (thing: { name: string; name_en?: string | null }) => (english && thing.name_en ? thing.name_en : thing.name),
    /** "khoảng 12–20 phút": never one exact minute. */
    wait: ({ lo_s, hi_s }: { lo_s: number; hi_s: number }) => {
      const lo = Math.floor(lo_s / 60);
      const hi = Math.max(lo + 1, Math.ceil(hi_s / 60));
      return lo < 1 ? t("phone.wait-under", { hi }) : t("phone.wait-range", { lo, hi });
    },
  };
}

export function clockTime(ms: number, timeZone: string): string {
  return new Intl.DateTimeFormat("en-GB", { timeZone, hour: "2-digit", minute: "2-digit", hourCycle: "h23" }).format(ms);
}
