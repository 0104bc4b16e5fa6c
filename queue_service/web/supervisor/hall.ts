/**
 * The hall as its events tell it: a fold of the staff feed over one reading of everything. Pure: knows no socket, no clock and no page. What an event
 * does not say in full (a step taken back, another configuration, another day) is read again: `apply` then answers null.
 */
import type { Issuing } from "@shared/words";
import type { HallTicket, Names, Seat, StaffEvent, StateReply, Today } from "./words";

export interface Hall {
  epoch: string;
  seq: number;
  day: string;
  issuing: Issuing;
  seats: Record<string, Seat>;
  /** Who waits, is at a counter, parked or absent; and who has given up since this page looks. */
  tickets: Record<string, HallTicket>;
  today: Record<string, Today>;
  assigned: string[];
  names: Names;
}

const NOTHING: Today = { issued: 0, called: 0, waited_ms: 0, served: 0, no_show: 0, cancelled: 0 };
const READ_AGAIN = new Set(["StepUndone", "DayAdvanced", "CentreChanged", "EpochRenewed"]);

export function hallOf(reply: StateReply): Hall {
  const hall: Hall = { ...reply, seats: {}, tickets: {} };
  for (const { in_hand, ...seat } of reply.counters) {
    hall.seats[seat.id] = seat;
    if (in_hand) hall.tickets[in_hand.id] = { ...in_hand, virtual_ms: in_hand.issued_at_ms, order: "", lines: [], placed: null };
  }
  for (const ticket of [...reply.lines.flatMap((line) => line.tickets), ...reply.parked, ...reply.no_show]) hall.tickets[ticket.id] = ticket;
  return hall;
}

/** The hall after *event*; itself when it has seen it, null when it must be read again. */
export function apply(hall: Hall, event: StaffEvent): Hall | null {
  if (event.epoch !== hall.epoch || event.seq > hall.seq + 1 || READ_AGAIN.has(event.type)) return null;
  if (event.seq <= hall.seq) return hall;
  return change({ ...hall, seq: event.seq }, event);
}

function change(hall: Hall, event: StaffEvent): Hall {
  switch (event.type) {
    case "TicketIssued":
      return count(stand(hall, event), event, { issued: 1 });
    case "TicketRevived":
      return count(stand(hall, event), event, event.was === "no_show" ? { no_show: -1 } : event.was === "cancelled" ? { cancelled: -1 } : {});
    case "TicketPlaced":
      return count(stand(hall, event, { placed: { by: event.actor, at_ms: event.at_ms } }), event, event.was === "no_show" ? { no_show: -1 } : {});
    case "TicketMovedBack":
      return stand(hall, event, { placed: null });
    case "TicketReassigned":
      return stand(hall, event);
    case "TicketTransferred":
      return stand(free(hall, event), event, { placed: null });
    case "TicketCalled":
      return count(called(hall, event), event, { called: 1, waited_ms: Math.max(event.why?.waited_ms ?? 0, 0) });
    case "ServiceStarted":
      return ticket(hall, event, { state: "serving", started_at_ms: event.at_ms });
    case "TicketServed":
      return count(leave(free(hall, event), event), event, { served: 1 });
    case "TicketNoShow":
      return count(ticket(free(hall, event), event, { state: "no_show", ended_at_ms: event.at_ms }), event, { no_show: 1 });
    case "TicketParked":
      return ticket(free(hall, event), event, { state: "parked", ended_at_ms: event.at_ms, park_reason: event.reason ?? null });
    case "TicketCancelled":
      return count(ticket(hall, event, { state: "cancelled", ended_at_ms: event.at_ms }), event, { cancelled: 1 });
    case "TicketExpired":
      return leave(hall, event);
    case "CounterOpened":
      return seat(hall, event, { state: "open", officer: account(event.officer ?? event.actor), reason: null, since_ms: event.at_ms });
    case "CounterPaused":
      return seat(hall, event, { state: "paused", reason: event.reason ?? null, since_ms: event.at_ms });
    case "CounterClosed":
      return closed(hall, event);
    case "IssuingSwitched":
      return { ...hall, issuing: { open: event.open ?? true, text: event.text ?? "" } };
    default:
      return hall;
  }
}

function stand(hall: Hall, event: StaffEvent, more: Partial<HallTicket> = {}): Hall {
  const { ticket: id, number, department, service, virtual_ms, order } = event;
  if (!id || !service) return hall;
  const before = hall.tickets[id] ?? ({ id, issued_at_ms: event.at_ms, placed: null } as HallTicket);
  const standing = { number, department, service, class: event.class, virtual_ms, order, lines: event.lines ?? [service] } as Partial<HallTicket>;
  const now = { ...before, ...standing, state: "waiting", counter: null, called_at_ms: null, park_reason: null, ...more } as HallTicket;
  return { ...hall, tickets: { ...hall.tickets, [id]: now } };
}

