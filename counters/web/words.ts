/** What the counter hears from the service beside the shapes every page knows. */
import type { Centre, Ticket } from "@shared/words";

export interface Policy {
  classes: { id: Ticket["class"]; promise_s: number }[];
  calls_before_no_show: number;
  /** Whether officers say what was done when they complete. */
  record: "off" | "optional" | "required";
  outcomes: { id: string; name: string; name_en: string }[];
}

export type Building = Centre & { policy: Policy };

export interface CounterTicket extends Ticket {
  note?: string | null;
  counter_number?: number | null;
  /** When a parked visitor means to be back. */
  park_until_ms?: number | null;
  /** A supervisor decided where it stands. */
  placed?: Placed | null;
}

export interface Placed {
  reason?: string;
}

/** A message to this counter that nobody has read yet. */
export interface StaffMessage {
  message: number;
  at_ms: number;
  sender: string;
  text: string | null;
  /** The call for help that it answers. */
  answers: number | null;
}

/** A procedure of the catalogue, as lists show it. */
export interface ProcedureItem {
  code: string;
  name: string;
}

export interface Seat {
  id: string;
  number: number;
  zone: string;
  state: "closed" | "open" | "paused" | "draining";
  officer: string | null;
  since_ms: number;
  reason: string | null;
  ready: boolean;
  ticket: string | null;
  undo: { press: string; until_ms: number } | null;
}

export interface Line {
  service: string;
  department: string;
  level: number;
  waiting: number;
  priority: number;
  appointments: number;
  oldest_at_ms: number | null;
}

/** Where in the event order an answer stands. */
export interface Anchor {
  epoch: string;
  seq: number;
  now_ms: number;
}

/** Everything one officer sees. */
export interface DeskView extends Anchor {
  counter: Seat;
  ticket: CounterTicket | null;
  lines: Line[];
  next: CounterTicket | null;
  parked: CounterTicket[];
  recent: CounterTicket[];
  messages: StaffMessage[];
  /** The call for help that nobody has answered. */
  help: { message: number; since_ms: number; text: string | null } | null;
  names: Names;
}

/** Account → what its owner is called. */
export type Names = Record<string, string>;

/** Who sits where. */
export interface Seats {
  counters: Seat[];
  names: Names;
}

/** The answer to a press at a counter; no ticket: nobody waits, or none is in hand. */
export interface CounterReply extends Anchor {
  ticket: CounterTicket | null;
  counter: Seat;
}

/** The answer to a press: one about a message moves nobody. */
export type PressReply = CounterReply | (Anchor & { message: number });

/** Why this ticket was called, as the core recorded it. */
export interface Why {
  rule: string;
  class?: Ticket["class"];
  /** How much faster this class ages than the standard one. */
  ratio?: number;
  waited_ms: number;
  considered: number;
  placed?: Placed;
}

/** The same with what the officer who chose the ticket said. */
export type Told = Why & { reason?: string | null };

export interface StaffEvent {
  type: string;
  seq: number;
  at_ms: number;
  ticket?: string;
  number?: string;
  service?: string;
  from_service?: string;
  counter?: string | null;
  counters?: string[];
  call?: number;
  why?: Why;
  /** What the officer who chose the ticket said. */
  reason?: string | null;
  note?: string | null;
  taken_from?: string | null;
  to?: string[];
  answers?: number;
  open?: boolean;
  text?: string;
}
