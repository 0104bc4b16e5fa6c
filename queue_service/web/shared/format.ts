/** Times, waits and counters as people say them. Every function takes what it needs; none reads a clock. */
import { t, tn, type Language } from "./i18n.svelte";

/** 10:42, or 10:42:07 with seconds, in the centre's own time zone. */
export function clockTime(ms: number, timeZone: string, seconds = false): string {
  const options: Intl.DateTimeFormatOptions = { timeZone, hour: "2-digit", minute: "2-digit", hourCycle: "h23" };
  if (seconds) options.second = "2-digit";
  return new Intl.DateTimeFormat("en-GB", options).format(ms);
}

/** 2026-11-22 10:42, or with seconds, in the centre's own time zone: dates that sort, for tables. */
export function moment(ms: number, timeZone: string, seconds = false): string {
  return new Date(ms).toLocaleString("sv-SE", { timeZone }).slice(0, seconds ? 19 : 16);
}

export function longDate(ms: number, timeZone: string, language: Language): string {
  const text = new Intl.DateTimeFormat(language === "vi" ? "vi-VN" : "en-GB", {
    timeZone,
    weekday: "long",
    day: "numeric",
    month: "long",
    year: "numeric",
  }).format(ms);
  return text.charAt(0).toUpperCase() + text.slice(1);
}

/** 7 → "0:07", 75 → "1:15", 3700 → "1:01:40". */
export function stopwatch(seconds: number): string {
  const whole = Math.max(0, Math.floor(seconds));
  const two = (n: number) => String(n).padStart(2, "0");
  const [h, m, s] = [Math.floor(whole / 3600), Math.floor((whole % 3600) / 60), whole % 60];
  return h ? `${h}:${two(m)}:${two(s)}` : `${m}:${two(s)}`;
}

/** The expected wait as an interval in whole minutes: "khoảng 12–20 phút". An interval that begins at nothing says "under". */
export function waitRange(wait: { lo_s: number; hi_s: number }): string {
  const lo = Math.floor(wait.lo_s / 60);
  const hi = Math.max(1, Math.ceil(wait.hi_s / 60));
  if (lo < 1) return tn("shared.wait-under", hi);
  if (lo === hi) return tn("shared.wait-about", hi);
  return t("shared.wait-range", { lo, hi });
}

/** A search that forgives accents and case: "Đất đai" and "dat dai" fold to the same letters. */
export function fold(text: string): string {
  return text.normalize("NFD").replace(/\p{M}/gu, "").replace(/đ/g, "d").replace(/Đ/g, "D").toLowerCase();
}
