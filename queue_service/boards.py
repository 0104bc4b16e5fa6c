"""
What each board shows: as the centre's file has it, or as it was changed while it runs.

A change stands in the store, with who made it and when, and is told to every process at once; it holds until it is
taken back.  What a changed board names and a later file does not know is left out, and a board that would show nothing
shows what the file says.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any, Final, Literal

import msgspec
from msgspec import Struct
from msgspec import inspect as shapes

from queue_service.audit import Audit
from queue_service.authority import Said
from queue_service.centre import Board, BoardSettings, Centre
from queue_service.centre_file import board_mistakes
from queue_service.dispatch import Dispatch
from queue_service.errors import Malformed, MediaInUse

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
    """A board as it is now: *by* is who last changed it, None as the file has it; times are Unix milliseconds."""

    board: Board
    by: str | None
    changed_at_ms: int | None
    seen_at_ms: int | None
    is_connected: bool
    screens: int
    """How many are connected, on all workers."""
    loudspeakers: int
    """How many of them sound."""
    builds: tuple[str, ...]
    """The pages they run; others than the service hands out load themselves anew when no call is fresh."""
    shown_at_ms: int | None
    """When one of them last confirmed that a call stood on it."""
    lag_ms: int | None
    """From the press of that call to the confirmation; None for a call that it found when it came."""
    spoken_at_ms: int | None
    unspoken: str | None
    """Why nobody heard the newest announcement: locked, away or broken."""


def _state(told: Iterable[Mapping[str, Any]], board: str, now_ms: int) -> dict[str, Any]:
    """How *board* is doing, from what each process said: screens of those that speak still, the newest of the rest."""
    own = [(one["at_ms"], one["boards"][board]) for one in told if board in one["boards"]]
    live = [state for at_ms, state in own if now_ms - at_ms < NOW_MS]
    nothing: Mapping[str, Any] = {}
    confirmed = [state for _, state in own if state["shown_at_ms"]]
    shown = max(confirmed, key=lambda state: state["shown_at_ms"], default=nothing)
    return {
        "screens": sum(state["screens"] for state in live),
        "loudspeakers": sum(state["loudspeakers"] for state in live),
        "builds": tuple(sorted({build for state in live for build in state["builds"]})),
        "shown_at_ms": shown.get("shown_at_ms"),
        "lag_ms": shown.get("lag_ms"),
        "spoken_at_ms": max((state["spoken_at_ms"] for _, state in own if state["spoken_at_ms"]), default=None),
        "unspoken": next((state["unspoken"] for state in live if state["unspoken"]), None),
    }


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
    """
    The boards of all centres.

    Args:
        audit: is told who changed what.
    """

    def __init__(self, dispatch: Dispatch, audit: Audit) -> None:
        self._dispatch, self._audit = dispatch, audit

    async def read(self, centre_id: str) -> list[Entry]:
        """Every board of the centre as it is now, in the order of the file."""
        centre = await self._dispatch.centre(centre_id)
        store = self._dispatch.store
        (changed, seen), told = await asyncio.gather(store.read_boards(centre_id), store.read_screens(centre_id))
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
                    **_state(told, board.id, now_ms),
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
        before = effective(centre, configured, _read(await self._dispatch.store.read_board(centre_id, board_id)))
        change = None
        if settings is not None:
            judge(centre, settings)
            change = Change(settings, by, self._dispatch.clock.now_ms())
        now = effective(centre, configured, change)
        word: Mapping[str, Any] = {"kind": "board", "board": board_id, "settings": msgspec.to_builtins(now)}
        await self._dispatch.store.put_board(
            centre_id, board_id, None if change is None else msgspec.json.encode(change), word
        )
        if now != before or settings is None:
            self._audit.note(
                self._audit.entry(
                    self._dispatch.clock.now_ms(),
                    centre=centre_id,
                    actor=by,
                    action="reset-board" if settings is None else "change-board",
                    object=f"board:{board_id}",
                    **_differences(before, now),
                )
            )
        return now

    async def require_unused(self, centre_id: str, file: str) -> None:
        """
        Do nothing if no board would miss the picture or film.

        Raises:
            MediaInUse: a board shows it, or would when it goes back to the centre's file.
        """
        centre = await self._dispatch.centre(centre_id)
        changed, _ = await self._dispatch.store.read_boards(centre_id)
        for board in centre.boards:
            change = _read(changed.get(board.id))
            for settings in (board, change.settings) if change else (board,):
                if file == settings.logo or file in settings.media:
                    raise MediaInUse(f"{board.name} shows it, or would as the centre's file says: change that first.")

    def note_media(self, centre_id: str, action: Literal["bring-media", "remove-media"], file: str, by: str) -> None:
        """Tell the audit who brought or removed a picture or film."""
        self._audit.note(
            self._audit.entry(
                self._dispatch.clock.now_ms(), centre=centre_id, actor=by, action=action, object=f"media:{file}"
            )
        )

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


def _differences(before: Board, now: Board) -> Said:
    """The settings that are others now, as the audit tells them: of what somebody typed only whether and how much."""
    changed: dict[str, object] = {}
    for name in BoardSettings.__struct_fields__:
        if (value := getattr(now, name)) != getattr(before, name):
            changed[name] = len(value) if name == "notices" else bool(value) if name == "motto" else value
    return msgspec.convert(msgspec.to_builtins(changed), Said)


def _read(stored: bytes | None) -> Change | None:
    """A stored change; one that another release wrote and this one cannot read is none."""
    try:
        return _change(stored) if stored is not None else None
    except msgspec.ValidationError:
        return None
