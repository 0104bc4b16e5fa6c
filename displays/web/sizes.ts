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
