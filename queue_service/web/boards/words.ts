/** What supervisors hear about boards beside the shapes every page knows. */
import type { BoardPlace, BoardSettings } from "@shared/words";

export interface Entry {
  board: BoardPlace;
  /** Who last changed it while it runs; null: it is as the centre's file has it. */
  by: string | null;
  changed_at_ms: number | null;
  seen_at_ms: number | null;
  is_connected: boolean;
  screens: number;
  loudspeakers: number;
  builds: string[];
  shown_at_ms: number | null;
  lag_ms: number | null;
  spoken_at_ms: number | null;
  unspoken: "locked" | "away" | "broken" | null;
}

export interface BoardsReply {
  boards: Entry[];
  media: string[];
  build: string;
  now_ms: number;
}

export const LAYOUTS = ["calls", "counters", "departments", "counter-top"] as const;
export const THEMES = ["day", "night", "auto"] as const;

/** What a PUT takes: a board without its own name. */
export function settingsOf({ id: _id, name: _name, ...settings }: BoardPlace): BoardSettings {
  return structuredClone(settings);
}

/** Settings that mean the same have the same text. */
export const same = (a: BoardSettings, b: BoardSettings): boolean => text(a) === text(b);
const text = (settings: BoardSettings) => JSON.stringify(Object.entries(settings).sort(([a], [b]) => (a < b ? -1 : 1)));
