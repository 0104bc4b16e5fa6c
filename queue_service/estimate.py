"""
Announced waits: how long a new ticket will wait for its first call, as an interval that is right four times in five.

``Forecast`` plays the discipline forward from what a hall looks like now, with mean service times; ``Calibration``
learns from every first call how far such forecasts were off and turns the next one into an interval (adaptive conformal
prediction).  Both are pure: fed by ``hall.py`` and dispatch, off the path of a call.  Formulas and their measurement:
docs/allocation.md, "Announced waiting time".
"""

from __future__ import annotations

import bisect
import heapq
import math
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Final

import msgspec

NO_SHOW_DISCOUNT: Final = 0.96
"""A few of those called do not come, so a counter is free a little sooner."""
LEAST_LEFT: Final = 0.4
"""Of a mean service time: what is left of a service that lasts longer than its mean."""
PAUSE_MS: Final = 720_000
"""How long a pause is expected to last."""
PRIOR_MS: Final = 3_600_000
"""An hour of waiting, announced rightly: what the correction starts from."""
FORGET: Final = 0.995
REMEMBERED: Final = 400
ENOUGH: Final = 25
MISSES_WANTED: Final = 0.1
STEP: Final = 0.01
FIRST_LOW: Final = -1.0
FIRST_HIGH: Final = 1.4


@dataclass(frozen=True, slots=True)
class Waiting:
    """A ticket in line, as far as a forecast needs it."""

    id: str
    cls: str
    virtual_ms: int
    order: str
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Serving:
    """A counter that will call: when it is free, and its lines with their levels."""

    free_at_ms: float
    position: int
    lines: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True)
class Discipline:
    """
    The numbers of counted-wait first.

    Args:
        ratio: class -> promise of the standard class divided by its own.
        means_ms: service -> mean service time.
    """

    ratio: Mapping[str, float]
    handicap_ms: float
    kappa: float
    means_ms: Mapping[str, float]


def forecast(
    discipline: Discipline, waiting: Iterable[Waiting], counters: Iterable[Serving], ticket: str
) -> float | None:
    """
    When (Unix ms) *ticket*, one of *waiting*, would be called if nobody else came; None when no counter would.

    Repeatedly the counter that is free first takes the ticket with the largest counted wait at that moment and is busy
    for a mean service. O(tickets * lines of a counter).
    """
    heads: dict[tuple[str, str], deque[Waiting]] = {}
    for entry in sorted(waiting, key=attrgetter("virtual_ms", "order")):
        for service in entry.lines:
            heads.setdefault((service, entry.cls), deque()).append(entry)
    # Of each line a counter may call from, what the counted wait needs, worked out once: a press waits for this loop.
    free = []
    for counter in counters:
        calls_from = []
        for service, level in counter.lines:
            handicap_ms = discipline.handicap_ms * (level - 1)
            kappa_ms = discipline.kappa * discipline.means_ms[service]
            for cls, ratio in discipline.ratio.items():
                if (line := heads.get((service, cls))) is not None:
                    calls_from.append((line, ratio, handicap_ms, kappa_ms, service))
        free.append((counter.free_at_ms, counter.position, calls_from))
    heapq.heapify(free)
    taken: set[str] = set()
    while free:
        now_ms, position, calls_from = free[0]
        best, called, called_for = -math.inf, None, ""
        for line, ratio, handicap_ms, kappa_ms, service in calls_from:
            while line and line[0].id in taken:
                line.popleft()
            if line:
                first = line[0]
                counted = ratio * (now_ms - first.virtual_ms) - handicap_ms - kappa_ms
                if counted > best or (counted == best and called is not None and first.order < called.order):
                    best, called, called_for = counted, first, service
        if called is None:
            heapq.heappop(free)
            continue
        if called.id == ticket:
            return now_ms
        taken.add(called.id)
        free_ms = now_ms + NO_SHOW_DISCOUNT * discipline.means_ms[called_for]
        heapq.heapreplace(free, (free_ms, position, calls_from))
    return None


class Estimate(msgspec.Struct, frozen=True):
    """An announced wait, in ms from the moment of issue, with what it was made from."""

    low_ms: int
    mid_ms: int
    high_ms: int
    raw_ms: int
    base_ms: int
    scale_ms: int


