/** Which page of a board stands there: one after the other, calmly; whoever is being called has their page at once. */
const PAGE_MS = 10_000;

export class Pages {
  private turnedMs = 0;
  private page = 0;

  /** `wanted`: the page that must stand there now, if any. */
  at(nowMs: number, pages: number, wanted: number | null): number {
    if (wanted !== null) {
      this.page = wanted;
      this.turnedMs = nowMs;
    } else if (nowMs - this.turnedMs >= PAGE_MS) {
      this.page += 1;
      this.turnedMs = nowMs;
    }
    this.page %= Math.max(1, pages);
    return this.page;
  }
}
