/**
 * What a centre's boards show, as a fold of its public events: the same fold as `displays/board.py`, event for event (a test runs both over the
 * same events and compares). Pure: knows no socket, no clock and no page, and leaves the view it was given as it was.
 *
 * A counter keeps its latest call until it calls again, closes, or the day advances. What says nothing is left out: a counter that is closed and
 * has no call, a line in which nobody waits.
 */
import type { BoardCall, BoardView, PublicEvent, StoredCall } from "./words";

const NO_CALL: Omit<BoardCall, "state"> = {
  number: null,
  called_at_ms: null,
  call: null,
  rings: null,
  ticket_state: null,
  language: null,
  department: null,
};

type Change = (view: BoardView, event: PublicEvent) => BoardView;

const CHANGES: Record<string, Change> = {
  TicketIssued: beginsToWait,
  TicketCalled: called,
  TicketRecalled: (view, event) => mark(view, event, { rings: event.rings ?? null }),
  ServiceStarted: (view, event) => mark(view, event, { ticket_state: "serving" }),
  TicketServed: (view, event) => mark(view, event, { ticket_state: "served" }),
  TicketNoShow: (view, event) => mark(view, event, { ticket_state: "no_show" }),
  TicketParked: (view, event) => mark(view, event, { ticket_state: "parked" }),
  TicketTransferred: (view, event) => beginsToWait(mark(view, event, { ticket_state: "waiting" }), event),
  TicketCancelled: givesUp,
  TicketExpired: givesUp,
  TicketRevived: beginsToWait,
  TicketPlaced: (view, event) => beginsToWait(wait(view, event.left ?? [], -1), event),
  StepUndone: stepUndone,
  CounterOpened: (view, event) => set(view, event.counter, { state: "open" }),
  CounterPaused: (view, event) => set(view, event.counter, { state: "paused" }),
  CounterClosed: (view, event) => set(view, event.counter, event.draining ? { state: "draining" } : { state: "closed", ...NO_CALL }),
  IssuingSwitched: (view, event) => ({ ...view, issuing: { open: event.open ?? true, text: event.text ?? "" } }),
  DayAdvanced: dayAdvanced,
};

/** The view after one public event; types that do not touch a board leave it as it is. */
export function apply(view: BoardView, event: PublicEvent): BoardView {
  return CHANGES[event.type]?.(view, event) ?? view;
}

/** Change what a counter shows; a counter not in the view is closed and has no call. */
function set(view: BoardView, counter: string | null | undefined, changed: Partial<BoardCall>): BoardView {
  if (!counter) return view;
  const seat: BoardCall = { ...(view.counters[counter] ?? { state: "closed", ...NO_CALL }), ...changed };
  const counters = { ...view.counters };
  if (seat.state === "closed" && seat.number === null) delete counters[counter];
  else counters[counter] = seat;
  return { ...view, counters };
}

/** Change the call a counter shows, if it still shows the one of this ticket. */
function mark(view: BoardView, event: PublicEvent, changed: Partial<BoardCall>): BoardView {
  const seat = event.counter ? view.counters[event.counter] : undefined;
  return seat && seat.number === event.number ? set(view, event.counter, changed) : view;
}

function wait(view: BoardView, services: readonly string[], people: number): BoardView {
  const waiting = { ...view.waiting };
  for (const service of services) {
    const now = (waiting[service] ?? 0) + people;
    if (now) waiting[service] = now;
    else delete waiting[service];
  }
  return { ...view, waiting };
}

/** The lines a ticket enters or leaves: usually that of its service, several when it may be called for any of them. */
function lines(event: PublicEvent): readonly string[] {
  return event.lines ?? (event.service ? [event.service] : []);
}

function beginsToWait(view: BoardView, event: PublicEvent): BoardView {
  return wait(view, lines(event), 1);
}

function givesUp(view: BoardView, event: PublicEvent): BoardView {
  return event.was === "waiting" ? wait(view, lines(event), -1) : view;
}

function called(view: BoardView, event: PublicEvent): BoardView {
  return set(givesUp(view, event), event.counter, {
    number: event.number ?? null,
    called_at_ms: event.at_ms,
    call: event.call ?? null,
    rings: 1,
    ticket_state: "called",
    language: event.language ?? null,
    department: event.department ?? null,
  });
}

function stepUndone(view: BoardView, event: PublicEvent): BoardView {
  const back = wait(wait(view, event.left ?? [], -1), event.lines ?? [], 1);
  return set(back, event.counter, shown(event.call_before));
}

function dayAdvanced(view: BoardView, event: PublicEvent): BoardView {
  const next: BoardView = { ...view, day: event.day ?? view.day };
  return Object.keys(view.counters).reduce((before, counter) => set(before, counter, NO_CALL), next);
}

/** The fields of a stored call under the names of the view. */
function shown(call: StoredCall | null | undefined): Omit<BoardCall, "state"> {
  if (!call) return NO_CALL;
  return {
    number: call.number,
    called_at_ms: call.at_ms,
    call: call.seq,
    rings: call.rings,
    ticket_state: call.ticket_state,
    language: call.language ?? null,
    department: call.department ?? null,
  };
}