@dataclass(slots=True)
class _Kind:
    """What has been learned about one kind of ticket: the errors of the last first calls, and the two tails."""

    errors: deque[float] = field(default_factory=lambda: deque(maxlen=REMEMBERED))
    ordered: list[float] = field(default_factory=list)
    low_tail: float = MISSES_WANTED
    high_tail: float = 1.5 * MISSES_WANTED
    sooner: float = MISSES_WANTED / 2
    """Share of late that were called sooner than announced."""

    def add(self, error: float) -> None:
        if len(self.errors) == REMEMBERED:
            self.ordered.pop(bisect.bisect_left(self.ordered, self.errors[0]))
        self.errors.append(error)
        bisect.insort(self.ordered, error)

    def bounds(self) -> tuple[float, float]:
        n = len(self.ordered)
        if n < ENOUGH:
            return FIRST_LOW, FIRST_HIGH
        return self._quantile(self.low_tail, n), self._quantile(1 - self.high_tail, n)

    def _quantile(self, p: float, n: int) -> float:
        return self.ordered[min(max(math.ceil(p * (n + 1)), 1), n) - 1]


class Calibration:
    """What first calls have taught about forecasts, per class."""

    def __init__(self) -> None:
        self._actual: dict[str, float] = {}
        self._raw: dict[str, float] = {}
        self._kinds: dict[tuple[str, bool], _Kind] = {}

    def announce(self, cls: str, raw_ms: float, base_ms: float, mean_ms: float, open_counters: int) -> Estimate:
        """
        The interval for a ticket of *cls* whose forecast says *raw_ms*.

        Args:
            base_ms: time to the next opening hours, 0 inside them.
            mean_ms, open_counters: of the ticket's line.
        """
        correction = (self._actual.get(cls, 0.0) + PRIOR_MS) / (self._raw.get(cls, 0.0) + PRIOR_MS)
        mid = base_ms + max(raw_ms - base_ms, 0.0) * correction
        pace = mean_ms / max(open_counters, 1)
        scale = math.sqrt((mid - base_ms) * pace + (0.3 * pace) ** 2) + 15_000
        low, high = self._kinds.setdefault((cls, mid > base_ms), _Kind()).bounds()
        return Estimate(
            low_ms=max(round(mid + low * scale), 0),
            mid_ms=round(mid),
            high_ms=max(round(mid + high * scale), 0),
            raw_ms=round(raw_ms),
            base_ms=round(base_ms),
            scale_ms=round(scale),
        )

    def learn(self, cls: str, estimate: Estimate, actual_ms: float) -> None:
        """The first call of a ticket of *cls* came *actual_ms* after its issue."""
        self._actual[cls] = FORGET * self._actual.get(cls, 0.0) + (actual_ms - estimate.base_ms)
        self._raw[cls] = FORGET * self._raw.get(cls, 0.0) + max(estimate.raw_ms - estimate.base_ms, 0)
        kind = self._kinds.setdefault((cls, estimate.mid_ms > estimate.base_ms), _Kind())
        kind.add((actual_ms - estimate.mid_ms) / estimate.scale_ms)
        was_sooner = actual_ms < estimate.low_ms
        kind.low_tail = _moved(kind.low_tail, MISSES_WANTED, was_sooner)
        # Nobody is called sooner than at once: what such announcements never miss below, they may miss above.
        kind.sooner += STEP * (was_sooner - kind.sooner)
        kind.high_tail = _moved(kind.high_tail, 2 * MISSES_WANTED - kind.sooner, actual_ms > estimate.high_ms)


def _moved(tail: float, wanted: float, has_missed: bool) -> float:
    return min(max(tail + STEP * (wanted - has_missed), 0.005), 0.4)


def minutes(estimate: Estimate) -> tuple[int, int]:
    """The interval in whole minutes, rounded outwards, as it is printed."""
    return estimate.low_ms // 60_000, math.ceil(estimate.high_ms / 60_000)


def free_at(
    now_ms: float, state: str, called_at_ms: float | None, mean_ms: float, since_ms: float, opening_ms: float
) -> float:
    """
    When a counter will call next.

    Args:
        state: open, paused, or closed (and expected back at the next opening).
        called_at_ms: of the visitor in hand, None when there is none; *mean_ms* is that service's mean.
        since_ms: since when it is in this state.
        opening_ms: the next opening hours, *now_ms* inside them.
    """
    if state == "paused":
        return max(since_ms + PAUSE_MS, now_ms, opening_ms)
    if called_at_ms is None:
        return max(now_ms, opening_ms)
    return max(now_ms + max(mean_ms - (now_ms - called_at_ms), LEAST_LEFT * mean_ms), opening_ms)
