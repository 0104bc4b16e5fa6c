/**
 * How large is large enough, and how much stands on a board at once: the same rules as `queue_service/legible.py` (a test holds the two together).
 * Pure: lengths in, lengths out.
 */

/** Cap height of the number font, in parts of the font size. */
export const CAP_OF_NUMBERS = 0.727;
const DISTANCE_TO_CAP = 200;

/** In reference pixels: 1920 × 1080 of them, or 1080 × 1920, on any screen. */
export const STAGE = 300;
export const STAGE_UPRIGHT = 280;
export const ROW = 130;
export const ROWS = 5;
export const MOST = 170;
export const CELL_WORDS = 44;
export const DEPARTMENT_HEAD = 176;
export const TOP = 500;
export const TOP_UPRIGHT = 370;

/** In parts of the font size. */
export const ROW_WIDE = 5.35;
export const ROW_HIGH = 1.06;
export const CELL_WIDE = 4.6;
export const CELL_HIGH = 1.2;
export const STACK_WIDE = 3.1;
export const LINE_HIGH = 1.12;
export const STACK_HIGH = 2.15;

export interface Screen {
  widthPx: number;
  heightPx: number;
  inches: number;
  distanceM: number;
}

/** Pixels of a reference pixel. */
export function unitOf(width: number, height: number): number {
  return height > width ? Math.min(width / 1080, height / 1920) : Math.min(width / 1920, height / 1080);
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

/** How things stand in rows and columns: as many pages as it takes, each as large as it may. */
export interface Grid {
  columns: number;
  rows: number;
  font: number;
  pages: number;
}

/** `n` numbered cells: all at once as large as they fit, or on pages with numbers of the size `least`; `words`: their height besides the number. */
export function cells(n: number, width: number, height: number, least: number, words: number, most: number): Grid {
  const font = (columns: number, rows: number) => Math.min(width / columns / CELL_WIDE, (height / rows - words) / CELL_HIGH, most);
  let columns = 1;
  for (let wider = 2; wider <= n; wider += 1) {
    if (font(wider, Math.ceil(n / wider)) > font(columns, Math.ceil(n / columns))) columns = wider;
  }
  const best = font(columns, Math.ceil(n / columns));
  if (best >= least) return { columns, rows: Math.max(1, Math.ceil(n / columns)), font: best, pages: 1 };
  columns = Math.max(1, Math.floor(width / (CELL_WIDE * least)));
  const mostRows = Math.max(1, Math.floor(height / (CELL_HIGH * least + words)));
  const pages = Math.ceil(n / (columns * mostRows));
  const rows = Math.ceil(n / (columns * pages)); // so that no page is nearly empty
  return { columns, rows, font: font(columns, rows), pages };
}

/** Departments side by side: how many on a page, and how many calls each has room for, one line each or two. */
export interface Blocks extends Grid {
  calls: number;
  stacked: boolean;
}

/** `n` departments with their calls below, in at most `most_rows` rows; a call stands in one line where its block is wide enough at the size `least`. */
export function blocks(n: number, width: number, height: number, least: number, head: number, most: number, mostRows: number): Blocks {
  let columns = Math.max(1, Math.min(n, Math.floor(width / (STACK_WIDE * least))));
  const rows = Math.max(1, Math.min(mostRows, Math.ceil(n / columns)));
  const pages = Math.max(1, Math.ceil(n / (columns * rows)));
  columns = Math.max(1, Math.ceil(n / (rows * pages))); // so that no page is nearly empty
  const wide = width / columns;
  const stacked = wide / ROW_WIDE < least;
  const font = Math.min(wide / (stacked ? STACK_WIDE : ROW_WIDE), Math.max(most, least));
  const calls = Math.max(1, Math.floor((height / rows - head) / (font * (stacked ? STACK_HIGH : LINE_HIGH))));
  return { columns, rows, font, calls, stacked, pages };
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
