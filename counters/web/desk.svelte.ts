/**
 * What the officer sees, and only ever forwards: answers carry their place in the event order, and one that is older than what is on the glass is
 * left aside. Read again when an event concerns this counter or its lines, at most three times a second, and otherwise every ten seconds.
 */
import { NoAnswer, Refused } from "@shared/api";
import type { Hall } from "./hall";
import type { Anchor, CounterReply, DeskView, StaffEvent } from "./words";

const NOT_MORE_OFTEN_MS = 334;
const AT_LEAST_EVERY_MS = 10_000;

/** Whether *answer* may replace what is shown. Another epoch is another order: there the later question wins, which is the caller's to know. */
export function isNewer(answer: Anchor, shown: Anchor | null): boolean {
  if (!shown || answer.epoch !== shown.epoch) return true;
  return answer.seq > shown.seq || (answer.seq === shown.seq && answer.now_ms >= shown.now_ms);
}

/** The view after the answer to a press: the seat as answered, the ticket only while it is at the counter. */
export function fold(view: DeskView, reply: CounterReply): DeskView {
  const { ticket, counter } = reply;
  const inHand = ticket && counter.ticket === ticket.id ? ticket : null;
  const parked = view.parked.filter((other) => other.id !== ticket?.id);
  if (ticket?.state === "parked") parked.push(ticket);
  const next = ticket && view.next?.id === ticket.id ? null : view.next;
  return { ...view, epoch: reply.epoch, seq: reply.seq, now_ms: reply.now_ms, counter, ticket: inHand, parked, next };
}

export class Desk {
  view = $state.raw<DeskView | null>(null);
  refusal = $state.raw<Refused | null>(null);
  /** The service's clock minus `performance.now()`, which no hand sets. */
  offset = $state(0);
  private questions = 0;
  private answered = 0;
  private lastAsked = -Infinity;
  private asking = false;
  private wanted = false;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private stopped = false;

  constructor(
    private readonly hall: Hall,
    private readonly path: string,
    private readonly signedOut: () => void,
  ) {}

  start(): void {
    this.stopped = false;
    this.refresh();
  }

  stop(): void {
    this.stopped = true;
    clearTimeout(this.timer);
  }

  /** Something happened: look again, soon but not too often. */
  refresh(): void {
    if (this.stopped) return;
    if (this.asking) {
      this.wanted = true;
      return;
    }
    this.askIn(Math.max(0, this.lastAsked + NOT_MORE_OFTEN_MS - performance.now()));
  }

  /** Whether an event may change what this desk shows. */
  concerns(event: StaffEvent): boolean {
    const view = this.view;
    if (!view) return true;
    const services = view.lines.map((line) => line.service);
    return (
      event.counter === view.counter.id ||
      event.to?.includes(view.counter.id) ||
      (event.service !== undefined && services.includes(event.service)) ||
      (event.from_service !== undefined && services.includes(event.from_service)) ||
      (event.ticket !== undefined && view.parked.some((ticket) => ticket.id === event.ticket)) ||
      ["DayAdvanced", "CentreChanged", "EpochRenewed", "TicketReassigned", "IssuingSwitched"].includes(event.type)
    );
  }

  take(reply: CounterReply): void {
    this.questions += 1;
    this.answered = this.questions;
    if (this.view && isNewer(reply, this.view)) this.view = fold(this.view, reply);
  }

  private askIn(ms: number): void {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => void this.ask(), ms);
  }

  private async ask(): Promise<void> {
    this.asking = true;
    this.wanted = false;
    this.lastAsked = performance.now();
    const question = (this.questions += 1);
    try {
      const view = await this.hall.read<DeskView>(this.path);
      const sameOrder = view.epoch === this.view?.epoch;
      if (isNewer(view, this.view) && (sameOrder || question > this.answered)) {
        this.answered = question;
        this.view = view;
        this.offset = view.now_ms - performance.now();
      }
      this.refusal = null;
    } catch (error) {
      if (error instanceof Refused && error.status === 401) this.signedOut();
      else if (error instanceof Refused) this.refusal = error;
      else if (!(error instanceof NoAnswer)) throw error;
    } finally {
      this.asking = false;
      if (!this.stopped) this.askIn(this.wanted ? NOT_MORE_OFTEN_MS : AT_LEAST_EVERY_MS);
    }
  }
}
