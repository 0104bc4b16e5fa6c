/** When numbers are given next, from the centre's hours. Pure: time is handed in. */
import type { Centre, Session } from "./words";

const DAYS = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

export interface Opening {
  /** 0 is today. */
  inDays: number;
  /** 0 is Sunday. */
  weekday: number;
  time: string;
}

/** The next start of a ticket session; null when one is running now, or none ever comes. */
export function nextOpening(hours: Centre["hours"], ms: number, timeZone: string): Opening | null {
  const { weekday, time } = localTime(ms, timeZone);
  const isRunning = (session: Session) => session.from <= time && time < session.to;
  if (hours.days.includes(DAYS[weekday] ?? "") && hours.ticket_sessions.some(isRunning)) return null;
  for (let inDays = 0; inDays <= 7; inDays += 1) {
    const day = (weekday + inDays) % 7;
    if (!hours.days.includes(DAYS[day] ?? "")) continue;
    const starts = hours.ticket_sessions.map((session) => session.from).sort();
    const next = starts.find((start) => inDays > 0 || start > time);
    if (next) return { inDays, weekday: day, time: next };
  }
  return null;
}

function localTime(ms: number, timeZone: string): { weekday: number; time: string } {
  const parts = new Intl.DateTimeFormat("en-GB", { timeZone, weekday: "short", hour: "2-digit", minute: "2-digit", hourCycle: "h23" })
    .formatToParts(ms)
    .reduce<Record<string, string>>((found, part) => ({ ...found, [part.type]: part.value }), {});
  return { weekday: DAYS.indexOf((parts.weekday ?? "").slice(0, 3).toLowerCase()), time: `${parts.hour}:${parts.minute}` };
}
