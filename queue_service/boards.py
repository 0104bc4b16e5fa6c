"""
What each board shows: as the centre's file has it, or as it was changed while it runs.

A change stands in the store, with who made it and when, and is told to every process at once; it holds until it is
taken back.  What a changed board names and a later file does not know is left out, and a board that would show nothing
shows what the file says.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Final

import msgspec
from msgspec import Struct
from msgspec import inspect as shapes

from queue_service.centre import Board, BoardSettings, Centre
from queue_service.centre_file import board_mistakes
from queue_service.dispatch import Dispatch
from queue_service.errors import Malformed

SEEN_MS: Final = 12 * 3_600_000
"""A board that had a screen within this time is expected to show its calls."""
NOW_MS: Final = 20_000
"""A board that had a screen within this time has one."""


class Change(Struct, frozen=True):
    """Another way for a board, and whose."""

    settings: BoardSettings
    by: str
    at_ms: int


class Entry(Struct, frozen=True):
    """A board as it is now: *change* is who last changed it, None as the file has it."""

    board: Board
    by: str | None
    changed_at_ms: int | None
    seen_at_ms: int | None
    is_connected: bool


_shape: Final = shapes.type_info(BoardSettings)
_change: Final = msgspec.json.Decoder(Change).decode


def effective(centre: Centre, board: Board, change: Change | None) -> Board:
    """*board* with its change, as far as *centre* knows what it names."""
    if change is None:
        return board
    zones = tuple(zone for zone in change.settings.zones if any(zone == known.id for known in centre.zones))
    counters = {counter.id for counter in centre.counters}
    if not zones or (change.settings.layout == "counter-top" and change.settings.counter not in counters):
        return board
    fields = {name: getattr(change.settings, name) for name in BoardSettings.__struct_fields__}
    return Board(id=board.id, name=board.name, **fields | {"zones": zones})


def judge(centre: Centre, settings: BoardSettings) -> None:
    """
    Refuse settings that a centre's file could not have.

    Raises:
        Malformed: the first mistake, with its place.
    """
    zones, counters = [zone.id for zone in centre.zones], [counter.id for counter in centre.counters]
    for problem in board_mistakes(msgspec.json.decode(msgspec.json.encode(settings)), _shape, zones, counters):
        if problem.severity == "error":
            raise Malformed(f"{problem}.")


class BoardBook:
    """The boards of all centres."""

    def __init__(self, dispatch: Dispatch) -> None:
        self._dispatch = dispatch

    async def read(self, centre_id: str) -> list[Entry]:
        """Every board of the centre as it is now, in the order of the file."""
        centre = await self._dispatch.centre(centre_id)
        changed, seen = await self._dispatch.store.read_boards(centre_id)
        now_ms = self._dispatch.clock.now_ms()
        entries = []
        for board in centre.boards:
            change, seen_at_ms = _read(changed.get(board.id)), seen.get(board.id)
            entries.append(
                Entry(
                    board=effective(centre, board, change),
                    by=change.by if change else None,
                    changed_at_ms=change.at_ms if change else None,
                    seen_at_ms=seen_at_ms,
                    is_connected=seen_at_ms is not None and now_ms - seen_at_ms < NOW_MS,
                )
            )
        return entries

    async def board(self, centre_id: str, board_id: str) -> Board:
        """
        One board as it is now.

        Raises:
            UnknownBoard: the centre has no such board.
        """
        centre, changed = await asyncio.gather(
            self._dispatch.centre(centre_id), self._dispatch.store.read_board(centre_id, board_id)
        )
        return effective(centre, centre.board(board_id), _read(changed))

    async def change(self, centre_id: str, board_id: str, settings: BoardSettings | None, by: str) -> Board:
        """
        Let a board show something else from now on, on every screen at once; None: what the file says.

        Raises:
            UnknownBoard: the centre has no such board.
            Malformed: the settings name what is not there, or hold what nobody could read.
        """
        centre, _ = await self._dispatch.in_force(centre_id)
        configured = centre.board(board_id)
        change = None
        if settings is not None:
            judge(centre, settings)
            change = Change(settings, by, self._dispatch.clock.now_ms())
        now = effective(centre, configured, change)
        word: Mapping[str, Any] = {"kind": "board", "board": board_id, "settings": msgspec.to_builtins(now)}
        await self._dispatch.store.put_board(
            centre_id, board_id, None if change is None else msgspec.json.encode(change), word
        )
        return now

    async def showing(self, centre_id: str, counter: str) -> dict[str, str]:
        """Names of the boards that should show a call at *counter*: those that had a screen today."""
        centre = await self._dispatch.centre(centre_id)
        place = next((one for one in centre.counters if one.id == counter), None)
        if place is None:
            return {}
        now_ms = self._dispatch.clock.now_ms()
        return {
            entry.board.id: entry.board.name
            for entry in await self.read(centre_id)
            if entry.seen_at_ms is not None
            and now_ms - entry.seen_at_ms < SEEN_MS
            and (
                entry.board.counter == counter
                if entry.board.layout == "counter-top"
                else place.zone in entry.board.zones
            )
        }


def _read(stored: bytes | None) -> Change | None:
    """A stored change; one that another release wrote and this one cannot read is none."""
    try:
        return _change(stored) if stored is not None else None
    except msgspec.ValidationError:
        return None
