"""Percentiles by nearest rank, counted from the planned press, and a table that says where they come from."""

from __future__ import annotations

import pytest

from loadtest.record import AnyRow, Cost, Frame, Joined, Pressed, Run
from loadtest.report import Spread, measure, spread, table

MILLISECOND = 1_000_000


def a_run(**more: object) -> Run:
    row = {"name": "peak", "seed": 7, "pace": "profile", "seconds": 1.0, "speed": 120.0, "base": "http://127.0.0.1:1"}
    machine = {"cpu": "Slow 3000", "cores": "2"}
    return Run(**{**row, "centre": {}, "machine": machine, "started_ns": 0, "started_ms": 0, **more})


def a_press(press: str, planned: int, sent: int, done: int, key: str = "k", **more: object) -> Pressed:
    """Times in milliseconds."""
    row = {"who": "counter:q01", "body": {}, "status": 200, "answer": {"ticket": None}, **more}
    times = {"planned_ns": planned * MILLISECOND, "sent_ns": sent * MILLISECOND, "done_ns": done * MILLISECOND}
    return Pressed(key=key, press=press, **times, **row)


def a_frame(screen: str, at: int, seq: int = 5) -> Frame:
    return Frame(screen=screen, link=1, at_ns=at * MILLISECOND, seq=seq, digest=1)


def a_call(**more: object) -> list[AnyRow]:
    """A call planned at 10, sent at 12, answered at 15, on two screens at 18 and 30."""
    answer = {"ticket": {"id": "id-C001", "number": "C001"}, "seq": 5}
    return [a_press("call-next", 10, 12, 15, answer=answer, **more), a_frame("s1", 18), a_frame("s2", 30)]


def test_percentiles_by_nearest_rank():
    """A percentile is a value that was measured, not one between two."""
    found = spread(float(value) for value in range(1, 1001))

    assert Spread(count=1000, p50=500.0, p99=990.0, p999=999.0, most=1000.0) == found


def test_one_value_is_every_percentile():
    """With one measurement all percentiles are that one."""
    assert Spread(count=1, p50=3.0, p99=3.0, p999=3.0, most=3.0) == spread([3.0])


def test_nothing_measured():
    """No values, no percentiles."""
    assert spread([]) is None


def test_latency_counts_from_the_planned_press():
    """A press that was sent late has waited, too; the screens count from the same instant."""
    spreads = measure([a_run(), *a_call()]).spreads

    assert 5.0 == spreads["call next: press → answer"].most
    assert 2 == spreads["every press → each screen"].count
    assert 20.0 == spreads["call next: press → last screen"].most


def test_screen_that_was_away_does_not_count():
    """A screen that caught up after a cut shows how long the cut was, not how fast the service is."""
    away = Joined(
        screen="s2",
        board="ba",
        link=2,
        at_ns=20 * MILLISECOND,
        asked_epoch="e",
        asked_seq=4,
        epoch="e",
        seq=4,
        recovered=True,
    )
    spreads = measure([a_run(), away, *a_call()]).spreads

    assert 1 == spreads["every press → each screen"].count
    assert 8.0 == spreads["every press → last screen"].most


def test_repeated_press_counts_once():
    """Of several answers to one key the first is what the officer saw."""
    cut = a_press("issue", 10, 10, 11, status=0, answer=None)
    rows = [a_run(), cut, a_press("issue", 10, 40, 60), a_press("issue", 10, 40, 50)]
    figures = measure(rows)

    assert 1 == figures.presses
    assert 40.0 == figures.spreads["ticket: press → number"].most


def test_what_is_not_planned_is_not_measured():
    """Opening the counters before the run, and looking at one, are no presses of the plan."""
    rows = [a_run(started_ns=5 * MILLISECOND), a_press("open", 1, 1, 2, key="open"), *a_call()]

    assert 1 == measure([*rows, a_press("look", 11, 11, 12, key="look")]).presses


def test_empty_record():
    """A record in which nothing was answered has no figures."""
    with pytest.raises(ValueError, match="nothing"):
        measure([a_run()])


def test_table_says_where_figures_come_from():
    """Scenario, seed, cost and machine stand beside the figures."""
    cost = Cost(service_s=0.001, voice_s=0.0015, store_s=0.0005, clients_s=0.01, service_rss_kb=102_400)
    text = table(measure([a_run(), *a_call(), cost]))

    assert "### peak: 1 s, 120 times real time, seed 7" in text
    assert "| call next: press → answer | 1 | 5.0 | 5.0 | 5.0 | 5.0 |" in text
    assert "service 1000 µs" in text
    assert "voice 0.50 cores" in text
    assert "store 500 µs" in text
    assert "100 MB" in text
    assert "Machine: cpu Slow 3000, cores 2." in text


def test_flood_says_so():
    """A flood has no speed."""
    assert "as fast as it goes" in table(measure([a_run(pace="flood"), *a_call()]))
