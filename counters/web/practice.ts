/**
 * A hall to practise in: invented people, counters and procedures (`practice.json`), in this page and nowhere else. It asks nobody, so nothing done here
 * can touch the real day. It answers as the service would, as far as an officer meets it; who is due is simply who has waited longest, priority first.
 */
import { Refused } from "@shared/api";
import type { StaffUser } from "@shared/words";
import invented from "../practice.json";
import type { Follower, Hall, Listener } from "./hall";
import type { Building, CounterTicket, DeskView, ProcedureItem, Seat, StaffEvent, StaffMessage } from "./words";

export const COUNTER = "practice-1";
const COLLEAGUE = "practice-2";
const SOMEBODY_COMES_MS = 20_000;
const MOST_WAITING = 9;
const UNDO_MS = 60_000;
const HELP_COMES_MS = 2_500;

export const USER: StaffUser = { name: "practice", display_name: "", roles: ["officer"], centres: ["practice"] };

export const BUILDING = invented.centre as unknown as Building;

const NAMES: Record<string, string> = invented.names;
const PROCEDURES: ProcedureItem[] = invented.procedures;

interface State {
  seat: Seat;
  tickets: CounterTicket[];
  messages: StaffMessage[];
  help: DeskView["help"];
  /** What undo returns to. */
  before: State | null;
}

type Body = Record<string, unknown>;

export class PracticeHall implements Hall {
  private state: State;
  private seq = 1;
  private issued: Record<string, number> = {};
  private listener: Listener | null = null;
  private timers: ReturnType<typeof setTimeout>[] = [];

  constructor() {
    this.state = {
      seat: { id: COUNTER, number: 1, zone: "hall", state: "open", officer: USER.name, since_ms: Date.now(), reason: null, ready: false, ticket: null, undo: null },
      tickets: [],
      messages: [],
      help: null,
      before: null,
    };
    for (const { service, minutes, ground } of invented.waiting) {
      Object.assign(this.issue(service, minutes), ground ? { class: "priority", ground } : {});
    }
  }

  // ── the hall's side ──

  async read<T>(path: string): Promise<T> {
    if (path.includes("/procedures")) return { procedures: this.found(path), total: PROCEDURES.length } as T;
    if (path.endsWith("/counters")) return { counters: [this.state.seat, this.colleague()], names: NAMES } as T;
    return structuredClone(this.view()) as T;
  }

  async press<T>(path: string, body: object = {}): Promise<T> {
    const wish = path.split("/").at(-1) ?? "";
    const keeps = structuredClone(this.state);
    try {
      this.carryOut(wish === "read" ? "mark-read" : wish, body as Body, keeps);
    } catch (error) {
      this.state = keeps;
      throw error;
    }
    this.seq += 1;
    this.listener?.onEvent({ type: "CounterOpened", counter: COUNTER, seq: this.seq, at_ms: Date.now() });
    const { seat } = this.state;
    return structuredClone({ ...this.anchor(), ticket: this.inHand(), counter: seat }) as T;
  }

  follow(listener: Listener): Follower {
    this.listener = listener;
    listener.onLink({ state: "live", sinceMs: Date.now() });
    const arrivals = setInterval(() => this.somebodyComes(), SOMEBODY_COMES_MS);
    return {
      hurry: () => undefined,
      stop: () => {
        clearInterval(arrivals);
        this.timers.forEach(clearTimeout);
      },
    };
  }

  watch(): () => void {
    return () => undefined;
  }

  // ── what there is ──

  private anchor() {
    return { epoch: "practice", seq: this.seq, now_ms: Date.now() };
  }

  private inHand(): CounterTicket | null {
    return this.state.tickets.find((ticket) => ticket.id === this.state.seat.ticket) ?? null;
  }

  /** Who waits, the one who is due first: a minute of a priority visitor counts six. */
  private waiting(): CounterTicket[] {
    const counted = (ticket: CounterTicket) => (Date.now() - ticket.issued_at_ms) * (ticket.class === "standard" ? 1 : 6);
    const here = this.state.tickets.filter((ticket) => ticket.state === "waiting" && ticket.announced.counters.includes(COUNTER));
    return here.sort((a, b) => counted(b) - counted(a));
  }

