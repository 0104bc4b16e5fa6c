"""The fold in the browser (`shared/board.ts`) and the fold of the service (`displays/board.py`) show the same board."""

from __future__ import annotations

import copy
import json
import random
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from displays.board import CHANGES, UNSEEN, apply

ROOT = Path(__file__).parents[2]
NODE = next((str(path) for path in (ROOT / ".venv/bin/node",) if path.exists()), None) or shutil.which("node")
TYPESCRIPT = ROOT / "node_modules" / "typescript"
FOLD = ROOT / "queue_service" / "web" / "shared" / "board.ts"
BOOKS = 300
EVENTS = 60

RUN = """
const ts = require(process.argv[1]), fs = require("fs");
const compilerOptions = { module: "CommonJS", target: "ES2022" };
const source = ts.transpileModule(fs.readFileSync(process.argv[2], "utf8"), { compilerOptions });
const page = {};
new Function("exports", source.outputText)(page);
const books = JSON.parse(fs.readFileSync(0, "utf8"));
console.log(JSON.stringify(books.map(({ view, events }) => events.map((event) => (view = page.apply(view, event))))));
"""


def an_event(pick: random.Random, seq: int) -> dict[str, Any]:
    """Any public event, also one that fits nothing that went before."""
    kind = pick.choice(sorted(CHANGES | dict.fromkeys(UNSEEN)))
    number = pick.choice(["A001", "A002", "B001"])
    call = {"number": number, "at_ms": 5, "seq": pick.randrange(1, 90), "rings": 2, "ticket_state": "called"}
    return {
        "seq": seq,
        "at_ms": 1_000 * seq,
        "type": kind,
        "number": number,
        "department": pick.choice(["land", "police"]),
        "service": pick.choice(["land", "police", "advice"]),
        "counter": pick.choice(["q01", "q02", "q03"]),
        "call": seq,
        "rings": pick.randrange(1, 4),
        "language": pick.choice(["vi", "en", None]),
        "was": pick.choice(["waiting", "parked", "called"]),
        "now": pick.choice(["waiting", "serving"]),
        **pick.choice([{}, {"lines": ["land"]}, {"lines": ["police", "advice"], "left": ["land"]}]),
        "call_before": pick.choice([None, call, {**call, "language": "en", "department": "land"}]),
        "draining": pick.choice([True, False]),
        "open": pick.choice([True, False]),
        "text": pick.choice(["", "<b>nghỉ</b>"]),
        "day": f"2026-11-{pick.randrange(10, 29)}",
        "version": "v2",
    }


@pytest.mark.skipif(NODE is None or not TYPESCRIPT.exists(), reason="needs node and node_modules: make pages")
def test_both_folds_show_the_same_after_every_event():
    """Random books of events, folded here and in the page's own code, agree step by step."""
    pick = random.Random(2026)
    empty = {"day": "2026-11-22", "issuing": {"open": True, "text": ""}, "waiting": {}, "counters": {}}
    books = [{"view": empty, "events": [an_event(pick, seq) for seq in range(1, EVENTS)]} for _ in range(BOOKS)]
    expected = []
    for book in books:
        view = copy.deepcopy(empty)
        steps = []
        for event in book["events"]:
            apply(view, event)
            steps.append(copy.deepcopy(view))
        expected.append(steps)

    ran = subprocess.run(
        [str(NODE), "-e", RUN, str(TYPESCRIPT), str(FOLD)],
        input=json.dumps(books),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )

    assert json.loads(ran.stdout) == expected
