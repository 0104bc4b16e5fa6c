/**
 * What a board knows and what it does about it: its settings, the view, who holds the stage, which calls were missed; and that it confirms a call only
 * when the call stands on the glass. It draws nothing: the layouts read it, and mark what shows a call with `data-call`.
 *
 * What the board does is told to the window as well (`board:shown`, `board:rang`), so that somebody may watch a screen without trusting it.
 */
import { tick } from "svelte";
import { SvelteSet } from "svelte/reactivity";
import { read, NoAnswer, Refused } from "@shared/api";
import { apply } from "@shared/board";
import { Feed, type Link } from "@shared/feed";
import type { Chime } from "@shared/chime";
import type { BoardPlace, BoardView, Centre, PublicEvent } from "@shared/words";
import { callsOf, countersOf, waitingOf } from "./calls";
import { advance, EMPTY, isFresh, offer, withdraw, type Call, type Stage } from "./stage";
import { Mouth } from "./voice";

const RETRY_MS = 5_000;
const CLOCK_MS = 250;
/** Screens do not all ask in the same instant. */
const SPREAD_MS = 1_000;
/** So long after the last call the stage may be lent to pictures. */
const QUIET_MS = 20_000;
const MOST_MISSED = 200;
const MOST_UNSHOWN = 512;

export class Hall {
  centre = $state.raw<Centre | null>(null);
  board = $state.raw<BoardPlace | null>(null);
  view = $state.raw<BoardView | null>(null);
  stage = $state.raw<Stage>(EMPTY);
  link = $state.raw<Link>({ state: "connecting", sinceMs: Date.now() });
  refusal = $state.raw<Refused | null>(null);
  now = $state(Date.now());
  offset = $state(0);
  /** Calls that reached this board late, oldest first, until each has stood on the glass: counters may have called others since. */
  missed = $state.raw<readonly Call[]>([]);

  /** Calls that arrived late keep the word for it wherever they stand. */
  private readonly late = new SvelteSet<number>();
  /** Events to confirm once they are on the glass: event number → its call, and whether it was late. */
  private readonly unshown = new Map<number, Call>();
  /** Calls up to this one have had their turn on the stage or in its queue. */
  private seen = -1;
  private epoch = "";
  private feed: Feed<BoardView, PublicEvent> | null = null;
  private stopped = false;
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

  constructor(
    private readonly centreId: string,
    private readonly boardId: string,
    private readonly token: string | null,
    private readonly chime: Chime,
    private readonly onNewBuild: () => void,
  ) {}

  /** The server says when this board rings, and what it says. */
  get speaks(): boolean {
    return this.isVoiced && this.hasLoudspeaker && !this.chime.muted;
  }

  /** It rings by itself when a call takes the stage. */
  get rings(): boolean {
    return !this.isVoiced && this.hasLoudspeaker;
  }

  private get isVoiced(): boolean {
    return this.centre?.voice?.enabled !== false;
  }

  private get hasLoudspeaker(): boolean {
    return this.board !== null && this.board.speaks && !this.board.counter;
  }

  /** No call is fresh or waits for its turn: the page may be loaded anew. */
  get idle(): boolean {
    return !isFresh(this.stage, this.now) && !this.stage.queue.length && !this.missed.length;
  }

  start(): void {
    this.clock = setInterval(() => {
      this.now = Date.now() + this.offset;
      this.stage = advance(this.stage, this.now);
      if (this.unshown.size) void this.confirm();
    }, CLOCK_MS);
    void this.connect();
  }

  stop(): void {
    this.stopped = true;
    clearInterval(this.clock);
    this.feed?.stop();
  }

  /** Its turn in the room of missed calls is over. */
  passed(seqs: readonly number[]): void {
    this.missed = this.missed.filter((call) => !seqs.includes(call.seq));
  }

  tell(what: "shown" | "rang", call: Call): void {
    dispatchEvent(new CustomEvent(`board:${what}`, { detail: { ...call, board: this.boardId, atMs: this.now } }));
  }

