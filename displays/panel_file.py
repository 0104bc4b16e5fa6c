"""
The settings file of the agent for panels: which ports there are, which panels hang on them, and what each one shows.

docs/hardware.md explains every entry.  It knows no port and no service.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

from msgspec import Meta, Struct

from queue_service.centre_file import TIME, Problem
from queue_service.device_file import Address, Id, PortEntry, Text, miswired, read_file

MOST_LETTERS = 115
"""As many as a frame has room for, one for the end of each row."""

Level = Annotated[int, Meta(ge=0, le=9)]


class PanelEntry(Struct, frozen=True, kw_only=True):
    """One panel."""

    id: Id
    port: Id
    address: Address = 1
    adapter: Literal["frames", "lines"] = "frames"
    shows: Literal["counter", "calls"] = "counter"
    counter: Annotated[str, Meta(max_length=32)] = ""
    """Which one a panel that shows a counter belongs to."""
    rows: Annotated[int, Meta(ge=1, le=8)] = 1
    columns: Annotated[int, Meta(ge=4, le=40)] = 8
    language: Literal["vi", "en"] = "vi"


class Brightness(Struct, frozen=True, kw_only=True):
    """How bright panels are, by the clock of the centre; 0 is the darkest that can be read."""

    day: Level = 9
    night: Level = 3
    day_from: Annotated[str, Meta(pattern=TIME)] = "06:30"
    night_from: Annotated[str, Meta(pattern=TIME)] = "18:00"


class PanelFile(Struct, frozen=True, kw_only=True):
    """The whole file."""

    service: Text
    """Address of the service, or of whoever serves its boards."""
    centre: Id
    board: Id
    """Whose zones the panels belong to; the token is that of this board."""
    token_file: Text
    idle_after_s: Annotated[int, Meta(ge=3, le=3600)] = 20
    blink_s: Annotated[int, Meta(ge=0, le=99)] = 10
    brightness: Brightness = Brightness()
    metrics_port: Annotated[int, Meta(ge=0, le=65535)] = 0
    """0: nobody asks."""
    ports: Annotated[tuple[PortEntry, ...], Meta(min_length=1)]
    panels: Annotated[tuple[PanelEntry, ...], Meta(min_length=1)]


def load(path: Path) -> PanelFile:
    """
    The settings in *path*.

    Raises:
        FaultyFile: with the place of every mistake.  OSError: it cannot be read.
    """
    return read_file(path, PanelFile, _sense)


def _sense(file: PanelFile) -> Iterator[Problem]:
    yield from miswired(file.service, file.ports, file.panels, "panels")
    for n, panel in enumerate(file.panels):
        if (panel.shows == "counter") != bool(panel.counter):
            yield Problem(f"panels[{n}].counter", "is there exactly when the panel shows a counter")
        if panel.rows * (panel.columns + 1) > MOST_LETTERS:
            yield Problem(f"panels[{n}].rows", f"{panel.rows} rows of {panel.columns} do not fit in one frame")
