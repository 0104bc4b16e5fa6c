/** What the control room hears from the service beside the shapes every page knows. */
import type { Centre, Issuing, Ticket } from "@shared/words";

export type Building = Centre & { policy: { classes: { id: Ticket["class"]; promise_s: number }[]; alarms?: { warn_share?: number } } };

/** Account → what its owner is called. */
export type Names = Record<string, string>;

export interface Placed {
  by: string;
  at_ms: number;
}

/** A ticket in the building, with what decides where it stands. */
export interface HallTicket extends Ticket {
  virtual_ms: number;
  order: string;
  lines: string[];
  placed: Placed | null;
}

export interface Seat {
  id: string;
  number: number;
  zone: string;
  state: "closed" | "open" | "paused" | "draining";
  officer: string | null;
  since_ms: number;
  reason: string | null;
  ticket: string | null;
}

/** What one service has done today. */
export interface Today {
  issued: number;
  called: number;
  waited_ms: number;
  served: number;
  no_show: number;
  cancelled: number;
}

export interface StateReply {
  epoch: string;
  seq: number;
  now_ms: number;
  day: string;
  issuing: Issuing;
  counters: (Seat & { in_hand: Ticket | null })[];
  lines: { service: string; class: Ticket["class"]; tickets: HallTicket[] }[];
  parked: HallTicket[];
  no_show: HallTicket[];
  today: Record<string, Today>;
  assigned: string[];
  names: Names;
}

export interface StaffEvent {
  type: string;
  epoch: string;
  seq: number;
  at_ms: number;
  actor: string;
  ticket?: string;
  number?: string;
  class?: Ticket["class"];
  department?: string;
  service?: string;
  from_service?: string;
  counter?: string;
  counters?: string[];
  lines?: string[];
  virtual_ms?: number;
  order?: string;
  officer?: string;
  draining?: boolean;
  was?: string;
  why?: { waited_ms: number };
  reason?: string;
  text?: string;
  to?: string[];
  serves?: Record<string, number>;
  open?: boolean;
  day?: string;
}

export interface Alarm {
  kind: string;
  since_ms: number;
  counter: string | null;
  service: string | null;
  /** A kiosk or a board. */
  device: string | null;
  /** By language; one that only the pages know falls back to Vietnamese. */
  says: Record<string, string>;
  do: Record<string, string>;
}

export interface Messages {
  messages: { message: number; at_ms: number; sender: string; counter: string | null; counter_number: number | null; text: string | null }[];
  help: { counter: string; counter_number: number | null; since_ms: number; officer: string; text: string | null }[];
  names: Names;
}

export interface PlanFigure {
  before: number;
  after: number;
  low: number;
  high: number;
}

export interface Plan {
  id: string;
  state: "playing" | "done" | "failed";
  result: { lines: { department: string; people: number; mean: PlanFigure; p90: PlanFigure; p95: PlanFigure }[] } | null;
}

/** What a supervisor may press. */
export type Action = "open" | "pause" | "close" | "assign" | "answer-help" | "place" | "cancel" | "revive" | "issuing" | "messages" | "messages/read";