  private async connect(): Promise<void> {
    while (!(await this.load())) {
      this.link = { state: "lost", sinceMs: this.link.state === "lost" ? this.link.sinceMs : Date.now() };
      await new Promise((go) => setTimeout(go, RETRY_MS));
      if (this.stopped) return;
    }
    const address = `/api/v1/centres/${encodeURIComponent(this.centreId)}/boards/${encodeURIComponent(this.boardId)}`;
    const mouth = new Mouth(this.chime, address, this.token, {
      rang: (turn) => {
        const call = this.calls.find(({ counter, number }) => counter === turn.counter && number === turn.number);
        if (call) this.tell("rang", call);
      },
      heard: (seq, why) => this.feed?.heard(seq, why),
    });
    this.feed = new Feed<BoardView, PublicEvent>({
      path: `${address}/stream`,
      token: this.token,
      screen: this.boardId,
      onSnapshot: (snapshot, _seq, epoch) => this.onSnapshot(snapshot, epoch),
      onEvent: (event, seq) => this.onEvent(event, seq),
      onLink: (changed) => (this.link = changed),
      onSpeak: (turn, epoch) => mouth.take(turn, epoch),
      speaks: () => this.speaks,
      onBoard: (settings) => (this.board = settings),
      onNewBuild: this.onNewBuild,
      onClock: (measured) => {
        this.offset = measured;
        this.now = Date.now() + measured;
      },
    });
    this.feed.start();
  }

  private async load(): Promise<boolean> {
    try {
      const base = `/centres/${encodeURIComponent(this.centreId)}`;
      const [building, place] = await Promise.all([
        read<Centre>(base),
        read<{ board: BoardPlace }>(`${base}/boards/${encodeURIComponent(this.boardId)}`, this.token),
      ]);
      this.centre = building;
      this.board = place.board;
      this.refusal = null;
      return true;
    } catch (error) {
      if (error instanceof Refused) this.refusal = error;
      else if (!(error instanceof NoAnswer)) throw error;
      return false;
    }
  }

  private onSnapshot(snapshot: BoardView, epoch: string): void {
    if (epoch !== this.epoch) {
      this.epoch = epoch;
      this.seen = -1;
      this.stage = EMPTY;
      this.missed = [];
      this.late.clear();
      this.unshown.clear();
    }
    if (this.view) void this.load(); // its settings may have changed while nobody could tell
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
    void this.confirm();
  }

  private onEvent(event: PublicEvent, seq: number): void {
    if (!this.view) return;
    this.view = apply(this.view, event);
    if (event.type === "TicketCalled" || event.type === "TicketRecalled") {
      const call = this.calls.find((candidate) => candidate.counter === event.counter);
      if (call) this.receive(call, seq, event.at_ms);
    } else if (event.type === "CentreChanged") {
      setTimeout(() => void this.load(), Math.random() * SPREAD_MS);
    }
    const shown = [...(this.stage.on ? [this.stage.on] : []), ...this.stage.queue, ...this.missed];
    for (const call of shown) if (this.isTakenBack(call)) this.drop(call.seq);
    void this.confirm();
  }

  private receive(call: Call, eventSeq: number, ringMs: number): void {
    const late = this.isLate(ringMs);
    const received = { ...call, late };
    if (late) {
      this.late.add(call.seq);
      this.missed = [...this.missed.filter((other) => other.seq !== call.seq), received].slice(-MOST_MISSED);
    } else {
      this.late.delete(call.seq);
    }
    this.unshown.set(eventSeq, received);
    for (const oldest of this.unshown.keys()) {
      if (this.unshown.size <= MOST_UNSHOWN) break;
      this.unshown.delete(oldest);
    }
    this.seen = Math.max(this.seen, call.seq);
    this.stage = offer(this.stage, received, this.now);
  }

  private isLate(sinceMs: number): boolean {
    return this.now - sinceMs > (this.board?.late_s ?? 0) * 1000;
  }

  /** Not the call of its counter any more, and nobody was called there since: it was undone, or the counter has closed. */
  private isTakenBack(call: Call): boolean {
    const now = this.view?.counters[call.counter]?.call;
    return now !== call.seq && !(now != null && now > call.seq);
  }

  private drop(seq: number): void {
    this.stage = withdraw(this.stage, seq, this.calls[0] ?? null, this.now);
    this.passed([seq]);
    for (const [event, call] of this.unshown) if (call.seq === seq) this.unshown.delete(event);
  }

  /** Tell the server which calls are on the glass: drawn, and two frames later still there. */
  private async confirm(): Promise<void> {
    await tick();
    requestAnimationFrame(() =>
      requestAnimationFrame(() => {
        const glass = new Set([...document.querySelectorAll<HTMLElement>("[data-call]")].map((one) => Number(one.dataset["call"])));
        for (const [event, call] of this.unshown) {
          if (!glass.has(call.seq)) continue;
          this.unshown.delete(event);
          this.feed?.shown(event);
          this.tell("shown", call);
        }
        // Whatever no longer shows anywhere needs no word any more.
        const known = new Set([...this.calls, ...this.missed].map(({ seq }) => seq));
        for (const seq of this.late) if (!known.has(seq)) this.late.delete(seq);
      }),
    );
  }
}
