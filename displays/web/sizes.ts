/**
 * How large is large enough: a capital must stand at least one two-hundredth of the viewing distance high. Pure.
 */

/** Cap height of the number font, in parts of the font size. */
export const CAP_OF_NUMBERS = 0.727;
const DISTANCE_TO_CAP = 200;

export interface Screen {
  widthPx: number;
  heightPx: number;
  inches: number;
  distanceM: number;
}

export function mmPerPx(screen: Screen): number {
  return (screen.inches * 25.4) / Math.hypot(screen.widthPx, screen.heightPx);
}

export function neededCapMm(screen: Screen): number {
  return (screen.distanceM * 1000) / DISTANCE_TO_CAP;
}

/** Font size in px at which numbers are legible from the board's distance. */
export function neededNumberPx(screen: Screen): number {
  return neededCapMm(screen) / mmPerPx(screen) / CAP_OF_NUMBERS;
}

/** From how far away a capital of `capPx` is legible, in metres. */
export function legibleFromM(capPx: number, screen: Screen): number {
  return (capPx * mmPerPx(screen) * DISTANCE_TO_CAP) / 1000;
}

/** One line of the waiting strip: how many wait, and how wide its place is. */
export interface Place {
  count: number;
  width: number;
}

/**
 * Which of `places` a strip of `rows` rows of `room` px can show whole, in their order: all of them if they fit at their widest, else those where
 * somebody waits, and of these the ones with most people.
 */
export function chooseLines(places: readonly Place[], room: number, rows: number, gap: number): number[] {
  const everybody = places.map((_, index) => index);
  const fits = (chosen: number[]) => rowsOf(chosen.map((index) => places[index]?.width ?? 0), room, gap) <= rows;
  if (fits(everybody)) return everybody;
  const chosen = everybody.filter((index) => (places[index]?.count ?? 0) > 0);
  const byCount = [...chosen].sort((a, b) => (places[a]?.count ?? 0) - (places[b]?.count ?? 0) || b - a);
  for (const fewest of byCount) {
    if (fits(chosen)) break;
    chosen.splice(chosen.indexOf(fewest), 1);
  }
  return chosen;
}

function rowsOf(widths: number[], room: number, gap: number): number {
  let rows = 0;
  let left = -1;
  for (const width of widths) {
    if (left - gap - width < 0) {
      rows += 1;
      left = room - width;
    } else {
      left -= gap + width;
    }
  }
  return rows;
}
