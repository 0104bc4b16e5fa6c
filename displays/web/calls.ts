/** What a board makes of its centre's view: its counters, their calls, who waits where, what the foot says. Pure: time is handed in. */
import { LANGUAGES, t, type Language } from "@shared/i18n.svelte";
import { matterOf, type BoardPlace, type BoardView, type Centre, type CounterPlace, type Department } from "@shared/words";
import type { Call } from "./stage";

/** How many wait for a department. */
export interface Line {
  department: Department;
  name: string;
  count: number;
}

export interface Said {
  language: Language;
  text: string;
}

/** The counters of this board, in the order of the centre; the feed tells of the whole centre. */
export function countersOf(centre: Centre | null, board: BoardPlace | null): Map<string, CounterPlace> {
  if (!centre || !board) return new Map();
  const own = centre.counters.filter(({ id, zone }) => (board.layout === "counter-top" ? id === board.counter : board.zones.includes(zone)));
  return new Map(own.map((counter) => [counter.id, counter]));
}

/** The newest call of each counter, newest first. */
export function callsOf(from: BoardView | null, known: ReadonlyMap<string, CounterPlace>, late: ReadonlySet<number>): Call[] {
  return Object.entries(from?.counters ?? {})
    .flatMap(([counter, entry]) =>
      known.has(counter) && entry.call !== null && entry.number !== null && entry.called_at_ms !== null
        ? {
            seq: entry.call,
            number: entry.number,
            counter,
            calledAtMs: entry.called_at_ms,
            rings: entry.rings ?? 1,
            language: entry.language,
            late: late.has(entry.call),
          }
        : [],
    )
    .sort((a, b) => b.seq - a.seq);
}

/** The departments whose own work is done at these counters, and how many wait there. */
export function waitingOf(centre: Centre, counters: ReadonlyMap<string, CounterPlace>, from: BoardView): Line[] {
  const own = new Set([...counters.values()].flatMap((counter) => counter.serves.filter((line) => line.level === 1).map((line) => line.service)));
  return centre.departments.flatMap((department) => {
    const services = centre.services.filter((service) => service.department === department.id && own.has(service.id));
    if (!services.length) return [];
    const count = services.reduce((sum, service) => sum + (from.waiting[service.id] ?? 0), 0);
    return [{ department, name: matterOf(centre, department).name, count }];
  });
}

const STANDING = ["board.notice-listen", "board.notice-missed", "board.notice-phone"] as const;
const LEAST_NOTICE_MS = 12_000;
const LETTERS_PER_S = 14;

/** What the foot says at `minute` ("2026-11-22 07:30", by the centre's clock): the board's own notices that are in time, then the standing ones. */
export function noticesOf(centre: Centre, board: BoardPlace, minute: string): Said[] {
  const own = board.notices
    .filter(({ from, until }) => (!from || from <= minute) && (!until || minute < until))
    .flatMap(({ text, text_en }): Said[] => [
      { language: "vi", text },
      ...(text_en && centre.languages.includes("en") ? [{ language: "en", text: text_en }] : []),
    ]);
  const languages = LANGUAGES.map(({ id }) => id).filter((id) => centre.languages.includes(id));
  return [...own, ...languages.flatMap((language) => STANDING.map((key) => ({ language, text: t(key, {}, language) })))];
}

/** Which of them stands there now: one after another, each long enough to be read twice by a slow reader; all boards say the same by the clock. */
export function noticeAt(notices: readonly Said[], nowMs: number): Said | undefined {
  const times = notices.map(({ text }) => Math.max(LEAST_NOTICE_MS, (2 * text.length * 1000) / LETTERS_PER_S));
  let into = nowMs % times.reduce((sum, time) => sum + time, 0);
  return notices.find((_, index) => (into -= times[index] ?? 0) < 0);
}

/** "2026-11-22 07:30" by the clock of `timeZone`. */
export function minuteOf(nowMs: number, timeZone: string): string {
  const options: Intl.DateTimeFormatOptions = { timeZone, dateStyle: "short", timeStyle: "short" };
  return new Intl.DateTimeFormat("sv-SE", options).format(nowMs);
}

export type Theme = "day" | "night";

export function themeOf(wish: string, hour: number): Theme {
  if (wish === "night") return "night";
  return wish === "auto" && (hour >= 18 || hour < 6) ? "night" : "day";
}
