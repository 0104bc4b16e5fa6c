/**
 * What a board knows: its settings, the view, who holds the stage, which calls were missed. It draws nothing and speaks to nobody: a screen of the
 * hall (`screen.svelte.ts`) or a preview tells it what happens, and the layouts read it and mark what shows a call with `data-call`.
 */
import { SvelteSet } from "svelte/reactivity";
import { apply } from "@shared/board";
import type { Link } from "@shared/feed";
import type { Refused } from "@shared/api";
import type { BoardPlace, BoardView, Centre, PublicEvent } from "@shared/words";
import { callsOf, countersOf, waitingOf } from "./calls";
import { advance, EMPTY, isFresh, offer, passOver, withdraw, type Call, type Stage } from "./stage";

const CLOCK_MS = 250;
/** So long after the last call the stage may be lent to pictures. */
const QUIET_MS = 20_000;
const MOST_MISSED = 200;

export class Hall {
  centre = $state.raw<Centre | null>(null);
  board = $state.raw<BoardPlace | null>(null);
  view = $state.raw<BoardView | null>(null);
  stage = $state.raw<Stage>(EMPTY);
  link = $state.raw<Link>({ state: "connecting", sinceMs: Date.now() });
  refusal = $state.raw<Refused | null>(null);
  now = $state(Date.now());
  offset = $state(0);
  /** Calls that reached this board late, or were over before they were drawn, oldest first, until each has stood on the glass. */
  missed = $state.raw<readonly Call[]>([]);

  /** Calls that arrived late keep the word for it wherever they stand. */
  private readonly late = new SvelteSet<number>();
  /** Calls up to this one have had their turn on the stage or in its queue. */
  protected seen = -1;
  protected epoch = "";
  private clock: ReturnType<typeof setInterval> | undefined;

  readonly zone = $derived(this.centre?.timezone ?? "Asia/Ho_Chi_Minh");
  readonly counters = $derived(countersOf(this.centre, this.board));
  readonly calls = $derived(callsOf(this.view, this.counters, this.late));
  readonly waiting = $derived(this.centre && this.view ? waitingOf(this.centre, this.counters, this.view) : []);
  readonly fresh = $derived(isFresh(this.stage, this.now));
  readonly lost = $derived(this.link.state === "lost" || this.link.state === "refused");
  /** A ring is one turn of one call on the stage. */
  readonly ring = $derived(this.stage.on ? `${this.stage.on.seq}.${this.stage.on.rings}` : "");
  /** Nobody was called for a while: pictures may have the room that calls do not need now. */
  readonly quiet = $derived(!this.lost && !this.stage.queue.length && !this.missed.length && this.now - this.stage.sinceMs > QUIET_MS);

  /** No call is fresh or waits for its turn: the page may be loaded anew. */
  get idle(): boolean {
    return !isFresh(this.stage, this.now) && !this.stage.queue.length && !this.missed.length;
  }

  start(): void {
    this.clock = setInterval(() => this.tick(), CLOCK_MS);
  }

  stop(): void {
    clearInterval(this.clock);
  }

  /** The server's clock minus this machine's. */
  setClock(offsetMs: number): void {
    this.offset = offsetMs;
    this.now = Date.now() + offsetMs;
  }

  /** Its turn in the room of missed calls is over. */
  passed(seqs: readonly number[]): void {
    this.missed = this.missed.filter((call) => !seqs.includes(call.seq));
  }

  /** Everything as it is now; calls that came since this board last looked have their turn. */
  begin(snapshot: BoardView, epoch: string): void {
    if (epoch !== this.epoch) this.forget(epoch);
    this.view = snapshot;
    this.stage = { ...this.stage, queue: [] };
    const arrived = [...this.calls].reverse();
    const firstLook = this.seen < 0;
    for (const call of arrived) {
      const isLate = this.isLate(call.calledAtMs);
      if (call.seq > this.seen && !(firstLook && isLate)) this.receive(call, call.seq, call.calledAtMs);
      else if (isLate) this.late.add(call.seq);
    }
    const newest = this.calls[0] ?? null;
    const held = this.stage.on && arrived.some((call) => call.seq === this.stage.on?.seq);
    if (!held && !this.stage.queue.length) this.stage = { on: newest, sinceMs: newest ? newest.calledAtMs : 0, queue: [] };
    this.seen = Math.max(this.seen, newest?.seq ?? 0);
  }

  /** The next event, in order. */
  take(event: PublicEvent, seq: number): void {
    if (!this.view) return;
    this.view = apply(this.view, event);
    for (const call of this.undrawn()) if (call.counter === event.counter && this.hasCome(call)) this.miss(call);
    if (event.type === "TicketCalled" || event.type === "TicketRecalled") {
      const call = this.calls.find((candidate) => candidate.counter === event.counter);
      if (call) this.receive(call, seq, event.at_ms);
    }
    const shown = [...(this.stage.on ? [this.stage.on] : []), ...this.stage.queue, ...this.missed];
    for (const call of shown) if (this.isTakenBack(call)) this.drop(call.seq);
    // Whatever no longer shows anywhere needs no word any more.
    const known = new Set([...this.calls, ...this.missed].map((call) => call.seq));
    for (const late of this.late) if (!known.has(late)) this.late.delete(late);
  }

  protected tick(): void {
    this.now = Date.now() + this.offset;
    const undrawn = new Set([...this.undrawn()].map(({ seq }) => seq));
    this.stage = advance(passOver(this.stage, (call) => this.hasCome(call) && !undrawn.has(call.seq)), this.now);
  }

  /** The order of events began anew: nothing of what was known holds. */
  protected forget(epoch: string): void {
    this.epoch = epoch;
    this.seen = -1;
    this.stage = EMPTY;
    this.missed = [];
    this.late.clear();
  }

  protected receive(call: Call, _eventSeq: number, ringMs: number): Call {
    const late = this.isLate(ringMs);
    const received = { ...call, late };
    if (late) {
      this.late.add(call.seq);
      this.miss(received);
    } else {
      this.late.delete(call.seq);
    }
    this.seen = Math.max(this.seen, call.seq);
    this.stage = offer(this.stage, received, this.now);
    return received;
  }

  protected drop(seq: number): void {
    this.stage = withdraw(this.stage, seq, this.calls[0] ?? null, this.now);
    this.passed([seq]);
  }

  /** Calls that nobody could see yet. */
  protected undrawn(): Iterable<Call> {
    return [];
  }

  /** No row may have it any more, or it is too old for the stage: the room of missed calls shows it. A desk's own screen has no such room. */
  private miss(call: Call): void {
    if (this.board?.layout === "counter-top") return;
    this.missed = [...this.missed.filter((other) => other.seq !== call.seq), call].slice(-MOST_MISSED);
  }

  private isLate(sinceMs: number): boolean {
    return this.now - sinceMs > (this.board?.late_s ?? 0) * 1000;
  }

  /** Not the call of its counter any more, and nobody was called there since: it was undone, or the counter has closed. */
  private isTakenBack(call: Call): boolean {
    const now = this.view?.counters[call.counter]?.call;
    return now !== call.seq && !(now != null && now > call.seq);
  }

  /** Its visitor is there or was called off, or its counter has called somebody else. */
  private hasCome(call: Call): boolean {
    const now = this.view?.counters[call.counter];
    return now?.call !== call.seq || now.ticket_state !== "called";
  }
}
