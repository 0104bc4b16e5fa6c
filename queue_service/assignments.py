"""
What counters serve for one business day instead of what the centre's file says.

Stored apart from the file, as text in the day's record, so that the next day begins with the file again.  Everybody
reads the centre with the day's assignments in it (`assigned`) and does not know the difference.  Knows no store.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from queue_service.centre import Centre, Counter, Serves, Service
from queue_service.codec import centre_pieces

Served = Mapping[str, int]
"""Service -> level."""


class Assignments(Struct, frozen=True):
    """The day, and by counter what it serves on that day."""

    day: str = ""
    counters: dict[str, dict[str, int]] = msgspec.field(default_factory=dict)

    def on(self, day: str) -> Assignments:
        """What of them holds on *day*."""
        return self if self.day == day else Assignments(day)

    def text(self) -> str:
        """As it is stored; empty when nothing is assigned."""
        return msgspec.json.encode(self).decode() if self.counters else ""


def read_assignments(text: str) -> Assignments:
    """What ``Assignments.text`` wrote."""
    return msgspec.json.decode(text, type=Assignments) if text else Assignments()


def assigned(file: Centre, assignments: Assignments) -> Centre:
    """
    The centre of *file* with the day's *assignments* in it.

    Counters and services that the file no longer has are passed over.  A counter leaves the file's clusters of the
    services that it does not serve; in one that it serves only today it helps, and no slip names it.
    """
    if not assignments.counters:
        return file
    known = {service.id for service in file.services}
    counters = tuple(_serving(counter, assignments.counters.get(counter.id), known) for counter in file.counters)
    services = tuple(_still_clustered(service, counters) for service in file.services)
    return replace(file, counters=counters, services=services)


def _serving(counter: Counter, served: Served | None, known: set[str]) -> Counter:
    if served is None:
        return counter
    lines = (Serves(service=service, level=level) for service, level in served.items() if service in known)
    return replace(counter, serves=tuple(lines))


def _still_clustered(service: Service, counters: tuple[Counter, ...]) -> Service:
    serving = {counter.id for counter in counters if counter.level(service.id) is not None}
    runs = (tuple(id for id in run if id in serving) for run in service.clusters)
    return replace(service, clusters=tuple(run for run in runs if run))


class After(Struct, frozen=True):
    """A centre after one more assignment: what is stored of it, and the value itself."""

    centre: Centre
    assignments: Assignments

    def packed(self) -> dict[str, Any]:
        """What the Function needs of it (lua/67_assign.lua)."""
        return {
            "version": self.centre.version,
            "assigned": self.assignments.text(),
            "pieces": centre_pieces(self.centre),
        }


def after(file: Centre, before: Assignments, day: str, counter: str, served: Served | None) -> After:
    """
    The centre of *file* on *day*, when *counter* serves *served* besides what was assigned *before* on that day.

    Args:
        served: None: what the file says.
    """
    counters = {id: lines for id, lines in before.on(day).counters.items() if id != counter}
    if served is not None and dict(served) != _in_file(file, counter):
        counters[counter] = dict(served)
    assignments = Assignments(day, counters)
    return After(assigned(file, assignments), assignments)


def _in_file(file: Centre, counter: str) -> dict[str, int]:
    rows = (one.serves for one in file.counters if one.id == counter)
    return {line.service: line.level for line in next(rows, ())}
