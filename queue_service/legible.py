"""
How high the letters of a board stand, and from how far they are read: pure geometry.

A capital must be at least one two-hundredth of the distance high (signage practice).  Lengths are in reference pixels:
1920 × 1080 of them on any screen that hangs across, 1080 × 1920 on one that stands.  The page lays itself out by the
same rules (`displays/web/sizes.ts`; a test holds the two together), so that a centre can be judged before its screens
are bought.
"""

from __future__ import annotations

import math
from typing import Final, NamedTuple

CAP: Final = 0.727
"""Height of a capital or a figure, in parts of the font size of the numbers."""
DISTANCE_TO_CAP: Final = 200
LONG, SHORT = 1920, 1080

STAGE: Final = 300
"""Font size of the call on the stage."""
STAGE_UPRIGHT: Final = 280
ROW: Final = 130
"""Font size of the last calls, where the farthest reader asks for no more."""
ROW_WIDE: Final = 5.35
"""The width of "A001 → 13" in parts of its font size, with its gaps."""
ROW_HIGH: Final = 1.06
ROWS: Final = 5
CELL_WIDE: Final = 4.6
CELL_HIGH: Final = 1.2
CELL_WORDS: Final = 44
"""What the state of a counter takes below its number."""
STACK_WIDE: Final = 3.1
"""The width of a number above its counter."""
LINE_HIGH: Final = 1.12
STACK_HIGH: Final = 2.15
DEPARTMENT_HEAD: Final = 176
MOST: Final = 170
"""Numbers of a grid grow no further: what is left is calm."""
TOP: Final = 500
TOP_UPRIGHT: Final = 370
EDGES: Final = 96
HEAD, FOOT, STRIP = 86, 58, 158
HEAD_UPRIGHT, FOOT_UPRIGHT, STRIP_UPRIGHT = 150, 128, 273
STAGE_HIGH_UPRIGHT: Final = 610


class Grid(NamedTuple):
    """How things stand in rows and columns: as many pages as it takes, each as large as it may."""

    columns: int
    rows: int
    font: float
    pages: int


class Letters(NamedTuple):
    """What a board reaches: capitals of the call, of every other number, and how many stand there at once."""

    call_mm: float
    number_mm: float
    at_once: int
    pages: int


def mm_per_px(inches: float) -> float:
    """The height of a reference pixel on a 16:9 screen with a diagonal of *inches*."""
    return inches * 25.4 / math.hypot(LONG, SHORT)


def needed_mm(distance_m: float) -> float:
    """How high a capital must be for somebody *distance_m* away."""
    return distance_m * 1000 / DISTANCE_TO_CAP


def read_from_m(cap_mm: float) -> float:
    """From how far a capital of *cap_mm* is read."""
    return cap_mm * DISTANCE_TO_CAP / 1000


def cells(n: int, width: float, height: float, least: float, words: float, most: float) -> Grid:
    """
    *n* numbered cells: all at once as large as they fit, or on pages with numbers of the size *least*.

    Args:
        least: font size below which a number is not read any more.
        words: what a cell needs in height besides its number.
    """

    def font(columns: int, rows: int) -> float:
        return min(width / columns / CELL_WIDE, (height / rows - words) / CELL_HIGH, most)

    shapes = [(font(columns, -(-n // columns)), columns) for columns in range(1, max(n, 1) + 1)]
    best, columns = max(shapes, key=lambda shape: (shape[0], -shape[1]))
    if best >= least:
        return Grid(columns, max(1, -(-n // columns)), best, 1)
    columns = max(1, math.floor(width / (CELL_WIDE * least)))
    pages = -(-n // (columns * max(1, math.floor(height / (CELL_HIGH * least + words)))))
    rows = -(-n // (columns * pages))  # so that no page is nearly empty
    return Grid(columns, rows, font(columns, rows), pages)


class Blocks(NamedTuple):
    """Departments side by side: how many on a page, and how many calls each has room for, one line each or two."""

    columns: int
    rows: int
    font: float
    calls: int
    is_stacked: bool
    pages: int


def blocks(n: int, width: float, height: float, least: float, head: float, most: float, rows: int) -> Blocks:
    """
    *n* departments with their calls below, in at most *rows* rows.

    A call stands in one line where its block is wide enough at the size *least*, else the counter below the number.
    """
    columns = max(1, min(n, math.floor(width / (STACK_WIDE * least))))
    rows = max(1, min(rows, -(-n // columns)))
    pages = max(1, -(-n // (columns * rows)))
    columns = max(1, -(-n // (rows * pages)))  # so that no page is nearly empty
    wide = width / columns
    is_stacked = wide / ROW_WIDE < least
    font = min(wide / (STACK_WIDE if is_stacked else ROW_WIDE), max(most, least))
    calls = max(1, math.floor((height / rows - head) / (font * (STACK_HIGH if is_stacked else LINE_HIGH))))
    return Blocks(columns, rows, font, calls, is_stacked, pages)


def letters(layout: str, inches: float, distance_m: float, n: int, *, is_upright: bool = False) -> Letters:
    """
    What a board in *layout* reaches.

    Args:
        n: counters of its zones, for ``counters``; departments, for ``departments``.
        is_upright: the screen stands.
    """
    mm = mm_per_px(inches)
    least = needed_mm(distance_m) / mm / CAP
    width, height = (SHORT, LONG) if is_upright else (LONG, SHORT)
    head, foot, strip = (HEAD_UPRIGHT, FOOT_UPRIGHT, STRIP_UPRIGHT) if is_upright else (HEAD, FOOT, STRIP)
    inner, body = width - EDGES, height - head - foot
    if layout == "counter-top":
        top = (TOP_UPRIGHT if is_upright else TOP) * CAP * mm
        return Letters(top, top, 1, 1)
    if layout == "counters":
        grid = cells(n, inner, body - strip - 40, least, CELL_WORDS, MOST)
        cap = grid.font * CAP * mm
        return Letters(cap, cap, min(n, grid.columns * grid.rows), grid.pages)
    if layout == "departments":
        block = blocks(n, inner, body - 24, least, DEPARTMENT_HEAD, MOST, 2 if is_upright else 1)
        cap = block.font * CAP * mm
        return Letters(cap, cap, min(n, block.columns * block.rows) * block.calls, block.pages)
    across = inner if is_upright else 696
    font = min(max(ROW, least), across / ROW_WIDE)
    room = body - strip - STAGE_HIGH_UPRIGHT - 73 if is_upright else body - strip - 63
    rows = max(1, min(ROWS, math.floor(room / (font * ROW_HIGH))))
    return Letters((STAGE_UPRIGHT if is_upright else STAGE) * CAP * mm, font * CAP * mm, 1 + rows, 1)
