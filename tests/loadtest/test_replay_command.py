"""Days of one's own centre, from the command line."""

from __future__ import annotations

import json
from pathlib import Path

from click.testing import CliRunner

import queue_service
from loadtest.__main__ import main

COMMUNE = Path(queue_service.__file__).parent / "examples" / "demo-xa.toml"


def test_an_invented_day_is_a_trace_with_its_log(tmp_path: Path):
    """Everybody who came is called in the log, at the centre's own counters; the same seed is the same day."""
    words = ["--centre", str(COMMUNE), "--profile", "commune", "--level", "low", "--seed", "3", "--out"]
    result = CliRunner().invoke(main, ["replay", *words, str(tmp_path)], catch_exceptions=False)

    trace, log = tmp_path / "demo-xa-low-3.jsonl", tmp_path / "demo-xa-low-3.log.jsonl"
    came = {row["id"] for row in map(json.loads, trace.read_text().splitlines()) if row["ev"] == "arrive"}
    calls = [row for row in map(json.loads, log.read_text().splitlines()) if row["ev"] == "call"]
    assert 0 == result.exit_code
    assert f"{len(calls)} calls" in result.output
    assert f"{len(came)} visitors, 0 not called" in result.output
    assert came == {call["id"] for call in calls}

    again = CliRunner().invoke(main, ["replay", *words, str(tmp_path / "again")], catch_exceptions=False)
    assert 0 == again.exit_code
    assert log.read_bytes() == (tmp_path / "again" / log.name).read_bytes()
