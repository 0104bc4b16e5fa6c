/**
 * Which presses make sense now, and which one the large key stands for. Pure, and the same rules as `counters/press.py`: what the service would
 * refuse for the ticket's state is never offered.
 */
import type { DeskView } from "./words";

export type Action =
  | "open"
  | "pause"
  | "close"
  | "call-next"
  | "call"
  | "recall"
  | "start"
  | "complete"
  | "no-show"
  | "park"
  | "resume"
  | "transfer"
  | "note"
  | "ask-help"
  | "answer-help"
  | "message"
  | "mark-read"
  | "undo";

export function liveActions(view: DeskView, now: number): Set<Action> {
  const { counter, ticket } = view;
  const live = new Set<Action>();
  const seated = counter.state !== "closed" || ticket !== null;
  if (counter.state === "open" || counter.state === "draining") live.add("pause");
  if (counter.state !== "open") live.add("open");
  if (counter.state !== "closed") live.add("close").add("ask-help");
  if (ticket) {
    live.add("complete").add("park").add("transfer").add("note");
    if (ticket.state === "called") live.add("start").add("recall").add("no-show");
  } else if (counter.state === "open" || counter.state === "draining") {
    live.add("call-next").add("call");
    if (view.parked.length) live.add("resume");
  }
  if (seated) live.add("message");
  if (view.help) live.add("answer-help");
  if (view.messages.length) live.add("mark-read");
  if (counter.undo && now < counter.undo.until_ms) live.add("undo");
  return live;
}

/** The natural next press: call, then start, then complete. */
export function primaryAction(view: DeskView): Action {
  if (view.ticket) return view.ticket.state === "called" ? "start" : "complete";
  return view.counter.state === "open" || view.counter.state === "draining" ? "call-next" : "open";
}

/** How often the visitor must still be announced before absence counts. */
export function ringsLeft(view: DeskView, needed: number): number {
  return view.ticket?.state === "called" ? Math.max(0, needed - view.ticket.rings) : 0;
}

export type Pressure = "ok" | "warn" | "late";

/** How near a span of time is to its limit. */
export function pressure(seconds: number, limit: number): Pressure {
  if (seconds >= limit) return "late";
  return seconds >= limit * 0.75 ? "warn" : "ok";
}

/**
 * The printed numbers that typed digits may mean at this counter: letters of its own work first. A number typed with its letter means itself.
 */
export function numbersMeant(typed: string, letters: string[]): string[] {
  const [, letter = "", digits = ""] = /^([A-Za-z]?)(\d{1,4})$/.exec(typed.trim()) ?? [];
  if (!digits) return [];
  const padded = digits.padStart(3, "0");
  return letter ? [letter.toUpperCase() + padded] : letters.map((each) => each + padded);
}