  private view(): DeskView {
    const waiting = this.waiting();
    const ended = this.state.tickets.filter((ticket) => ticket.state === "served" || ticket.state === "no_show");
    return {
      ...this.anchor(),
      counter: this.state.seat,
      ticket: this.inHand(),
      lines: BUILDING.services.map((one, at) => {
        const line = waiting.filter((ticket) => ticket.service === one.id);
        const oldest = Math.min(...line.map((ticket) => ticket.issued_at_ms));
        return {
          service: one.id,
          department: one.department,
          level: at + 1,
          waiting: line.length,
          priority: line.filter((ticket) => ticket.class === "priority").length,
          appointments: 0,
          oldest_at_ms: line.length ? oldest : null,
        };
      }),
      next: waiting[0] ?? null,
      parked: this.state.tickets.filter((ticket) => ticket.state === "parked"),
      recent: ended.sort((a, b) => (b.ended_at_ms ?? 0) - (a.ended_at_ms ?? 0)).slice(0, 12),
      messages: this.state.messages,
      help: this.state.help,
      names: NAMES,
    };
  }

  private colleague(): Seat {
    return { ...this.state.seat, id: COLLEAGUE, number: 2, officer: "practice.hoa", ticket: null, undo: null, ready: false };
  }

  private found(path: string): ProcedureItem[] {
    const words = decodeURIComponent(/[?&]q=([^&]*)/.exec(path)?.[1] ?? "").toLowerCase();
    return PROCEDURES.filter((one) => one.name.toLowerCase().includes(words));
  }

  // ── what happens ──

  private issue(line: string, minutesAgo = 0): CounterTicket {
    const of = BUILDING.services.find((one) => one.id === line)!;
    const letter = BUILDING.departments.find((one) => one.id === of.department)!.letter;
    const n = (this.issued[letter] = (this.issued[letter] ?? 0) + 1);
    const ticket = {
      id: `practice-${letter}${n}`,
      number: `${letter}${String(n).padStart(3, "0")}`,
      department: of.department,
      service: line,
      class: "standard",
      ground: null,
      state: "waiting",
      day: "",
      issued_at_ms: Date.now() - minutesAgo * 60_000,
      language: "vi",
      procedure: null,
      printed: true,
      announced: { counters: [COUNTER], label: "1", zone: "hall" },
      ahead: 0,
      wait: null,
      counter: null,
      called_at_ms: null,
      rings: 0,
      started_at_ms: null,
      ended_at_ms: null,
      park_reason: null,
    } as CounterTicket;
    this.state.tickets.push(ticket);
    return ticket;
  }

  private somebodyComes(): void {
    if (this.waiting().length >= MOST_WAITING) return;
    const ticket = this.issue(this.seq % 3 === 0 ? "land" : "civil");
    this.seq += 1;
    if (this.state.seat.ready) this.invite(ticket, "ready", null);
    this.tell({ type: "TicketIssued", service: ticket.service });
  }

  private tell(event: Partial<StaffEvent> & { type: string }): void {
    this.listener?.onEvent({ seq: this.seq, at_ms: Date.now(), ...event });
  }

  private invite(ticket: CounterTicket, rule: string, before: State | null): void {
    const call = (this.seq += 1);
    const waited = Date.now() - ticket.issued_at_ms;
    Object.assign(ticket, { state: "called", counter: COUNTER, called_at_ms: Date.now(), rings: 1, ended_at_ms: null, park_reason: null, park_until_ms: null });
    Object.assign(this.state.seat, { ticket: ticket.id, ready: false });
    this.remember("call-next", before);
    this.tell({
      type: "TicketCalled",
      counter: COUNTER,
      ticket: ticket.id,
      number: ticket.number,
      call,
      why: { rule, class: ticket.class, ratio: ticket.class === "standard" ? 1 : 6, waited_ms: waited, considered: this.waiting().length + 1 },
    });
    this.timers.push(setTimeout(() => this.listener?.onShown([{ call, shown: 2, spoken: 1, of: 2, missing: [] }]), 800));
  }

