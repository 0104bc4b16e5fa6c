/**
 * One live feed: snapshot or missing events first, then every event in order, with no hole and no event twice.
 *
 * The screen presents the cursor it stands at; the server answers with what is missing, or with a snapshot when the cursor means nothing to it.
 * An event out of order is never applied: the feed comes back for the truth. A link that has been silent for eight seconds counts as lost, whatever
 * the socket says; the feed then returns by itself, after a random pause, so that a hall full of screens does not come back at once. The pause stays
 * short while nobody is there, because a restart takes seconds; it doubles when the server is there and has too much to do.
 * A server that cannot read its store says so with every tick: to whoever looks at the page that is the same as a lost link.
 */
import { decode, encode } from "@msgpack/msgpack";
import type { BoardPlace, Frame, ShownCall, SpeakFrame } from "./words";

export type Link =
  | { state: "connecting"; sinceMs: number }
  | { state: "live"; sinceMs: number }
  | { state: "lost"; sinceMs: number }
  | { state: "refused"; sinceMs: number };

export interface FeedOptions<View, Event> {
  /** Path of the stream, e.g. `/api/v1/centres/demo-tinh/boards/ba/stream`. */
  path: string;
  token: string | null;
  screen: string;
  onSnapshot: (view: View, seq: number, epoch: string) => void;
  onEvent: (event: Event, seq: number, atMs: number) => void;
  onLink: (link: Link) => void;
  /** The server's clock minus this machine's, whenever it is learnt. */
  onClock?: (offsetMs: number) => void;
  /** Staff only: on how many screens each of these calls has been shown. */
  onShown?: (calls: ShownCall[]) => void;
  /** Boards with a loudspeaker only: whether this is one is asked at each hello. */
  onSpeak?: (turn: SpeakFrame, epoch: string) => void;
  speaks?: () => boolean;
  /** Boards only: other settings from now on. */
  onBoard?: (board: BoardPlace | undefined) => void;
  /** The server hands out other pages than it did when this one began to listen. */
  onNewBuild?: () => void;
}

const SILENCE_MS = 8_000;
const FIRST_RETURN_MS = 5_000;
const LAST_RETURN_MS = 30_000;
/** Closed for good reason and not worth coming back soon: not allowed, or revoked. */
const NOT_ALLOWED = 4401;
/** Our own word for a server that is silent. */
const SILENT = 0;
/** The server is there and cannot have us now: closed with LATER, TOO_SLOW, TOO_MANY, not allowed, or it says nothing at all. */
const PRESSED: ReadonlySet<number> = new Set([SILENT, 1013, 4001, NOT_ALLOWED, 4429]);

export class Feed<View, Event> {
  private socket: WebSocket | null = null;
  private epoch: string | null = null;
  private seq: number | null = null;
  /** In a row: events that were missing, and answers that asked us to stay away. */
  private gaps = 0;
  private refusals = 0;
  private silence: ReturnType<typeof setTimeout> | undefined;
  private comeback: ReturnType<typeof setTimeout> | undefined;
  private link: Link = { state: "connecting", sinceMs: Date.now() };
  /** What stood on the page then was true; before the first word: when we began to ask. */
  private heardAtMs = Date.now();
  private stopped = false;
  /** The pages that the server handed out when this one began to listen. */
  private build: string | undefined;

  constructor(private readonly options: FeedOptions<View, Event>) {}

  start(): void {
    this.stopped = false;
    addEventListener("online", this.hurry);
    this.connect();
  }

  stop(): void {
    this.stopped = true;
    removeEventListener("online", this.hurry);
    clearTimeout(this.silence);
    clearTimeout(this.comeback);
    this.drop();
  }

  /** Tell the server that the event is on the glass. */
  shown(seq: number): void {
    this.send({ type: "shown", seq });
  }

  /** Tell the server that the call was spoken, or why nobody heard it. */
  heard(seq: number, why: "locked" | "away" | "broken" | null): void {
    this.send(why ? { type: "unspoken", seq, reason: why } : { type: "spoken", seq });
  }

  /** The server answers elsewhere: no need to wait for the next turn. */
  readonly hurry = () => {
    if (this.stopped || this.socket) return;
    clearTimeout(this.comeback);
    this.connect();
  };

