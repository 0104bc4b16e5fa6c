/** How near a wait is to what was promised. */
export type Pressure = "ok" | "warn" | "late";

export function pressureOf(share: number, warn: number): Pressure {
  if (share >= 1) return "late";
  return share >= warn ? "warn" : "ok";
}
