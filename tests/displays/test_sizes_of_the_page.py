"""How much stands on a board at once: the page's rules (`displays/web/sizes.ts`) are those a centre is judged by."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
from pathlib import Path

import pytest

from queue_service import legible

ROOT = Path(__file__).parents[2]
NODE = next((str(path) for path in (ROOT / ".venv/bin/node",) if path.exists()), None) or shutil.which("node")
TYPESCRIPT = ROOT / "node_modules" / "typescript"
SIZES = ROOT / "displays" / "web" / "sizes.ts"

pytestmark = pytest.mark.skipif(NODE is None or not TYPESCRIPT.exists(), reason="needs node and node_modules")

RUN = """
const ts = require(process.argv[1]), fs = require("fs");
const compilerOptions = { module: "CommonJS", target: "ES2022" };
const source = ts.transpileModule(fs.readFileSync(process.argv[2], "utf8"), { compilerOptions });
const page = {};
new Function("exports", source.outputText)(page);
const numbers = Object.fromEntries(Object.entries(page).filter(([, value]) => typeof value === "number"));
const asked = JSON.parse(fs.readFileSync(0, "utf8"));
const answers = asked.map(([what, ...given]) => {
  const plan = page[what](...given);
  return what === "cells" ? [plan.columns, plan.rows, plan.font, plan.pages]
    : [plan.columns, plan.rows, plan.font, plan.calls, plan.stacked, plan.pages];
});
console.log(JSON.stringify({ numbers, answers }));
"""


def played(asked: list[list[object]]) -> dict[str, object]:
    """What the page's own code answers."""
    command = [str(NODE), "-e", RUN, str(TYPESCRIPT), str(SIZES)]
    ran = subprocess.run(command, input=json.dumps(asked), capture_output=True, text=True, timeout=60, check=True)
    return json.loads(ran.stdout)


def test_page_and_check_lay_out_alike():
    """The same rows, columns, pages and letters for any hall and any room, and the same measures."""
    pick = random.Random(5)
    asked: list[list[object]] = []
    expected = []
    for _ in range(400):
        room = (pick.randrange(1, 60), pick.randrange(300, 4000), pick.randrange(300, 2200), pick.uniform(10, 300))
        asked.append(["cells", *room, 44, 170])
        expected.append(list(legible.cells(*room, 44, 170)))
        rows = pick.choice([1, 2])
        asked.append(["blocks", *room, 176, 170, rows])
        expected.append(list(legible.blocks(*room, 176, 170, rows)))

    told = played(asked)

    for wanted, actual in zip(expected, told["answers"], strict=True):
        assert wanted == pytest.approx(actual)
    for name, value in told["numbers"].items():
        assert value == getattr(legible, "CAP" if name == "CAP_OF_NUMBERS" else name), name
