"""
What if: the same days at the same centre, with other counters, through the real core.

For whoever plans tomorrow: which counters to open, whom to lend to whom.  The same invented people come to both halls,
so the difference is the plan's and not the day's; days of several seeds give its interval.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import sqrt
from typing import Final

import msgspec

from loadtest.days import make_day
from loadtest.plan import DayProfile
from loadtest.replay import Replay, Row, private_core
from queue_service.centre import Centre, Counter, Serves

STUDENT_95: Final = (0.0, 12.71, 4.30, 3.18, 2.78, 2.57, 2.45, 2.36, 2.31, 2.26, 2.23)
"""Two-sided 95 % points of Student's t for 1, 2, … degrees of freedom; beyond the table 2."""


@dataclass(frozen=True, slots=True)
class Setting:
    """
    One way to run the day.

    Args:
        closed: counters that stay closed.
        serves: counter -> service -> level, instead of what the centre's file says.
    """

    closed: frozenset[str] = frozenset()
    serves: Mapping[str, Mapping[str, int]] = field(default_factory=dict)

    def centre(self, centre: Centre, id: str) -> Centre:
        """*centre* so run, under another *id*."""
        counters = tuple(self._counter(counter) for counter in centre.counters)
        policy = msgspec.structs.replace(centre.policy, auto_ready=False, calls_before_no_show=1, no_show_returns=0)
        return msgspec.structs.replace(centre, id=id, counters=counters, policy=policy)

    def _counter(self, counter: Counter) -> Counter:
        if counter.id not in self.serves:
            return counter
        serves = tuple(Serves(service, level) for service, level in self.serves[counter.id].items())
        return msgspec.structs.replace(counter, serves=serves)


@dataclass(frozen=True, slots=True)
class Waits:
    """The first waits (seconds) of one department on one day."""

    seconds: tuple[float, ...]
    unserved: int

    def mean(self) -> float:
        """The average."""
        return statistics.fmean(self.seconds) if self.seconds else 0.0

    def percentile(self, p: float) -> float:
        """The wait that the share *p* of the people does not exceed, linearly between two people."""
        ordered = sorted(self.seconds)
        if not ordered:
            return 0.0
        place = (len(ordered) - 1) * p
        low = int(place)
        high = min(low + 1, len(ordered) - 1)
        return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


@dataclass(frozen=True, slots=True)
class Change:
    """One figure before and after (seconds, means over the days), and the interval of the change."""

    before: float
    after: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Line:
    """One department's figures."""

    department: str
    people: float
    mean: Change
    p90: Change
    p95: Change
    unserved_before: float
    unserved_after: float


async def compare(
    centre: Centre, profile: DayProfile, level: str, seeds: Sequence[int], before: Setting, after: Setting
) -> list[Line]:
    """Play a day per seed in both settings; a line per department somebody comes to, and one for the whole centre."""
    days: list[tuple[dict[str, Waits], dict[str, Waits]]] = []
    async with private_core() as (dispatch, clock):
        for seed in seeds:
            both = []
            for name, setting in (("before", before), ("after", after)):
                meta, events = make_day(centre, profile, level, seed, closed=setting.closed, serves=setting.serves)
                hall = setting.centre(centre, f"{name}-{seed}")
                log = await Replay(meta, events, dispatch, clock, hall).run()
                both.append(waits_of(centre, events, log))
            days.append((both[0], both[1]))
    departments = ["", *(department.id for department in centre.departments)]
    return [_line(id, days) for id in departments if any(id in first for first, _ in days)]


def waits_of(centre: Centre, events: Sequence[Row], log: Sequence[Row]) -> dict[str, Waits]:
    """First waits by department; the empty name stands for the whole centre."""
    arrived = {row["id"]: (row["t"], row["need"][0]["d"]) for row in events if row["ev"] == "arrive"}
    called: dict[str, float] = {}
    for row in log:
        if row["ev"] == "call":
            called.setdefault(row["id"], row["called"])
    waits: dict[str, list[float]] = {}
    unserved: dict[str, int] = {}
    for id, (at, service) in arrived.items():
        for name in ("", centre.department_of(service).id):
            waits.setdefault(name, [])
            if id in called:
                waits[name].append(called[id] - at)
            else:
                unserved[name] = unserved.get(name, 0) + 1
    return {name: Waits(tuple(seconds), unserved.get(name, 0)) for name, seconds in waits.items()}


def _line(department: str, days: Sequence[tuple[Mapping[str, Waits], Mapping[str, Waits]]]) -> Line:
    nobody = Waits((), 0)
    pairs = [(before.get(department, nobody), after.get(department, nobody)) for before, after in days]
    return Line(
        department,
        statistics.fmean(len(before.seconds) + before.unserved for before, _ in pairs),
        _change([(before.mean(), after.mean()) for before, after in pairs]),
        _change([(before.percentile(0.9), after.percentile(0.9)) for before, after in pairs]),
        _change([(before.percentile(0.95), after.percentile(0.95)) for before, after in pairs]),
        statistics.fmean(before.unserved for before, _ in pairs),
        statistics.fmean(after.unserved for _, after in pairs),
    )


def _change(pairs: Sequence[tuple[float, float]]) -> Change:
    differences = [after - before for before, after in pairs]
    middle = statistics.fmean(differences)
    degrees = len(differences) - 1
    student = STUDENT_95[degrees] if degrees < len(STUDENT_95) else 2.0
    half = student * statistics.stdev(differences) / sqrt(len(differences)) if degrees else 0.0
    before = statistics.fmean(before for before, _ in pairs)
    return Change(before, before + middle, middle - half, middle + half)


def table(centre: Centre, lines: Sequence[Line]) -> str:
    """The comparison as a table in minutes."""
    heads = ("", "people", "mean", "90 % within", "change of the 90 %", "not served")
    rows = [heads, *(_cells(centre, line) for line in lines)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(heads))]
    return "\n".join(
        "  ".join(
            [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        )
        for row in rows
    )


def _cells(centre: Centre, line: Line) -> tuple[str, ...]:
    change = f"{_signed(line.p90.after - line.p90.before)} [{_signed(line.p90.low)}, {_signed(line.p90.high)}]"
    return (
        centre.department(line.department).name[:40] if line.department else "Toàn trung tâm",
        f"{line.people:.0f}",
        f"{_minutes(line.mean.before)} → {_minutes(line.mean.after)}",
        f"{_minutes(line.p90.before)} → {_minutes(line.p90.after)}",
        change,
        f"{line.unserved_before:.0f} → {line.unserved_after:.0f}",
    )


def _minutes(seconds: float) -> str:
    return f"{seconds / 60:.1f}"


def _signed(seconds: float) -> str:
    return f"{seconds / 60:+.1f}"
