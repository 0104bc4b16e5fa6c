/**
 * Follows one ticket: live while the line holds, otherwise by asking every fifteen seconds. Whatever arrives goes to `onTicket`, but an answer that
 * was overtaken by live news is left aside; what cannot be reached is said to `onLost`.
 */
import { API, NoAnswer, read, Refused } from "@shared/api";
import type { Ticket } from "@shared/words";

const EVERY_MS = 15_000;
/** A stream that has not spoken by then is not waited for any longer. */
const FIRST_WORD_MS = 3_000;

export interface Followed {
  onTicket: (ticket: Ticket) => void;
  onLost: () => void;
  onRefused: (refusal: Refused) => void;
}

/** Returns how to stop, and how to ask at once. */
export function follow(path: string, to: Followed): { stop: () => void; ask: () => void } {
  let stream: EventSource | null = null;
  let live = false;
  let stopped = false;
  /** How much live news has come: an answer that was asked for before the latest is older than it. */
  let news = 0;
  let asked = false;

  function listen(): void {
    stream?.close();
    stream = new EventSource(`${API}${path}/stream`);
    stream.addEventListener("ticket", (message) => {
      live = true;
      news += 1;
      to.onTicket((JSON.parse((message as MessageEvent<string>).data) as { ticket: Ticket }).ticket);
    });
    stream.onerror = () => {
      if (live || !asked) void ask();
      live = false;
    };
  }

  async function ask(): Promise<void> {
    const before = news;
    asked = true;
    try {
      const { ticket } = await read<{ ticket: Ticket }>(path);
      if (news === before) to.onTicket(ticket);
      if (!stopped && stream?.readyState !== EventSource.OPEN && stream?.readyState !== EventSource.CONNECTING) listen();
    } catch (error) {
      if (error instanceof NoAnswer) to.onLost();
      else if (error instanceof Refused) to.onRefused(error);
      else throw error;
    }
  }

  const hurry = () => void ask();
  const seen = () => document.visibilityState === "visible" && hurry();
  const timer = setInterval(() => {
    if (!live || stream?.readyState !== EventSource.OPEN) hurry();
  }, EVERY_MS);
  addEventListener("online", hurry);
  addEventListener("offline", to.onLost);
  document.addEventListener("visibilitychange", seen);
  const first = setTimeout(() => {
    if (!news) hurry();
  }, FIRST_WORD_MS);
  listen();

  return {
    ask: hurry,
    stop: () => {
      stopped = true;
      clearInterval(timer);
      clearTimeout(first);
      stream?.close();
      removeEventListener("online", hurry);
      removeEventListener("offline", to.onLost);
      document.removeEventListener("visibilitychange", seen);
    },
  };
}
