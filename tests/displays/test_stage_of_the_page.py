"""Who holds the stage of a board (`displays/web/stage.ts`), told as short stories and played by the page's own code."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
NODE = next((str(path) for path in (ROOT / ".venv/bin/node",) if path.exists()), None) or shutil.which("node")
TYPESCRIPT = ROOT / "node_modules" / "typescript"
STAGE = ROOT / "displays" / "web" / "stage.ts"

pytestmark = pytest.mark.skipif(NODE is None or not TYPESCRIPT.exists(), reason="needs node and node_modules")

PLAY = """
const ts = require(process.argv[1]), fs = require("fs");
const compilerOptions = { module: "CommonJS", target: "ES2022" };
const source = ts.transpileModule(fs.readFileSync(process.argv[2], "utf8"), { compilerOptions });
const page = {};
new Function("exports", source.outputText)(page);
const { steps, until } = JSON.parse(fs.readFileSync(0, "utf8"));
let stage = page.EMPTY;
const seen = [];
for (let second = 0; second <= until; second += 1) {
  for (const step of steps.filter((step) => step.at === second)) {
    if (step.call) stage = page.offer(stage, step.call, second * 1000);
    else if (step.came) stage = page.passOver(stage, (call) => step.came.includes(call.seq));
    else stage = page.withdraw(stage, step.gone, step.instead, second * 1000);
  }
  stage = page.advance(stage, second * 1000);
  seen.push(stage.on === null ? null : stage.on.number + (page.isFresh(stage, second * 1000) ? "!" : ""));
}
console.log(JSON.stringify(seen));
"""


def call(at: int, seq: int, *, late: bool = False, rings: int = 1) -> dict[str, Any]:
    """Call number *seq* reaches the board at second *at*."""
    of_it = {"seq": seq, "number": f"A{seq:03}", "counter": "q01", "calledAtMs": 0, "rings": rings, "language": None}
    return {"at": at, "call": {**of_it, "late": late}}


def play(*steps: dict[str, Any], until: int) -> list[str | None]:
    """Who stands on the stage at each second; `!` while it is framed as fresh."""
    ran = subprocess.run(
        [str(NODE), "-e", PLAY, str(TYPESCRIPT), str(STAGE)],
        input=json.dumps({"steps": steps, "until": until}),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return json.loads(ran.stdout)


def test_the_newest_call_stays_until_the_next():
    """Eight seconds framed, then quiet, and never gone."""
    assert play(call(1, 1), until=20) == [None, *["A001!"] * 8, *["A001"] * 12]


def test_calls_at_the_same_instant_take_turns_in_order():
    """Two in one second: both are shown, each for its time."""
    assert play(call(0, 1), call(0, 2), until=17) == [*["A001!"] * 8, *["A002!"] * 8, *["A002"] * 2]


def test_in_a_crowd_turns_are_shorter():
    """Five at once: nobody waits half a minute for the glass while three others do."""
    seen = play(*(call(0, seq) for seq in range(1, 6)), until=40)

    assert [seen.index(f"A00{seq}!") for seq in range(1, 6)] == [0, 4, 9, 17, 25]


def test_no_turn_is_too_short_to_be_read():
    """Twelve at once: each has two and a half seconds, three by the whole seconds of this play."""
    seen = play(*(call(0, seq) for seq in range(1, 13)), until=40)

    assert [seen.index(f"A{seq:03}!") for seq in range(1, 6)] == [0, 3, 6, 9, 12]


def test_in_a_crowd_whoever_has_come_gives_way():
    """Eight wait, and the visitors of five are at their counters: the others are not shown minutes after their call."""
    seen = play(*(call(0, seq) for seq in range(1, 10)), {"at": 1, "came": [2, 3, 5, 6, 8]}, until=30)

    assert list(dict.fromkeys(seen)) == ["A001!", "A004!", "A007!", "A009!", "A009"]


def test_without_a_crowd_everybody_has_a_turn():
    """Two of an instant: the second takes the stage although its visitor was quick."""
    assert "A002!" in play(call(0, 1), call(0, 2), {"at": 1, "came": [2]}, until=9)


def test_a_recall_frames_the_same_call_again():
    """Another ring begins its time anew."""
    assert play(call(0, 1), call(12, 1, rings=2), until=21) == [
        *["A001!"] * 8,
        *["A001"] * 4,
        *["A001!"] * 8,
        *["A001"] * 2,
    ]


def test_a_late_call_never_keeps_a_fresh_one_waiting():
    """After a lost link the late ones pass at once, and what is fresh takes the stage."""
    seen = play(call(0, 1, late=True), call(0, 2, late=True), call(0, 3), until=3)

    assert seen == ["A003!"] * 4


def test_a_late_call_does_not_come_after_a_newer_one():
    """An overtaken call stands in the rows; the stage keeps the newest."""
    assert play(call(0, 5), call(2, 4, late=True), until=12)[-1] == "A005"


def test_a_withdrawn_call_leaves_and_the_one_before_returns_quietly():
    """An undone call is not left on the glass; nothing is framed as new."""
    earlier = call(0, 1)["call"]

    assert play(call(0, 2), {"at": 3, "gone": 2, "instead": earlier}, until=4) == [*["A002!"] * 3, "A001", "A001"]
