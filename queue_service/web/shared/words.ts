/** The shapes the server speaks in (JSON and MessagePack alike). Pages read them; only the server makes them. */

export interface Named {
  id: string;
  name: string;
  name_en?: string | null;
}

/** Whoever is signed in. */
export interface StaffUser {
  name: string;
  display_name: string;
  roles: string[];
  centres: string[];
}

export interface Department extends Named {
  letter: string;
  mode: "cluster" | "counter" | "department";
}

export interface Service extends Named {
  department: string;
  mean_service_s: number;
  purpose: "submit" | "collect" | "advice";
}

export interface CounterPlace {
  id: string;
  number: number;
  name: string;
  zone: string;
  serves: { service: string; level: number }[];
}

export type Layout = "calls" | "counters" | "departments" | "counter-top";

/** A sentence for the foot of a board; `from` and `until` are minutes of the centre's own clock, "2026-11-22 07:30", or empty. */
export interface Notice {
  text: string;
  text_en: string;
  from: string;
  until: string;
}

export interface BoardSettings {
  zones: string[];
  layout: Layout;
  /** The one counter of a counter-top display, else empty. */
  counter: string;
  theme: "day" | "night" | "auto";
  motto: string;
  logo: string;
  notices: Notice[];
  media: string[];
  picture_s: number;
  late_s: number;
  inches: number;
  distance_m: number;
  speaks: boolean;
}

export interface BoardPlace extends BoardSettings {
  id: string;
  name: string;
}

/** A stretch of a day in the centre's own time, "07:15" to "11:15". */
export interface Session {
  from: string;
  to: string;
}

export interface Centre extends Named {
  level: "province" | "commune";
  fictional: boolean;
  slogan: string;
  timezone: string;
  languages: string[];
  hours: { days: string[]; sessions: Session[]; ticket_sessions: Session[] };
  zones: Named[];
  departments: Department[];
  services: Service[];
  counters: CounterPlace[];
  boards: BoardPlace[];
  kiosks: { id: string; name: string; zone: string }[];
  desks: Named[];
  grounds: (Named & { cls: string })[];
  /** What is left out has its usual value. */
  policy?: { enforce_hours?: boolean };
  voice?: { enabled?: boolean };
  version: string | number;
  issuing: Issuing;
  day: string;
  /** Under which phones reach the pages. */
  public_url: string;
}

export interface Issuing {
  open: boolean;
  text: string;
}

export interface Ticket {
  id: string;
  number: string;
  department: string;
  service: string;
  class: "standard" | "priority" | "appointment";
  ground: string | null;
  state: "waiting" | "called" | "serving" | "served" | "no_show" | "parked" | "cancelled" | "expired";
  day: string;
  issued_at_ms: number;
  language: string;
  procedure: string | null;
  printed: boolean;
  announced: { counters: string[]; label: string; zone: string };
  ahead: number;
  wait: { lo_s: number; mid_s: number; hi_s: number } | null;
  counter: string | null;
  called_at_ms: number | null;
  rings: number;
  started_at_ms: number | null;
  ended_at_ms: number | null;
  park_reason: string | null;
}

/** What a counter shows; no call: all of them null. */
export interface BoardCall {
  state: "closed" | "open" | "paused" | "draining";
  number: string | null;
  called_at_ms: number | null;
  call: number | null;
  rings: number | null;
  ticket_state: string | null;
  language: string | null;
  department: string | null;
}

/** A call as the store keeps it (in `call_before` of an undone step). */
export interface StoredCall {
  number: string;
  at_ms: number;
  seq: number;
  rings: number;
  ticket_state: string;
  language?: string | null;
  department?: string | null;
}

export interface BoardView {
  day: string;
  issuing: Issuing;
  waiting: Record<string, number>;
  counters: Record<string, BoardCall>;
}

export interface PublicEvent {
  type: string;
  seq: number;
  at_ms: number;
  number?: string;
  department?: string;
  service?: string;
  from_department?: string;
  from_service?: string;
  counter?: string | null;
  counters?: string[];
  call?: number;
  rings?: number;
  language?: string;
  was?: string;
  now?: string;
  /** The lines a ticket enters or leaves, when it is not just that of its service; `left` beside `lines` when a step is undone or a supervisor moves it. */
  lines?: readonly string[];
  left?: readonly string[];
  call_before?: StoredCall | null;
  draining?: boolean;
  reason?: string | null;
  open?: boolean;
  text?: string;
  day?: string;
  version?: string | number;
}

/** Confirmations of one call: how many boards have shown it, how many have spoken it. */
export interface ShownCall {
  call: number;
  shown: number;
  spoken: number;
  /** On how many boards it should stand; null while nobody knows. */
  of: number | null;
  /** Names of the boards that did not confirm in time. */
  missing: string[];
}

/** A name without what stands in brackets behind it: "Sở Y tế (…)" → "Sở Y tế". */
export function plain({ id, name, name_en }: Named): Named {
  const cut = (text: string) => text.replace(/\s*\(.*\)\s*$/, "");
  return { id, name: cut(name), name_en: name_en ? cut(name_en) : null };
}

/** Whether a department hands out results, and nothing else: to visitors it is a desk, no office of its own. */
export function isCollect(centre: Centre, department: Department): boolean {
  const services = centre.services.filter((service) => service.department === department.id);
  return services.length > 0 && services.every((service) => service.purpose === "collect");
}

/** What people call a department: the matter it settles, where it settles just one, else its own name. */
export function matterOf(centre: Centre, department: Department): Named {
  const services = centre.services.filter((service) => service.department === department.id);
  return plain(services.length === 1 && services[0] ? services[0] : department);
}

export type Frame<View, Event> =
  | { type: "snapshot"; epoch: string; seq: number; recovered: false; view: View; now_ms: number; build?: string }
  | { type: "resumed"; epoch: string; seq: number; recovered: true; now_ms: number; build?: string }
  | { type: "event"; seq: number; at_ms: number; event: Event }
  | { type: "shown"; calls: ShownCall[] }
  | SpeakFrame
  /** To a board: it has other settings from now on. */
  /** Without settings: a change may have been missed, so that the page reads them. */
  | { type: "board"; board?: BoardPlace }
  /** `stale_since_ms`: since when the server itself cannot read what is true. */
  | { type: "tick"; seq: number; now_ms: number; stale_since_ms?: number };

/** Ring and say this now; without a sound there is only the chime. */
export interface SpeakFrame {
  type: "speak";
  /** Number of the event: one ring of one call. */
  seq: number;
  /** 1, or which repetition. */
  turn: number;
  number: string;
  counter: string;
  chime: boolean;
  /** Below the board's own address. */
  sound: string | null;
  /** To the end of the words. */
  ms: number;
  /** 0 to 1. */
  volume: number;
}

/** A procedure in a list. */
export interface ProcedureBrief {
  code: string;
  name: string;
  department: string;
  /** The field's name. */
  field: string;
  time_text: string;
  fee_text: string;
  online: "full" | "partial" | "none";
}

export interface Procedure {
  code: string;
  name: string;
  department: string;
  field: { code: string; name: string };
  time_text: string;
  fee_text: string;
  online: "full" | "partial" | "none";
  /** Left out when there are none. */
  documents?: { name: string; originals: number; copies: number }[];
  documents_total?: number;
}

export interface FieldCount {
  code: string;
  name: string;
  count: number;
}
