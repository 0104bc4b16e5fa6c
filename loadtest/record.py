"""
The history of a run, as a stream of MessagePack maps: what was pressed and answered, what every screen received, and
the truth afterwards.

Pure but for the file it is handed.  `drive` and `screens` fill it, `verify` and `report` read it, and so can anybody
with ``msgpack.Unpacker``: each map names its kind under ``row``.  Times ending in ``_ns`` are of one monotonic clock
of one machine; ``Run`` holds one instant on both clocks.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, BinaryIO

import msgpack
import msgspec


class Row(msgspec.Struct, frozen=True, kw_only=True, tag_field="row", tag=str.lower):
    """One map of the stream."""


class Run(Row, frozen=True, kw_only=True):
    """The beginning: what was run, against what, on which machine."""

    name: str
    seed: int
    pace: str
    seconds: float
    speed: float
    base: str
    centre: dict[str, Any]
    machine: dict[str, str]
    started_ns: int
    started_ms: int
    """The same instant as ``started_ns``, in Unix milliseconds."""
    after_seq: int = 0
    """The newest event before the run; what is older was told to others."""

    def wall_ms(self, at_ns: int) -> float:
        """Unix milliseconds of a monotonic instant."""
        return self.started_ms + (at_ns - self.started_ns) / 1e6


class Pressed(Row, frozen=True, kw_only=True):
    """One request on the wire.  A press sent several times is several rows with one key."""

    key: str
    who: str
    """``kiosk:k1`` or ``counter:q05``."""
    press: str
    body: dict[str, Any]
    planned_ns: int
    sent_ns: int
    done_ns: int
    status: int
    """HTTP status; 0 when the answer was lost."""
    answer: dict[str, Any] | None = None
    """The JSON answered, refusals included."""
    lost: str = ""
    """Why there is no answer."""


class Joined(Row, frozen=True, kw_only=True):
    """A screen said hello and was answered with a snapshot, or with a promise to continue from its cursor."""

    screen: str
    board: str
    link: int
    at_ns: int
    asked_epoch: str | None
    asked_seq: int | None
    epoch: str
    seq: int
    recovered: bool
    view: dict[str, Any] | None = None


class Frame(Row, frozen=True, kw_only=True):
    """An event at a screen.  The first screen that sees a number keeps the event; the others keep its digest."""

    screen: str
    link: int
    at_ns: int
    seq: int
    digest: int
    event: dict[str, Any] | None = None


class Left(Row, frozen=True, kw_only=True):
    """A connection of a screen ended; ``planned`` when the plan cut it or the run was over."""

    screen: str
    link: int
    at_ns: int
    code: int
    planned: bool


class Fact(Row, frozen=True, kw_only=True):
    """An event of the centre's log, in the form for staff."""

    epoch: str
    event: dict[str, Any]


class Truth(Row, frozen=True, kw_only=True):
    """``GET …/state`` when everything was quiet again."""

    state: dict[str, Any]


class BoardTruth(Row, frozen=True, kw_only=True):
    """``GET …/boards/{board}`` when everything was quiet again."""

    board: str
    epoch: str
    seq: int
    view: dict[str, Any]


class Cost(Row, frozen=True, kw_only=True):
    """CPU seconds used between the first and the last planned press."""

    service_s: float
    voice_s: float
    store_s: float
    clients_s: float
    service_rss_kb: int


AnyRow = Run | Pressed | Joined | Frame | Left | Fact | Truth | BoardTruth | Cost


def write(rows: Iterable[AnyRow], file: BinaryIO) -> None:
    """Append *rows* to *file*."""
    encoder = msgspec.msgpack.Encoder()
    for row in rows:
        file.write(encoder.encode(row))


def read(file: BinaryIO) -> Iterator[AnyRow]:
    """
    The rows of *file*, one after the other.

    Raises:
        msgspec.ValidationError: a map is no row of ours.
    """
    for row in msgpack.Unpacker(file, raw=False, max_buffer_size=0):
        yield msgspec.convert(row, AnyRow)
