/**
 * The board's mouth: it rings and speaks when the server says so, one thing after another, and says honestly what became of it.
 *
 * Pace and order are the server's, so that all boards of a hall speak together. What this board has said already it says no second time, also after a
 * restart of the page or of the server. A sound that does not come is left out; the chime has rung by then.
 */
import { CHIME_MS, type Chime } from "@shared/chime";
import type { SpeakFrame } from "@shared/words";

/** How long a sound may take to come: longer, and the next call would wait for it. */
const FETCH_MS = 3_000;
/** A turn that has not ended by so much more than its time will never end: somebody has taken the sound away. */
const GRACE_MS = 2_000;

interface Told {
  /** The chime of a turn sounds now. */
  rang: (turn: SpeakFrame) => void;
  /** The words were played to their end, or why not. */
  heard: (seq: number, why: "locked" | "away" | "broken" | null) => void;
}

/** The last turn that was taken. */
interface Said {
  epoch: string;
  seq: number;
  turn: number;
}

export class Mouth {
  private speaking: Promise<void> = Promise.resolve();
  private readonly memory = `qs.said.${location.pathname.replace(/\/+$/, "")}`;
  private said: Said;
  private turns = 0;

  /** `base` is the board's address, below which its sounds are. */
  constructor(
    private readonly chime: Chime,
    private readonly base: string,
    private readonly token: string | null,
    private readonly told: Told,
  ) {
    this.said = this.remembered();
  }

  /** A turn is under way, or waits for the one before. */
  get isSpeaking(): boolean {
    return this.turns > 0;
  }

  take(turn: SpeakFrame, epoch: string): void {
    const before = this.said;
    if (before.epoch === epoch && (turn.seq < before.seq || (turn.seq === before.seq && turn.turn <= before.turn))) return;
    const said = (this.said = { epoch, seq: turn.seq, turn: turn.turn });
    this.remember();
    const sound = turn.sound && this.chime.output ? this.fetch(turn.sound) : null;
    this.turns += 1;
    // Whatever is wrong with one sound, the next one has its turn.
    this.speaking = this.speaking
      .then(() => this.say(turn, sound, () => this.forget(said, before)))
      .catch(() => this.told.heard(turn.seq, "broken"))
      .finally(() => (this.turns -= 1));
  }

  /** It was not said after all: a server that begins anew may have it said again. */
  private forget(unsaid: Said, before: Said): void {
    if (this.said !== unsaid) return;
    this.said = before;
    this.remember();
  }

  private async say(turn: SpeakFrame, sound: Promise<ArrayBuffer | null> | null, unsaid: () => void): Promise<void> {
    const context = this.chime.output;
    if (!context) return this.told.heard(turn.seq, "locked");
    const began = context.currentTime;
    if (turn.chime) {
      this.chime.ring(turn.volume);
      this.told.rang(turn);
    }
    if (!turn.sound) return pause(turn.ms);
    const content = await sound;
    if (!content) {
      unsaid();
      return this.told.heard(turn.seq, "away");
    }
    const words = await context.decodeAudioData(content);
    const ended = await this.play(context, words, began + (turn.chime ? CHIME_MS / 1000 : 0), turn.volume);
    if (turn.turn === 1) this.told.heard(turn.seq, ended ? null : "locked");
  }

  /** Whether it was played to its end. */
  private async play(context: AudioContext, words: AudioBuffer, at: number, volume: number): Promise<boolean> {
    const level = context.createGain();
    level.gain.value = volume;
    level.connect(context.destination);
    const source = context.createBufferSource();
    source.buffer = words;
    source.connect(level);
    const start = Math.max(at, context.currentTime);
    const over = new Promise<boolean>((resolve) => (source.onended = () => resolve(true)));
    source.start(start);
    const longestMs = (start - context.currentTime + words.duration) * 1000 + GRACE_MS;
    const ended = await Promise.race([over, pause(longestMs).then(() => false)]);
    if (!ended) source.stop();
    level.disconnect();
    return ended;
  }

  private async fetch(sound: string): Promise<ArrayBuffer | null> {
    try {
      const headers: HeadersInit = this.token ? { Authorization: `Bearer ${this.token}` } : {};
      const answer = await fetch(`${this.base}/${sound}`, { headers, signal: AbortSignal.timeout(FETCH_MS) });
      return answer.ok ? await answer.arrayBuffer() : null;
    } catch {
      return null;
    }
  }

  private remembered(): Said {
    try {
      const { epoch, seq, turn } = JSON.parse(localStorage.getItem(this.memory) ?? "") as Record<string, unknown>;
      if (typeof epoch === "string" && typeof seq === "number" && typeof turn === "number") return { epoch, seq, turn };
    } catch {
      // Nothing remembered, or a browser without storage.
    }
    return { epoch: "", seq: 0, turn: 0 };
  }

  private remember(): void {
    try {
      localStorage.setItem(this.memory, JSON.stringify(this.said));
    } catch {
      // The board then remembers for as long as its page lives.
    }
  }
}

const pause = (ms: number) => new Promise<void>((go) => setTimeout(go, ms));
