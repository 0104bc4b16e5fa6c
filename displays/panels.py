"""
What small panels show, and how each make of them is told: a panel over a counter, a strip of lamps with the last calls.

Pure: the view of `board` in, a Face out; an Adapter turns a Face into the bytes of its make.  Rule 1: a panel shows its
latest Face and nothing else; what was overtaken on the way is never sent.  Rule 2: it shows what is true, or the idle
mark.  It knows neither ports nor clocks; `panel_agent` drives it.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum, auto
from typing import Any, Final, NamedTuple, Protocol

from displays.panel_file import Brightness, PanelEntry
from queue_service.device_frames import Frame, plain, question, read_answer
from queue_service.texts import t

IDLE_MARK: Final = "----"
"""Shown when nobody knows what is true: no link for a while, or the service cannot read its store."""
FREE_MARK: Final = "--"
"""Shown over a counter that is there and has nobody."""

_INVITED: Final = frozenset({"called", "serving"})


class Ring(NamedTuple):
    """One announcement of a call: the first, or a repeated one."""

    call: int
    rings: int


class Face(NamedTuple):
    """
    What a panel shows.

    Args:
        rows: printable ASCII, each no longer than the panel has columns; none: dark.
        ring: what its first row announces, until the visitor has come; a new one makes it blink.
    """

    rows: tuple[str, ...] = ()
    ring: Ring | None = None


def idle(panel: PanelEntry) -> Face:
    """The idle mark of *panel*."""
    return Face((IDLE_MARK[: panel.columns], *("",) * (panel.rows - 1)))


def face(panel: PanelEntry, view: Mapping[str, Any], numbers: Mapping[str, int]) -> Face:
    """
    What *panel* shows of the board's *view*.

    Args:
        numbers: counter id -> the number over it.
    """
    return _of_calls(panel, view, numbers) if panel.shows == "calls" else _of_counter(panel, view, numbers)


def _of_counter(panel: PanelEntry, view: Mapping[str, Any], numbers: Mapping[str, int]) -> Face:
    """The number that is at the counter, and the counter below it; dark when it is closed and nobody is there."""
    seat = view["counters"].get(panel.counter)
    counter = t(panel.language, "panel.counter", number=numbers.get(panel.counter, 0))
    ring = None
    if seat is not None and seat["number"] and seat["ticket_state"] in _INVITED:
        first, ring = seat["number"], _ring(seat)
    elif seat is None or seat["state"] == "closed":
        return Face()
    else:
        first = FREE_MARK
        paused = t(panel.language, "panel.paused")
        if seat["state"] == "paused" and len(paused) <= panel.columns:
            first = paused
    return Face(_rows(panel, first, counter), ring)


def _of_calls(panel: PanelEntry, view: Mapping[str, Any], numbers: Mapping[str, int]) -> Face:
    """The newest calls, newest first: number on the left, counter on the right."""
    calls = sorted(
        (seat["called_at_ms"], seat["call"], id, seat)
        for id, seat in view["counters"].items()
        if seat["number"] and seat["ticket_state"] in _INVITED and id in numbers
    )[::-1][: panel.rows]
    rows = []
    for _, _, id, seat in calls:
        counter = str(numbers[id])
        rows.append(f"{seat['number']:<{panel.columns - len(counter)}}{counter}")
    return Face(_rows(panel, *rows), _ring(calls[0][3]) if calls else None)


def _ring(seat: Mapping[str, Any]) -> Ring | None:
    return Ring(seat["call"], seat["rings"]) if seat["ticket_state"] == "called" else None


def _rows(panel: PanelEntry, *texts: str) -> tuple[str, ...]:
    """As many rows as the panel has, each cut to its columns."""
    cut = [plain(text)[: panel.columns].rstrip() for text in texts[: panel.rows]]
    return tuple(cut + [""] * (panel.rows - len(cut))) if any(cut) else ()


def brightness(plan: Brightness, minute: int) -> int:
    """How bright a panel is at *minute* of the centre's day, 0 to 9."""
    day, night = (int(time[:2]) * 60 + int(time[3:]) for time in (plan.day_from, plan.night_from))
    is_day = day <= minute < night if day <= night else not night <= minute < day
    return plan.day if is_day else plan.night


class Verdict(Enum):
    """What a line that came in says about the question that went out."""

    DONE = auto()
    REFUSED = auto()
    OTHER = auto()
    """Noise, an echo, or a late answer to an earlier question: wait on."""


class Adapter(Protocol):
    """
    How one make of panel is told.  A new make is a class with these four things, a name in ADAPTERS and in
    `panel_file.PanelEntry`, and a page of bytes in docs/hardware.md.
    """

    answers: bool
    """Whether the make confirms what it was told; only then is a call confirmed as shown."""

    def show(self, address: int, turn: int, face: Face, blink_s: int) -> bytes:
        """The bytes that show *face*; its first row blinks for *blink_s*, 0: it stands still."""
        ...

    def dim(self, address: int, turn: int, level: int) -> bytes | None:
        """The bytes that set the brightness, 0 to 9; None: the make cannot."""
        ...

    def verdict(self, address: int, turn: int, line: bytes) -> Verdict:
        """What *line* says about the question *turn* to *address*."""
        ...


class FramesAdapter:
    """Panels that speak the text protocol of `queue_service.device_frames`: D shows, C clears, L sets the light."""

    answers = True

    def show(self, address: int, turn: int, face: Face, blink_s: int) -> bytes:
        """As in Adapter."""
        if not any(face.rows):
            return question(Frame(address, turn, "C"))
        rows = "|".join(row.replace("|", "/") for row in face.rows)
        return question(Frame(address, turn, "D", f"{blink_s:02}{rows}"))

    def dim(self, address: int, turn: int, level: int) -> bytes:
        """As in Adapter."""
        return question(Frame(address, turn, "L", str(level)))

    def verdict(self, address: int, turn: int, line: bytes) -> Verdict:
        """As in Adapter."""
        said = read_answer(line)
        if said is None or (said.address, said.turn) != (address, turn):
            return Verdict.OTHER
        return {"A": Verdict.DONE, "N": Verdict.REFUSED}.get(said.command, Verdict.OTHER)


class LinesAdapter:
    """Strips that show whatever line they are sent and never answer; a row after the other, with a space between."""

    answers = False

    def show(self, address: int, turn: int, face: Face, blink_s: int) -> bytes:  # noqa: ARG002 - such strips have neither
        """As in Adapter."""
        return " ".join(row for row in face.rows if row).encode("ascii") + b"\r\n"

    def dim(self, address: int, turn: int, level: int) -> None:
        """As in Adapter."""

    def verdict(self, address: int, turn: int, line: bytes) -> Verdict:  # noqa: ARG002 - whatever it says is no answer
        """As in Adapter."""
        return Verdict.OTHER


ADAPTERS: Final[Mapping[str, Adapter]] = {"frames": FramesAdapter(), "lines": LinesAdapter()}
"""The name in the settings file -> how that make is told."""