  private connect(): void {
    const { path, token, screen } = this.options;
    const address = `${location.protocol === "https:" ? "wss" : "ws"}://${location.host}${path}`;
    const protocols = ["queue.v1.msgpack", ...(token ? [`queue.token.${token}`] : [])];
    const socket = new WebSocket(address, protocols);
    socket.binaryType = "arraybuffer";
    this.socket = socket;
    this.watch();
    socket.onopen = () => this.send({ type: "hello", epoch: this.epoch, seq: this.seq, screen, speaks: this.options.speaks?.() ?? false, build: this.build ?? "" });
    socket.onmessage = (message: MessageEvent<ArrayBuffer | string>) => {
      if (socket === this.socket) this.receive(message.data);
    };
    socket.onclose = (closed) => {
      if (socket === this.socket) this.lose(closed.code);
    };
  }

  private receive(data: ArrayBuffer | string): void {
    const frame = (typeof data === "string" ? JSON.parse(data) : decode(new Uint8Array(data))) as Frame<View, Event>;
    this.heardAtMs = Date.now();
    this.watch();
    switch (frame.type) {
      case "snapshot":
        this.epoch = frame.epoch;
        this.seq = frame.seq;
        this.options.onClock?.(frame.now_ms - Date.now());
        this.options.onSnapshot(frame.view, frame.seq, frame.epoch);
        this.say("live");
        this.compare(frame.build);
        break;
      case "resumed":
        if (frame.epoch !== this.epoch || frame.seq !== this.seq) return this.resync();
        this.options.onClock?.(frame.now_ms - Date.now());
        this.say("live");
        this.compare(frame.build);
        break;
      case "event":
        if (this.seq === null || frame.seq > this.seq + 1) return this.resync();
        if (frame.seq <= this.seq) return;
        this.seq = frame.seq;
        this.options.onEvent(frame.event, frame.seq, frame.at_ms);
        break;
      case "shown":
        this.options.onShown?.(frame.calls);
        break;
      case "speak":
        if (this.epoch !== null) this.options.onSpeak?.(frame, this.epoch);
        break;
      case "board":
        this.options.onBoard?.(frame.board);
        break;
      case "tick":
        this.options.onClock?.(frame.now_ms - Date.now());
        if (this.seq === null || frame.seq > this.seq) return this.resync();
        this.gaps = this.refusals = 0;
        if (frame.stale_since_ms === undefined) this.say("live");
        else this.say("lost", Date.now() - (frame.now_ms - frame.stale_since_ms));
        break;
    }
  }

  /** Something is missing: come back at once by the cursor, which names the last event that was applied. */
  private resync(): void {
    this.drop();
    if (this.gaps < 3) {
      this.gaps += 1;
      return this.connect();
    }
    this.epoch = null;
    this.seq = null;
    this.lose(4002);
  }

  private compare(build: string | undefined): void {
    if (build && this.build && build !== this.build) this.options.onNewBuild?.();
    this.build ??= build;
  }

  private lose(code: number): void {
    this.drop();
    clearTimeout(this.silence);
    if (code === NOT_ALLOWED) this.say("refused");
    else this.say("lost", this.heardAtMs);
    if (this.stopped) return;
    const most = Math.min(LAST_RETURN_MS, FIRST_RETURN_MS * 2 ** Math.min(this.refusals, 8));
    if (PRESSED.has(code)) this.refusals += 1;
    this.comeback = setTimeout(() => this.connect(), Math.random() * most);
  }

  private watch(): void {
    clearTimeout(this.silence);
    this.silence = setTimeout(() => this.lose(SILENT), SILENCE_MS);
  }

  private drop(): void {
    const socket = this.socket;
    this.socket = null;
    if (!socket) return;
    socket.onopen = socket.onmessage = socket.onclose = null;
    socket.close();
  }

  private send(frame: object): void {
    if (this.socket?.readyState === WebSocket.OPEN) this.socket.send(encode(frame));
  }

  private say(state: Link["state"], sinceMs = Date.now()): void {
    if (this.link.state === state) return;
    this.link = { state, sinceMs };
    this.options.onLink(this.link);
  }
}
