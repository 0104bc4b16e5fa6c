/** What the counter hears from the service beside the shapes every page knows. */
import type { Centre, Ticket } from "@shared/words";

export interface Policy {
  classes: { id: Ticket["class"]; promise_s: number }[];
  calls_before_no_show: number;
}

export type Building = Centre & { policy: Policy };

export interface CounterTicket extends Ticket {
  note?: string | null;
  counter_number?: number | null;
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
}

/** The answer to a press at a counter; no ticket: nobody waits, or none is in hand. */
export interface PressReply extends Anchor {
  ticket: CounterTicket | null;
  counter: Seat;
}

/** Why this ticket was called, as the core recorded it. */
export interface Why {
  rule: string;
  waited_ms: number;
  considered: number;
}

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
  note?: string | null;
  taken_from?: string | null;
  open?: boolean;
  text?: string;
}