function ticket(hall: Hall, event: StaffEvent, changed: Partial<HallTicket>): Hall {
  const before = event.ticket ? hall.tickets[event.ticket] : undefined;
  return before ? { ...hall, tickets: { ...hall.tickets, [before.id]: { ...before, ...changed } } } : hall;
}

function leave(hall: Hall, event: StaffEvent): Hall {
  const tickets = { ...hall.tickets };
  delete tickets[event.ticket ?? ""];
  return { ...hall, tickets };
}

function seat(hall: Hall, event: StaffEvent, changed: Partial<Seat>): Hall {
  const before = hall.seats[event.counter ?? ""];
  return before ? { ...hall, seats: { ...hall.seats, [before.id]: { ...before, ...changed } } } : hall;
}

function called(hall: Hall, event: StaffEvent): Hall {
  const { service, department } = event;
  const known = hall.tickets[event.ticket ?? ""] ? hall : stand(hall, { ...event, virtual_ms: event.at_ms, order: "" });
  const changed = { state: "called", counter: event.counter, called_at_ms: event.at_ms, service, department, park_reason: null } as Partial<HallTicket>;
  return seat(ticket(known, event, changed), event, { ticket: event.ticket ?? null });
}

function free(hall: Hall, event: StaffEvent): Hall {
  const before = hall.seats[event.counter ?? ""];
  return seat(hall, event, before?.state === "closed" ? { ticket: null, officer: null } : { ticket: null });
}

function closed(hall: Hall, event: StaffEvent): Hall {
  const before = hall.seats[event.counter ?? ""];
  if (event.draining) return seat(hall, event, { state: "draining", reason: null, since_ms: event.at_ms });
  return seat(hall, event, { state: "closed", reason: null, since_ms: event.at_ms, officer: before?.ticket ? before.officer : null });
}

function count(hall: Hall, event: StaffEvent, more: Partial<Today>): Hall {
  if (!event.service) return hall;
  const today = { ...(hall.today[event.service] ?? NOTHING) };
  for (const [name, n] of Object.entries(more) as [keyof Today, number][]) today[name] = Math.max(0, today[name] + n);
  return { ...hall, today: { ...hall.today, [event.service]: today } };
}

/** `staff:lan` → `lan`. */
export function account(actor: string): string {
  return actor.slice(actor.indexOf(":") + 1);
}

/** What the owner of an account is called; where nobody has said, the account without the centre's id in front. */
export function nameIn(centre: { id: string }, account: string, names: Names): string {
  if (names[account]) return names[account];
  return account.startsWith(`${centre.id}.`) ? account.slice(centre.id.length + 1) : account;
}

export function inState(hall: Hall, ...states: HallTicket["state"][]): HallTicket[] {
  return Object.values(hall.tickets).filter((each) => states.includes(each.state));
}

/** Those who wait for *service*, in the order in which they are due: the same as `ahead` counts. */
export function lineOf(hall: Hall, service: string, promiseMs: Record<string, number>): HallTicket[] {
  const due = (each: HallTicket) => each.virtual_ms + (promiseMs[each.class] ?? 0);
  const waiting = inState(hall, "waiting").filter((each) => each.lines.includes(service));
  return waiting.sort((a, b) => due(a) - due(b) || (a.order < b.order ? -1 : 1));
}

export function total(today: Record<string, Today>): Today {
  const sum = { ...NOTHING };
  for (const each of Object.values(today)) for (const name of Object.keys(sum) as (keyof Today)[]) sum[name] += each[name];
  return sum;
}

/** What supervisors did, of *events* in order: what only they may, and presses at a counter where somebody else sits. */
export function supervised(events: StaffEvent[]): StaffEvent[] {
  const officers: Record<string, string | undefined> = {};
  return events.filter((event) => {
    const counter = event.counter ?? "";
    const sitting = officers[counter];
    if (event.type === "CounterOpened") officers[counter] = event.officer ?? event.actor;
    switch (event.type) {
      case "TicketPlaced":
      case "CounterAssigned":
      case "IssuingSwitched":
      case "HelpAnswered":
        return event.actor !== sitting;
      case "MessageSent":
        return !event.counter;
      case "DayAdvanced":
      case "TicketCancelled":
        return event.actor.startsWith("staff:");
      case "TicketRevived":
        return event.actor.startsWith("staff:") && event.was !== undefined && event.reason !== undefined;
      case "CounterOpened":
        return event.officer !== undefined && event.officer !== event.actor;
      case "CounterPaused":
      case "CounterClosed":
        return event.actor.startsWith("staff:") && sitting !== undefined && sitting !== event.actor;
      default:
        return false;
    }
  });
}
