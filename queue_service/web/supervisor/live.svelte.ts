/**
 * What the control room sees: one reading of everything, then the staff feed folded into it. Read again when an event cannot be folded, when the feed
 * begins anew, and once a minute to be sure. Alarms follow events, at most every two seconds, and the clock, every fifteen.
 */
import { NoAnswer, read, Refused } from "@shared/api";
import { Feed, type Link } from "@shared/feed";
import { account, apply, hallOf, type Hall } from "./hall";
import type { Alarm, Messages, StaffEvent, StateReply } from "./words";

const SURE_EVERY_MS = 60_000;
const ALARMS_EVERY_MS = 15_000;
const ALARMS_AT_MOST_EVERY_MS = 2_000;
const READ_AT_MOST_EVERY_MS = 500;
const HISTORY = 1000;
const TALK = new Set(["HelpAsked", "HelpAnswered", "MessageSent", "MessageRead"]);

export class Live {
  hall = $state.raw<Hall | null>(null);
  alarms = $state.raw<Alarm[]>([]);
  messages = $state.raw<Messages>({ messages: [], help: [], names: {} });
  /** The newest events of the log, in order. */
  events = $state.raw<StaffEvent[]>([]);
  link = $state.raw<Link>({ state: "connecting", sinceMs: Date.now() });
  refusal = $state.raw<Refused | null>(null);
  /** The service's clock minus this machine's. */
  offset = $state(0);
  private feed: Feed<unknown, StaffEvent>;
  private late: StaffEvent[] = [];
  /** The place in the order of events from which the feed goes on: a reading from before it would miss some. */
  private from = { epoch: "", seq: 0 };
  private hasHistory = false;
  private timers = new Map<string, ReturnType<typeof setTimeout>>();
  private lastRead = new Map<string, number>();

  constructor(
    private readonly base: string,
    private readonly told: { signedOut: () => void; centreChanged: () => void; back: () => void },
  ) {
    this.feed = new Feed<unknown, StaffEvent>({
      path: `/api/v1${base}/events/stream`,
      token: null,
      screen: "supervisor",
      onSnapshot: (_view, seq, epoch) => {
        this.from = { epoch, seq };
        if (this.hall) this.readIfBehind(this.hall);
      },
      onEvent: (event) => this.hear(event),
      onLink: (link) => {
        const isBack = link.state === "live" && this.link.state === "lost";
        this.link = link;
        if (isBack) this.again();
        if (link.state === "live") told.back();
      },
    });
  }

  start(): void {
    this.again();
    this.feed.start();
  }

  stop(): void {
    this.feed.stop();
    for (const timer of this.timers.values()) clearTimeout(timer);
  }

  again(): void {
    this.soon("hall", READ_AT_MOST_EVERY_MS, SURE_EVERY_MS, () => this.readHall());
    this.soon("messages", READ_AT_MOST_EVERY_MS, SURE_EVERY_MS, () => this.readMessages());
    this.soon("alarms", READ_AT_MOST_EVERY_MS, ALARMS_EVERY_MS, () => this.readAlarms());
  }

  private hear(event: StaffEvent): void {
    this.events = [...this.events.slice(-HISTORY * 3), event];
    if (TALK.has(event.type)) this.soon("messages", READ_AT_MOST_EVERY_MS, SURE_EVERY_MS, () => this.readMessages());
    if (event.type === "CentreChanged") this.told.centreChanged();
    const sits = event.type === "CounterOpened" ? account(event.officer ?? event.actor) : "";
    if (sits && !(sits in (this.hall?.names ?? {}))) this.soon("hall", READ_AT_MOST_EVERY_MS, SURE_EVERY_MS, () => this.readHall()); // what they are called
    const hall = this.hall && apply(this.hall, event);
    if (hall) this.hall = hall;
    else {
      this.late.push(event);
      this.soon("hall", READ_AT_MOST_EVERY_MS, SURE_EVERY_MS, () => this.readHall());
    }
    this.soon("alarms", ALARMS_AT_MOST_EVERY_MS, ALARMS_EVERY_MS, () => this.readAlarms());
  }

  /** Ask soon, not more often than *atMost*, and then again *every* so many milliseconds. */
  private soon(what: string, atMost: number, every: number, ask: () => Promise<void>): void {
    clearTimeout(this.timers.get(what));
    const wait = Math.max(0, (this.lastRead.get(what) ?? -Infinity) + atMost - performance.now());
    const round = async () => {
      this.lastRead.set(what, performance.now());
      this.timers.set(what, setTimeout(round, every));
      try {
        await ask();
      } catch (error) {
        if (error instanceof Refused && error.status === 401) this.told.signedOut();
        else if (error instanceof Refused) this.refusal = error;
        else if (!(error instanceof NoAnswer)) throw error;
      }
    };
    this.timers.set(what, setTimeout(round, wait));
  }

  private async readHall(): Promise<void> {
    const reply = await read<StateReply>(`${this.base}/state`);
    this.offset = reply.now_ms - Date.now();
    if (this.hall && this.hall.epoch === reply.epoch && reply.seq < this.hall.seq) return;
    const given = this.hall ? Object.values(this.hall.tickets).filter((ticket) => ticket.state === "cancelled") : [];
    let hall: Hall | null = hallOf(reply);
    for (const ticket of given) hall.tickets[ticket.id] ??= ticket;
    for (const event of this.late) hall = hall && (event.seq <= hall.seq ? hall : apply(hall, event));
    this.late = [];
    this.refusal = null;
    if (!hall) return;
    this.hall = hall;
    this.readIfBehind(hall);
    if (!this.hasHistory) {
      this.hasHistory = true;
      void this.readHistory(hall.seq);
    }
  }

  private readIfBehind(hall: Hall): void {
    const { epoch, seq } = this.from;
    if (epoch && (hall.epoch !== epoch || hall.seq < seq)) this.soon("hall", READ_AT_MOST_EVERY_MS, SURE_EVERY_MS, () => this.readHall());
  }

  private async readMessages(): Promise<void> {
    this.messages = await read<Messages>(`${this.base}/messages`);
  }

  private async readAlarms(): Promise<void> {
    this.alarms = (await read<{ alarms: Alarm[] }>(`${this.base}/alarms`)).alarms;
  }

  /** What was done before this page was opened, as far as a few pages of the log go back. */
  private async readHistory(seq: number): Promise<void> {
    try {
      let before: StaffEvent[] = [];
      for (let after = Math.max(0, seq - HISTORY * 3); after < seq; after += HISTORY) {
        before = [...before, ...(await read<{ events: StaffEvent[] }>(`${this.base}/events?after=${after}&limit=${HISTORY}`)).events];
      }
      const last = before.at(-1)?.seq ?? 0;
      this.events = [...before, ...this.events.filter((event) => event.seq > last)];
    } catch (error) {
      if (!(error instanceof NoAnswer || error instanceof Refused)) throw error;
    }
  }
}