  /** The step that undo takes back; a start keeps the call before it, so that both can be taken back. */
  private remember(press: string, before: State | null): void {
    if (before && press !== "start") Object.assign(before, { before: null, seat: { ...before.seat, undo: null } });
    this.state.before = before;
    this.state.seat.undo = before ? { press, until_ms: Date.now() + UNDO_MS } : null;
  }

  private refuse(code: string): never {
    throw new Refused(409, code, "");
  }

  private leave(state: CounterTicket["state"], press: string, before: State): CounterTicket {
    const ticket = this.inHand() ?? this.refuse("COUNTER_IDLE");
    Object.assign(ticket, { state, ended_at_ms: Date.now() });
    this.state.seat.ticket = null;
    this.remember(press, before);
    return ticket;
  }

  private free(): void {
    const { seat } = this.state;
    if (seat.ticket) this.refuse("COUNTER_BUSY");
    if (seat.state === "paused") this.refuse("COUNTER_PAUSED");
    if (seat.state === "closed") this.refuse("COUNTER_CLOSED");
  }

  private carryOut(wish: string, body: Body, before: State): void {
    const { seat } = this.state;
    const now = Date.now();
    const text = (name: string) => (typeof body[name] === "string" ? (body[name] as string) : null);
    const named = (id: string | null) => this.state.tickets.find((ticket) => ticket.id === id || ticket.number === id) ?? this.refuse("UNKNOWN_TICKET");
    switch (wish) {
      case "open":
        return void Object.assign(seat, { state: "open", since_ms: now, reason: null });
      case "pause":
        return void Object.assign(seat, { state: "paused", since_ms: now, reason: text("reason"), ready: false });
      case "close":
        return void Object.assign(seat, { state: "closed", since_ms: now, ready: false });
      case "call-next": {
        this.free();
        const [due] = this.waiting();
        if (due) this.invite(due, "oldest", before);
        else seat.ready = true;
        return;
      }
      case "call":
        this.free();
        return this.invite(named(text("ticket")), "chosen", before);
      case "resume":
        this.free();
        return this.invite(named(text("ticket")), "resumed", before);
      case "recall":
        return void ((this.inHand() ?? this.refuse("COUNTER_IDLE")).rings += 1);
      case "start":
        Object.assign(this.inHand() ?? this.refuse("COUNTER_IDLE"), { state: "serving", started_at_ms: now });
        return this.remember("start", before);
      case "complete":
        return void this.leave("served", "complete", before);
      case "no-show":
        if ((this.inHand()?.rings ?? 0) < BUILDING.policy.calls_before_no_show) this.refuse("TOO_EARLY_NO_SHOW");
        return void this.leave("no_show", "no-show", before);
      case "park":
        return void Object.assign(this.leave("parked", "park", before), { park_reason: text("reason"), park_until_ms: body["until_ms"] ?? null });
      case "transfer": {
        const ticket = this.leave("waiting", "transfer", before);
        const to = text("service") === "civil" ? COUNTER : COLLEAGUE;
        return void Object.assign(ticket, { service: text("service") ?? "land", announced: { counters: [to], label: "2", zone: "hall" }, note: text("note") ?? ticket.note });
      }
      case "note":
        return void ((this.inHand() ?? this.refuse("COUNTER_IDLE")).note = text("text"));
      case "undo":
        this.state = { ...(this.state.before ?? this.refuse("NOTHING_TO_UNDO")), messages: this.state.messages, help: this.state.help };
        return;
      case "ask-help":
        this.state.help = { message: this.seq, since_ms: now, text: text("text") };
        return void this.timers.push(setTimeout(() => this.helpComes(), HELP_COMES_MS));
      case "answer-help":
        return void (this.state.help = null);
      case "mark-read":
        return void (this.state.messages = this.state.messages.filter((one) => one.message !== body["message"]));
    }
  }

  private helpComes(): void {
    const { help } = this.state;
    if (!help) return;
    this.seq += 1;
    this.state.help = null;
    this.state.messages.push({ message: this.seq, at_ms: Date.now(), sender: "practice.chief", text: null, answers: help.message });
    this.tell({ type: "HelpAnswered", counter: COUNTER, answers: help.message });
  }
}
