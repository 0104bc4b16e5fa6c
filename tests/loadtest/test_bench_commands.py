"""The benchmarks run, and say what they found; how fast it was is not a test's affair."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from loadtest.__main__ import main
from loadtest.bench_dossiers import later
from loadtest.bench_meter import Figure, Target, compare

NAMES = ["bench-core", "bench-channel", "bench-durable", "bench-http", "bench-hub", "bench-queues", "bench-dossiers"]


@pytest.mark.parametrize("name", NAMES)
def test_it_runs_and_prints_a_verdict(name: str):
    """Tiny, but whole: private store, rounds in turn, table, verdict, machine."""
    result = CliRunner().invoke(main, [name, "--quick", "--seconds", "5"], catch_exceptions=False)

    assert 0 == result.exit_code
    assert name in result.output
    assert "verdict: " in result.output
    assert "machine: cpu" in result.output


def test_a_peer_is_measured_beside_the_hub():
    """The one that every machine has; for each that is missing there is a sentence."""
    result = CliRunner().invoke(
        main, ["bench-hub", "--peers", "--quick", "--seconds", "5"], env={"PATH": ""}, catch_exceptions=False
    )

    assert 0 == result.exit_code
    assert "aiohttp send_bytes" in result.output
    for name in ("Node ws", "Socket.IO", "Starlette on uvicorn", "python-socketio"):
        assert f"{name}: no " in result.output


def test_a_ratio_is_the_median_of_the_rounds():
    """A round that neighbours spoilt on both sides spoils no ratio."""
    found = {"ours": [2.0, 20.0, 2.0], "theirs": [1.0, 10.0, 1.0]}

    figure = compare("it", found, "ours", "theirs", Target("G", 2.0))

    assert (2.0, "reached") == (figure.ratio, figure.verdict)
    assert 0.5 == compare("it", found, "ours", "theirs", inverse=True).ratio


def test_times_that_tell_nothing_are_as_often_later_as_earlier():
    """A half; one when all are later."""
    assert 0.5 == later([1.0, 2.0, 3.0], [3.0, 2.0, 1.0])
    assert 1.0 == later([4.0, 5.0], [1.0, 2.0, 3.0])


def test_a_missed_target_is_said():
    """Upper and lower bounds are told apart."""
    assert "BELOW TARGET" == Figure("it", 3, 1, "that", 3.0, Target("G", 2.0)).verdict
    assert "BELOW TARGET" == Figure("it", 3, 1, "that", 3.0, Target("G", 4.0, is_ceiling=False)).verdict
    assert "–" == Figure("it", 3, 1, "that", 3.0).verdict
