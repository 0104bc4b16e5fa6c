/**
 * A screen of the hall: it follows its board's feed, rings and speaks when it is told, and confirms a call only when the call stands on the glass.
 *
 * What it does is told to the window as well (`board:shown`, `board:rang`), so that somebody may watch a screen without trusting it.
 */
import { tick } from "svelte";
import { read, NoAnswer, Refused } from "@shared/api";
import type { Chime } from "@shared/chime";
import { Feed } from "@shared/feed";
import type { BoardPlace, BoardView, Centre, PublicEvent } from "@shared/words";
import { Hall } from "./hall.svelte";
import type { Call } from "./stage";
import { Mouth } from "./voice";

/** Screens do not all ask in the same instant. */
const RETRY_MS = 5_000;
const SPREAD_MS = 3_000;
const MOST_UNSHOWN = 512;
/** What this page had shown when it loaded itself anew. */
const SHOWN = "qs.shown";

export class Screen extends Hall {
  /** Events to confirm once they are on the glass: event number → its call, and whether it was late. */
  private readonly unshown = new Map<number, Call>();
  private feed: Feed<BoardView, PublicEvent> | null = null;
  private mouth: Mouth | null = null;
  private stopped = false;

  constructor(
    private readonly centreId: string,
    private readonly boardId: string,
    private readonly token: string | null,
    private readonly chime: Chime,
    private readonly onNewBuild: () => void,
  ) {
    super();
  }

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

  /** Besides, nothing is being spoken. */
  override get idle(): boolean {
    return super.idle && !this.mouth?.isSpeaking;
  }

  override start(): void {
    super.start();
    addEventListener("pagehide", this.leave);
    void this.connect();
  }

  override stop(): void {
    super.stop();
    this.stopped = true;
    removeEventListener("pagehide", this.leave);
    this.feed?.stop();
  }

  tell(what: "shown" | "rang", call: Call): void {
    dispatchEvent(new CustomEvent(`board:${what}`, { detail: { ...call, board: this.boardId, atMs: this.now } }));
  }

  override begin(snapshot: BoardView, epoch: string): void {
    super.begin(snapshot, epoch);
    void this.confirm();
  }

  override take(event: PublicEvent, seq: number): void {
    super.take(event, seq);
    if (event.type === "CentreChanged") this.loadSoon();
    void this.confirm();
  }

  protected override tick(): void {
    super.tick();
    if (this.unshown.size) void this.confirm();
  }

  protected override forget(epoch: string): void {
    super.forget(epoch);
    this.unshown.clear();
    const shown = sessionStorage.getItem(SHOWN)?.split(" ");
    sessionStorage.removeItem(SHOWN);
    if (shown?.[0] === epoch) this.seen = Number(shown[1]);
  }

  /** Everything had its turn: the page that comes next neither frames nor rings it again. */
  private readonly leave = () => {
    if (this.idle && this.epoch) sessionStorage.setItem(SHOWN, `${this.epoch} ${this.seen}`);
  };

  protected override receive(call: Call, eventSeq: number, ringMs: number): Call {
    const received = super.receive(call, eventSeq, ringMs);
    this.unshown.set(eventSeq, received);
    for (const oldest of this.unshown.keys()) {
      if (this.unshown.size <= MOST_UNSHOWN) break;
      this.unshown.delete(oldest);
    }
    return received;
  }

  protected override undrawn(): Iterable<Call> {
    return this.unshown.values();
  }

  protected override drop(seq: number): void {
    super.drop(seq);
    for (const [event, call] of this.unshown) if (call.seq === seq) this.unshown.delete(event);
  }

  private async connect(): Promise<void> {
    while (!(await this.load())) {
      this.link = { state: "lost", sinceMs: this.link.state === "lost" ? this.link.sinceMs : Date.now() };
      await new Promise((go) => setTimeout(go, Math.random() * RETRY_MS));
      if (this.stopped) return;
    }
    const address = `/api/v1/centres/${encodeURIComponent(this.centreId)}/boards/${encodeURIComponent(this.boardId)}`;
    const mouth = (this.mouth = new Mouth(this.chime, address, this.token, {
      rang: (turn) => {
        const call = this.calls.find(({ counter, number }) => counter === turn.counter && number === turn.number);
        if (call) this.tell("rang", call);
      },
      heard: (seq, why) => this.feed?.heard(seq, why),
    }));
    this.feed = new Feed<BoardView, PublicEvent>({
      path: `${address}/stream`,
      token: this.token,
      screen: this.boardId,
      onSnapshot: (snapshot, _seq, epoch) => this.begin(snapshot, epoch),
      onEvent: (event, seq) => this.take(event, seq),
      onLink: (changed) => {
        if (changed.state === "live" && this.link.state === "lost") this.loadSoon(); // its settings may have changed while nobody could tell
        this.link = changed;
      },
      onSpeak: (turn, epoch) => mouth.take(turn, epoch),
      speaks: () => this.speaks,
      onBoard: (settings) => {
        if (settings) this.board = settings;
        else this.loadSoon();
      },
      onNewBuild: this.onNewBuild,
      onClock: (measured) => this.setClock(measured),
    });
    this.feed.start();
  }

  private loadSoon(): void {
    setTimeout(() => void this.load(), Math.random() * SPREAD_MS);
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
      }),
    );
  }
}
