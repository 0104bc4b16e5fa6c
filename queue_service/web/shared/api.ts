/**
 * The way to the server: readings, and presses that are done exactly once.
 *
 * A press gets its id at the finger. While no answer comes (no network, time out, 429, 502–504) it is repeated with the same id, so that a lost reply
 * never does a thing twice; any answer, also a refusal, ends it. Refusals are RFC 9457 problems with a stable `code`.
 */
export const API = "/api/v1";

/** The server answered and said no. */
export class Refused extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    readonly detail: string,
  ) {
    super(`${code}: ${detail}`);
    this.name = "Refused";
  }
}

/** Nobody answered in time. Whether the press was done is not known; repeating it with the same id finds out. */
export class NoAnswer extends Error {
  constructor(readonly pressId: string | null) {
    super("no answer from the server");
    this.name = "NoAnswer";
  }
}

export interface PressOptions {
  token?: string | null;
  /** Only to go on with an earlier press; otherwise a new id is made. */
  pressId?: string;
  /** How long to keep repeating before giving up with `NoAnswer`. */
  patienceMs?: number;
  /** Told before every repetition, so that a page can say that it is still trying. */
  onRetry?: (attempt: number) => void;
  method?: "POST" | "PUT" | "DELETE";
  /** How long one try may take. */
  timeoutMs?: number;
}

/** 22 letters and digits (about 131 bits). Not `randomUUID`: that one is missing on plain http in the hall's own network. */
export function newPressId(): string {
  const alphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
  let id = "";
  while (id.length < 22) {
    for (const byte of crypto.getRandomValues(new Uint8Array(32))) {
      if (byte < 248 && id.length < 22) id += alphabet[byte % 62];
    }
  }
  return id;
}

export async function read<T>(path: string, token: string | null = null, timeoutMs = 8000): Promise<T> {
  try {
    const response = await fetch(API + path, {
      headers: headers(token),
      credentials: "same-origin",
      signal: AbortSignal.timeout(timeoutMs),
    });
    if (!unanswered(response)) return await answer<T>(response);
  } catch (error) {
    if (error instanceof Refused) throw error;
  }
  throw new NoAnswer(null);
}

/** The same, asked again while nobody answers, until the page no longer wants it: then null. A refusal is thrown. */
export async function readPatiently<T>(path: string, isWanted: () => boolean, onTrouble: () => void): Promise<T | null> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      const answered = await read<T>(path);
      return isWanted() ? answered : null;
    } catch (error) {
      if (!isWanted()) return null;
      onTrouble();
      if (error instanceof Refused) throw error;
    }
    await new Promise((go) => setTimeout(go, backoff(attempt, 500, 5000)));
    if (!isWanted()) return null;
  }
}

export async function press<T>(path: string, body: object = {}, options: PressOptions = {}): Promise<T> {
  const { token = null, pressId = newPressId(), patienceMs = 30_000, onRetry, method = "POST", timeoutMs = 8000 } = options;
  const isFile = body instanceof Blob;
  const giveUpAt = performance.now() + patienceMs;
  for (let attempt = 1; ; attempt += 1) {
    try {
      const response = await fetch(API + path, {
        method,
        headers: { ...headers(token), "Content-Type": isFile ? body.type : "application/json", "Idempotency-Key": pressId },
        body: isFile ? body : JSON.stringify(body),
        credentials: "same-origin",
        signal: AbortSignal.timeout(timeoutMs),
      });
      if (!unanswered(response)) return await answer<T>(response);
    } catch (error) {
      if (error instanceof Refused) throw error;
    }
    const pause = backoff(attempt, 250, 4000);
    if (performance.now() + pause > giveUpAt) throw new NoAnswer(pressId);
    onRetry?.(attempt);
    await new Promise((go) => setTimeout(go, pause));
  }
}

/** Doubling from `first` to `most`, half of it by chance, so that a hall full of screens does not knock at once. */
export function backoff(attempt: number, first: number, most: number): number {
  const whole = Math.min(most, first * 2 ** Math.min(attempt - 1, 16));
  return whole / 2 + (Math.random() * whole) / 2;
}

function headers(token: string | null): Record<string, string> {
  return { Accept: "application/json", ...(token ? { Authorization: `Bearer ${token}` } : {}) };
}

/** The server, or what stands before it, says "not now": nothing was done, or nobody can tell. */
function unanswered(response: Response): boolean {
  return response.status === 429 || (response.status >= 502 && response.status <= 504);
}

/** What was answered; throws when the line breaks before all of it is there, also in a refusal. */
async function answer<T>(response: Response): Promise<T> {
  if (response.status === 204) return undefined as T;
  const text = await response.text();
  if (response.ok) return JSON.parse(text) as T;
  const problem = problemIn(text);
  throw new Refused(response.status, problem.code ?? `http-${response.status}`, problem.detail ?? problem.title ?? "");
}

/** A refusal in the service's words; what stands before it may refuse in others. */
function problemIn(text: string): { code?: string; detail?: string; title?: string } {
  try {
    return JSON.parse(text) as { code?: string };
  } catch {
    return {};
  }
}
