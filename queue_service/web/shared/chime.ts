/** Two soft notes. A browser may want to be touched once before it plays; `audible` says whether it will. */
export class Chime {
  private context: AudioContext | null = null;

  constructor(private readonly muted: boolean) {}

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

  ring(): void {
    const context = this.context;
    if (this.muted || context?.state !== "running") return;
    this.note(context, 659.25, context.currentTime);
    this.note(context, 523.25, context.currentTime + 0.42);
  }

  private note(context: AudioContext, frequency: number, at: number): void {
    const volume = context.createGain();
    volume.gain.setValueAtTime(0, at);
    volume.gain.linearRampToValueAtTime(0.28, at + 0.015);
    volume.gain.exponentialRampToValueAtTime(0.001, at + 1.3);
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
