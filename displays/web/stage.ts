/**
 * Who holds the stage. The newest call stays there until the next one; fresh calls that come at once take turns, each for its time, in the order of
 * their calls; in a crowd those whose visitor has come give way. A late call never keeps a fresh one waiting and never comes after a newer one: those
 * that have been overtaken stand in the rows only. Pure: time is handed in.
 */

/** A call, or one more ring of it. */
export interface Call {
  /** Number of the call's event: its identity and its order. */
  seq: number;
  number: string;
  counter: string;
  calledAtMs: number;
  rings: number;
  language: string | null;
  /** Older than the board allows when it reached it: marked, and not rung. */
  late: boolean;
}

export interface Stage {
  on: Call | null;
  sinceMs: number;
  queue: readonly Call[];
}

const HOLD_MS = 8_000;
/** In a crowd turns are shorter, so that whoever is called last waits about as long for the stage; never too short to be read. */
const CROWD_MS = 15_000;
const LEAST_HOLD_MS = 2_500;

export const EMPTY: Stage = { on: null, sinceMs: 0, queue: [] };

/** A call or a recall has arrived. */
export function offer(stage: Stage, call: Call, nowMs: number): Stage {
  if (stage.on?.seq === call.seq) return { ...stage, on: call, sinceMs: nowMs };
  const others = stage.queue.filter((waiting) => waiting.seq !== call.seq && !waiting.late);
  if (call.late && [stage.on, ...others].some((other) => other && other.seq > call.seq)) return stage;
  return advance({ ...stage, queue: [...others, call] }, nowMs);
}

/** A call was taken back, or its counter has closed: it leaves, and `instead` (the newest call left) takes the stage if nobody waits for it. */
export function withdraw(stage: Stage, seq: number, instead: Call | null, nowMs: number): Stage {
  const queue = stage.queue.filter((waiting) => waiting.seq !== seq);
  if (stage.on?.seq !== seq) return { ...stage, queue };
  if (queue.length) return advance({ on: null, sinceMs: nowMs, queue }, nowMs);
  return { on: instead, sinceMs: nowMs - HOLD_MS, queue };
}

/** Give the stage to the next in the queue if the one on it has had its time. */
export function advance(stage: Stage, nowMs: number): Stage {
  const [next, ...rest] = stage.queue;
  if (!next || (stage.on && nowMs - stage.sinceMs < hold(stage))) return stage;
  return { on: next, sinceMs: nowMs, queue: rest };
}

/** In a crowd that would make turns too short, whoever `has come` gives way to those who still look for their number. */
export function passOver(stage: Stage, hasCome: (call: Call) => boolean): Stage {
  if (stage.queue.length * LEAST_HOLD_MS < CROWD_MS) return stage;
  const queue = stage.queue.filter((call) => !hasCome(call));
  return queue.length === stage.queue.length ? stage : { ...stage, queue };
}

/** Still within its time: drawn with a frame, for those who do not hear. */
export function isFresh(stage: Stage, nowMs: number): boolean {
  return stage.on !== null && !stage.on.late && nowMs - stage.sinceMs < HOLD_MS;
}

function hold(stage: Stage): number {
  if (stage.on?.late) return 0;
  return Math.max(LEAST_HOLD_MS, Math.min(HOLD_MS, CROWD_MS / stage.queue.length));
}
