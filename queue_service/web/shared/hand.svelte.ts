/**
 * The press under the finger. Its key is made when the finger comes down and kept, over a reload too, until the service has answered; while the
 * link is down the same press is repeated under the same key, so it takes effect once. There is never more than one: a finger that strikes twice
 * strikes the same press. It can be withdrawn.
 */
import { backoff, newPressId, NoAnswer, press, Refused } from "./api";

export interface Held<Action extends string> {
  key: string;
  action: Action;
  /** What the press is about: the counter or the ticket in its address. */
  subject: string;
  body: Record<string, unknown>;
  officer: string;
}

interface Wiring<Action extends string, Reply> {
  /** Where a press is sent. */
  pathOf: (held: Held<Action>) => string;
  /** Who carries it there; the service, unless told. */
  send?: typeof press;
  done: (held: Held<Action>, reply: Reply) => void;
  refused: (held: Held<Action>, refusal: Refused) => void;
  signedOut: () => void;
}

const BUSY = new Set(["TOO_MANY"]);

export class Hand<Action extends string, Reply> {
  held = $state.raw<Held<Action> | null>(null);
  /** Since when it is held here, by the clock that only goes forward (`performance.now()`). */
  since = $state(0);
  /** Nobody has answered yet, and it is being repeated. */
  isUnanswered = $state(false);
  private wake: (() => void) | null = null;
  private running = false;

  constructor(
    /** Names the page and centre, so that a press of another page is never gone on with. */
    private readonly name: string,
    private readonly wiring: Wiring<Action, Reply>,
  ) {}

  /** A finger came down. Returns whether this is a new press. */
  strike(action: Action, subject: string, body: Record<string, unknown>, officer: string): boolean {
    if (this.held) return false;
    this.keep({ key: newPressId(), action, subject, body, officer });
    void this.run();
    return true;
  }

  /** Go on with a press from before a reload or a sign-in; one of another officer, or one that is not *mine*, is dropped: its key belongs to them. */
  resume(officer: string, mine: (held: Held<Action>) => boolean = () => true): void {
    const kept = this.held ?? this.recall();
    if (!kept) return;
    if (kept.officer !== officer || !mine(kept)) return this.keep(null);
    this.keep(kept);
    void this.run();
  }

  withdraw(): void {
    this.keep(null);
    this.wake?.();
  }

  /** The page goes away from its desk: nothing is repeated any more, and what is held waits for its officer. */
  stop(): void {
    this.held = null;
    this.wake?.();
  }

  /** The link is back: do not wait for the next turn. */
  hurry(): void {
    this.wake?.();
  }

  private async run(): Promise<void> {
    if (this.running) return;
    this.running = true;
    try {
      for (let attempt = 1; this.held; attempt += 1) await this.attempt(this.held, attempt);
    } finally {
      this.running = false;
    }
  }

  private async attempt(held: Held<Action>, attempt: number): Promise<void> {
    try {
      const send = this.wiring.send ?? press;
      const reply = await send<Reply>(this.wiring.pathOf(held), held.body, { pressId: held.key, patienceMs: 0 });
      if (this.held === held) this.keep(null);
      this.wiring.done(held, reply);
    } catch (error) {
      if (error instanceof NoAnswer || (error instanceof Refused && BUSY.has(error.code))) {
        if (this.held !== held) return;
        this.isUnanswered = true;
        await this.pause(backoff(attempt, 500, 5000));
      } else if (error instanceof Refused && error.status === 401) {
        // Nobody is signed in any more: the press stays in hand until its officer is back.
        if (this.held !== held) return;
        this.held = null;
        this.wiring.signedOut();
      } else if (error instanceof Refused) {
        const mine = this.held === held;
        if (mine) this.keep(null);
        if (mine) this.wiring.refused(held, error);
      } else {
        this.keep(null);
        throw error;
      }
    }
  }

  private pause(ms: number): Promise<void> {
    return new Promise((go) => {
      const end = () => {
        clearTimeout(timer);
        this.wake = null;
        go();
      };
      const timer = setTimeout(end, ms);
      this.wake = end;
    });
  }

  private keep(held: Held<Action> | null): void {
    this.held = held;
    this.since = performance.now();
    this.isUnanswered = false;
    this.store(held);
  }

  private get place(): string {
    return `qs.press.${this.name}`;
  }

  private store(held: Held<Action> | null): void {
    try {
      if (held) sessionStorage.setItem(this.place, JSON.stringify(held));
      else sessionStorage.removeItem(this.place);
    } catch {
      // Without storage a press lives as long as the page.
    }
  }

  private recall(): Held<Action> | null {
    try {
      return JSON.parse(sessionStorage.getItem(this.place) ?? "null") as Held<Action> | null;
    } catch {
      return null;
    }
  }
}
