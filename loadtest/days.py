"""
Days that never were: traces drawn from a centre and a day profile.

Pure; the same seed gives the same people, whatever counters are open, so that two ways to run a day can be compared
person by person. Feeds ``replay.py`` and ``whatif.py``; the trace format is in ``loadtest/README.md``.
"""

from __future__ import annotations

import random
from collections.abc import Collection, Mapping
from typing import Any, Final

from loadtest.plan import DayProfile, arrival_times, choose_service, clock_s
from queue_service.centre import Centre

NO_SHOW_S: Final = 90
"""A counter waits this long for somebody who does not come: three announcements."""
BACK_AFTER_S: Final = (300.0, 1500.0)
"""Whoever fetches a missing paper is back within this span."""

Row = dict[str, Any]


def make_day(
    centre: Centre,
    profile: DayProfile,
    level: str,
    seed: int,
    *,
    closed: Collection[str] = (),
    serves: Mapping[str, Mapping[str, int]] | None = None,
) -> tuple[Row, list[Row]]:
    """
    A day at *centre*: its meta line and its events.

    Args:
        level: how many visitors, by the profile's words (low, typical, high, peak, stress).
        closed: counters that stay closed.
        serves: counter -> service -> level, instead of what the centre's file says.
    """
    sessions = [(clock_s(span.start), clock_s(span.end)) for span in centre.hours.sessions]
    meta = {
        "ev": "meta",
        "scenario": f"{centre.id}-{level}-{seed}",
        "depts": [{"id": service.id, "svc_prior_s": service.mean_service_s} for service in centre.services],
        "counters": [{"id": counter.id, "skills": _skills(centre, counter.id, serves)} for counter in centre.counters],
        "classes": [{"id": short, "sla_s": sla} for short, sla in (("std", 1800), ("pri", 900), ("apt", 600))],
        "noshow_s": NO_SHOW_S,
        "hours": sessions,
    }
    events: list[Row] = []
    for counter in centre.counters:
        if counter.id not in closed:
            for n, (start, end) in enumerate(sessions):
                events.append({"t": start, "ev": "open" if n == 0 else "resume", "c": counter.id})
                events.append({"t": end, "ev": "close" if n == len(sessions) - 1 else "pause", "c": counter.id})
    events += _arrivals(centre, profile, level, seed)
    return meta, sorted(events, key=lambda row: float(row["t"]))


def waits_in_words(events: Collection[Row], calls: Collection[Row]) -> str:
    """How long the visitors of a played day waited for their first call."""
    came = {row["id"]: float(row["t"]) for row in events if row["ev"] == "arrive"}
    first: dict[str, float] = {}
    for call in calls:
        first.setdefault(call["id"], float(call["called"]) - came[call["id"]])
    if not first:
        return "nobody was called"
    waits = sorted(first.values())
    mean, p90, p95 = (seconds / 60 for seconds in (sum(waits) / len(waits), *(_part(waits, p) for p in (0.9, 0.95))))
    return (
        f"{len(came)} visitors, {len(came) - len(first)} not called; "
        f"waits: mean {mean:.1f}, p90 {p90:.1f}, p95 {p95:.1f} minutes"
    )


def _part(ordered: list[float], share: float) -> float:
    return ordered[min(int(share * len(ordered)), len(ordered) - 1)]


def _skills(centre: Centre, counter: str, serves: Mapping[str, Mapping[str, int]] | None) -> list[tuple[str, int]]:
    if serves and counter in serves:
        return list(serves[counter].items())
    return [(line.service, line.level) for line in centre.counter(counter).serves]


def _arrivals(centre: Centre, profile: DayProfile, level: str, seed: int) -> list[Row]:
    rng = random.Random(seed)
    offered = [service.id for service in centre.services]
    first, last = (clock_s(centre.hours.ticket_sessions[i].start) for i in (0, 0)), centre.hours.ticket_sessions[-1].end
    rows = []
    for number, at in enumerate(arrival_times(profile, profile.visitors[level], next(first), rng), 1):
        if at >= clock_s(last):
            break
        service = choose_service(profile, offered, rng)
        rows.append(
            {
                "t": round(at),
                "ev": "arrive",
                "id": f"V{number:04}",
                "cls": "pri" if rng.random() < profile.priority_share else "std",
                "need": _needs(profile, service, offered, rng),
            }
        )
    return rows


def _needs(profile: DayProfile, service: str, offered: list[str], rng: random.Random) -> list[Row]:
    """
    What one visitor turns out to need: usually one service, sometimes a paper is missing, or another office is meant.
    """
    run: list[Row] = [{"s": _service_s(profile, service, rng)}]
    if rng.random() < profile.no_show_share:
        return [{"d": service, "run": [{"out": "gone"}]}]
    if rng.random() < profile.missing_papers_share:
        run = [{"s": _service_s(profile, service, rng), "out": "park", "gap": round(rng.uniform(*BACK_AFTER_S))}, *run]
    needs: list[Row] = [{"d": service, "run": run}]
    if rng.random() < profile.transfer_share:
        other = choose_service(profile, [id for id in offered if id != service], rng)
        needs.append({"d": other, "run": [{"s": _service_s(profile, other, rng)}], "hid": True})
    return needs


def _service_s(profile: DayProfile, service: str, rng: random.Random) -> int:
    """From the call to the next one: the walk, the service, the papers."""
    whole = profile.walk.draw(rng) + profile.service_times[service].draw(rng) + profile.wrap_up.draw(rng)
    return max(20, round(whole))
