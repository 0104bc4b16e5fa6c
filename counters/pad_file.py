"""
The settings file of the agent for call pads: which ports there are, which pads hang on them, and at whose counter.

docs/hardware.md explains every entry.  It knows no port and no service.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

from msgspec import Meta, Struct

from queue_service.centre_file import Problem
from queue_service.device_file import Address, Id, PortEntry, Text, miswired, read_file, repeated

KEYS = 5

Wish = Literal["next", "recall", "serve", "no-show", "park", "complete", "undo", "nothing"]
"""What a key of a pad may mean: ``next`` calls, or opens the counter; ``serve`` starts, then completes."""


class PadEntry(Struct, frozen=True, kw_only=True):
    """One pad, at one counter."""

    id: Id
    port: Id
    address: Address = 1
    counter: Id
    token_file: Text
    """Mode 0600: the session of the officer who sits there, as ``python -m counters sign-in`` writes it."""
    keys: tuple[Wish, ...] = ("next", "recall", "serve", "no-show", "park")
    columns: Annotated[int, Meta(ge=8, le=40)] = 16
    """Of its display of two rows."""
    language: Literal["vi", "en"] = "vi"


class PadFile(Struct, frozen=True, kw_only=True):
    """The whole file."""

    service: Text
    centre: Id
    state_dir: Text
    """Folder for the presses that nobody has answered yet."""
    ports: Annotated[tuple[PortEntry, ...], Meta(min_length=1)]
    pads: Annotated[tuple[PadEntry, ...], Meta(min_length=1)]


def load(path: Path) -> PadFile:
    """
    The settings in *path*.

    Raises:
        FaultyFile: with the place of every mistake.  OSError: it cannot be read.
    """
    return read_file(path, PadFile, _sense)


def _sense(file: PadFile) -> Iterator[Problem]:
    yield from miswired(file.service, file.ports, file.pads, "pads")
    yield from repeated((pad.counter for pad in file.pads), "pads.counter")
    for n, pad in enumerate(file.pads):
        if len(pad.keys) != KEYS:
            yield Problem(f"pads[{n}].keys", f"names {len(pad.keys)} keys; a pad has {KEYS}")
