"""
Percentiles of a recorded run, and the machine they came from, as a Markdown table.

Latency counts from the planned press to the answer or to the frame at the screen: a press that could not be sent in
time has waited, too.  In a flood there is no plan, and it counts from the sending.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from loadtest.record import AnyRow, Cost, Frame, Joined, Pressed, Run

ISSUE = "ticket: press → number"
CALL = "call next: press → answer"
OTHER = "other presses → answer"
CALL_LAST_SCREEN = "call next: press → last screen"
EACH_SCREEN = "every press → each screen"
LAST_SCREEN = "every press → last screen"
ROWS = (ISSUE, CALL, OTHER, CALL_LAST_SCREEN, EACH_SCREEN, LAST_SCREEN)
_ACKNOWLEDGED = {"issue": ISSUE, "call-next": CALL}


class Spread(msgspec.Struct, frozen=True, kw_only=True):
    """Percentiles in milliseconds."""

    count: int
    p50: float
    p99: float
    p999: float
    most: float


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """What one run measured."""

    run: Run
    spreads: dict[str, Spread]
    seconds: float
    presses: int
    presses_per_s: float
    frames_per_s: float
    cost: Cost | None


def spread(values_ms: Iterable[float]) -> Spread | None:
    """Nearest-rank percentiles; None where nothing was measured."""
    ordered = sorted(values_ms)
    if not ordered:
        return None
    return Spread(
        count=len(ordered),
        p50=_rank(ordered, 0.50),
        p99=_rank(ordered, 0.99),
        p999=_rank(ordered, 0.999),
        most=ordered[-1],
    )


def _rank(ordered: Sequence[float], share: float) -> float:
    return ordered[max(0, -int(-share * len(ordered) // 1) - 1)]


def measure(rows: Iterable[AnyRow]) -> Figures:
    """
    The figures of one record.

    Raises:
        ValueError: the record does not begin with its run, or nothing was answered.
    """
    run: Run | None = None
    cost: Cost | None = None
    presses: list[Pressed] = []
    frames: dict[int, list[tuple[int, int]]] = defaultdict(list)
    joined_ns: dict[str, int] = {}
    for row in rows:
        match row:
            case Run():
                run = row
            case Cost():
                cost = row
            case Pressed():
                presses.append(row)
            case Joined():
                joined_ns[row.screen] = row.at_ns
            case Frame():
                frames[row.seq].append((row.at_ns, joined_ns.get(row.screen, 0)))
            case _:
                pass
    first = _first_answers(
        press for press in presses if run and press.planned_ns >= run.started_ns and press.press != "look"
    )
    if run is None or not first:
        raise ValueError("the record holds no run, or nothing in it was answered")
    seconds = (max(press.done_ns for press in first) - min(press.sent_ns for press in first)) / 1e9
    return Figures(
        run=run,
        spreads=_spreads(first, frames),
        seconds=seconds,
        presses=len(first),
        presses_per_s=len(first) / seconds,
        frames_per_s=sum(map(len, frames.values())) / seconds,
        cost=cost,
    )


def _first_answers(presses: Iterable[Pressed]) -> list[Pressed]:
    """For each key the answer that came first."""
    first: dict[str, Pressed] = {}
    for press in sorted(presses, key=lambda press: press.done_ns):
        if 200 <= press.status < 300:
            first.setdefault(press.key, press)
    return list(first.values())


def _spreads(first: Iterable[Pressed], frames: Mapping[int, Sequence[tuple[int, int]]]) -> dict[str, Spread]:
    """
    Latencies by what they mean to whom.

    An answer carries the number of the event that its press recorded, and so do the frames.  Screens that were not
    connected when the press was sent caught up later and do not count.
    """
    samples: dict[str, list[float]] = {name: [] for name in ROWS}
    for press in first:
        samples[_ACKNOWLEDGED.get(press.press, OTHER)].append((press.done_ns - press.planned_ns) / 1e6)
        answer = press.answer or {}
        if answer.get("ticket") is None:
            continue  # nobody waits: no event
        arrived = [at_ns for at_ns, joined_ns in frames.get(answer.get("seq", 0), ()) if joined_ns <= press.sent_ns]
        if not arrived:
            continue
        samples[EACH_SCREEN].extend((at_ns - press.planned_ns) / 1e6 for at_ns in arrived)
        last_ms = (max(arrived) - press.planned_ns) / 1e6
        samples[LAST_SCREEN].append(last_ms)
        if press.press == "call-next":
            samples[CALL_LAST_SCREEN].append(last_ms)
    return {name: found for name, values in samples.items() if (found := spread(values)) is not None}


def table(figures: Figures) -> str:
    """The run as Markdown: percentiles, throughput, cost, and the machine."""
    run = figures.run
    pace = "as fast as it goes" if run.pace == "flood" else f"{run.speed:g} times real time"
    lines = [
        f"### {run.name}: {run.seconds:g} s, {pace}, seed {run.seed}",
        "",
        "| milliseconds | count | p50 | p99 | p99.9 | max |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
        *(
            f"| {name} | {row.count} | {row.p50:.1f} | {row.p99:.1f} | {row.p999:.1f} | {row.most:.1f} |"
            for name, row in figures.spreads.items()
        ),
        "",
    ]
    lines.append(
        f"{figures.presses} presses answered in {figures.seconds:.1f} s: {figures.presses_per_s:.0f}/s, "
        f"{figures.frames_per_s:.0f} frames/s at the screens."
    )
    if figures.cost is not None and figures.cost.service_s > 0:
        cost = figures.cost
        lines.append(
            f"CPU per press: service {1e6 * cost.service_s / figures.presses:.0f} µs "
            f"({cost.service_s / figures.seconds:.2f} cores), store {1e6 * cost.store_s / figures.presses:.0f} µs "
            f"({cost.store_s / figures.seconds:.2f} cores); "
            f"voice {cost.voice_s / figures.seconds:.2f} cores, "
            f"load generator {cost.clients_s / figures.seconds:.2f} cores; "
            f"service memory {cost.service_rss_kb / 1024:.0f} MB."
        )
    lines.append("Machine: " + ", ".join(f"{name} {value}" for name, value in run.machine.items()) + ".")
    return "\n".join(lines)
