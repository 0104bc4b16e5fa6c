/** From the first note to the first word that may follow it; `displays/announcer.py` plans with the same. */
export const CHIME_MS = 1_000;

/** Two soft notes. A browser may want to be touched once before it plays; `audible` says whether it will. */
export class Chime {
  private context: AudioContext | null = null;

  constructor(readonly muted: boolean) {}

  get audible(): boolean {
    return this.muted || this.context?.state === "running";
  }

  /** Try to wake the sound, at the start and at any touch. */
  async wake(): Promise<void> {
    if (this.muted) return;
    try {
      this.context ??= new AudioContext();
      await this.context.resume();
    } catch {
      // No sound device: the page goes on without.
    }
  }

  /** What plays now; null while the browser waits to be touched, or the page is muted. */
  get output(): AudioContext | null {
    return !this.muted && this.context?.state === "running" ? this.context : null;
  }

  ring(level = 1): void {
    const context = this.output;
    if (!context) return;
    this.note(context, 659.25, context.currentTime, 0.28 * level);
    this.note(context, 523.25, context.currentTime + 0.42, 0.28 * level);
  }

  private note(context: AudioContext, frequency: number, at: number, level: number): void {
    if (level <= 0) return;
    const volume = context.createGain();
    volume.gain.setValueAtTime(0, at);
    volume.gain.linearRampToValueAtTime(level, at + 0.015);
    volume.gain.exponentialRampToValueAtTime(0.001 * level, at + 1.3);
    volume.connect(context.destination);
    for (const [multiple, share] of [
      [1, 1],
      [2, 0.22],
    ] as const) {
      const tone = context.createOscillator();
      const part = context.createGain();
      tone.frequency.value = frequency * multiple;
      part.gain.value = share;
      tone.connect(part).connect(volume);
      tone.start(at);
      tone.stop(at + 1.4);
    }
  }
}
