"""The page and ``press.py`` follow one law: Node says what the page's ``actions.ts`` and ``keys.ts`` say."""

from __future__ import annotations

import itertools
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import msgspec
import pytest

import counters
from counters.press import AT_THE_COUNTER, INVITING, Button, CounterView, live_buttons
from queue_service.tickets import State

ROOT = Path(__file__).parents[2]
WEB = Path(counters.__file__).parent / "web"
NODE = shutil.which("node")
ASKED = """
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";
const [, root, actionsFile, keysFile] = process.argv;
const ts = createRequire(root + "/package.json")("typescript");
globalThis.HTMLElement = class {};
const options = { compilerOptions: { module: ts.ModuleKind.ESNext, target: ts.ScriptTarget.ES2022 } };
const compiled = (text) => ts.transpileModule(text, options).outputText;
const load = (file) =>
  import("data:text/javascript," + encodeURIComponent(compiled(readFileSync(file, "utf8"))));
const { liveActions, primaryAction, ringsLeft } = await load(actionsFile);
const { wishOf, LEGENDS } = await load(keysFile);
const { views, codes, now, needed } = JSON.parse(readFileSync(0, "utf8"));
const struck = (code) => wishOf({ code, target: null });
console.log(JSON.stringify({
  live: views.map((view) => [...liveActions(view, now)]),
  primary: views.map(primaryAction),
  left: views.map((view) => ringsLeft(view, needed)),
  wishes: Object.fromEntries(codes.map((code) => [code, struck(code)])),
  legends: LEGENDS,
}));
"""
NOW_MS = 1_000_000
NEEDED = 3
CODES = {
    "Home": "Home", "Ins": "Insert", "Del": "Delete", "PgUp": "PageUp", "PgDn": "PageDown", "/": "Slash",
    "+": "NumpadAdd", "−": "NumpadSubtract", "∗": "NumpadMultiply",
    **{f"F{number}": f"F{number}" for number in range(1, 13)},
}  # fmt: skip
"""What stands on a key -> where it sits."""
OF_THE_BROWSER = {"F1", "F3", "F5", "F6", "F7", "F11", "F12"}
ABOUT_MESSAGES = {"message", "mark-read"}
"""What the page does beyond a counter's buttons."""


def a_ticket(state: State, rings: int) -> dict[str, Any]:
    return {
        "id": "1", "number": "A001", "department": "a", "service": "a", "class": "standard", "state": state,
        "issued_at_ms": 0, "rings": rings, "counter": "q01",
    }  # fmt: skip


def views() -> list[dict[str, Any]]:
    """Every state of the seat, with everything that can be at it or beside it."""
    hands = [None, a_ticket(State.CALLED, 1), a_ticket(State.CALLED, NEEDED), a_ticket(State.SERVING, 1)]
    undos = [None, {"press": "park", "until_ms": NOW_MS + 1}, {"press": "park", "until_ms": NOW_MS}]
    helps = [None, {"message": 5, "since_ms": 0, "text": None}]
    parked: list[list[Any]] = [[], [a_ticket(State.PARKED, 1)]]
    seats = ("closed", "open", "paused", "draining")
    return [
        {
            "counter": {"id": "q01", "number": 1, "state": state, "undo": undo, "ticket": ticket and ticket["id"]},
            "ticket": ticket,
            "help": asked,
            "parked": beside,
            "messages": [],
        }
        for state, ticket, undo, asked, beside in itertools.product(seats, hands, undos, helps, parked)
    ]


@pytest.fixture(scope="module")
def page() -> dict[str, Any]:
    """What the page's own code answers."""
    if NODE is None or not (ROOT / "node_modules" / "typescript").exists():
        pytest.skip("no Node with the pages' tools")
    asked = {"views": views(), "codes": list(CODES.values()), "now": NOW_MS, "needed": NEEDED}
    command = [NODE, "--input-type=module", "-e", ASKED, str(ROOT), str(WEB / "actions.ts"), str(WEB / "keys.ts")]
    said = subprocess.run(command, input=json.dumps(asked), capture_output=True, text=True, check=False, timeout=60)
    assert said.returncode == 0, said.stderr
    answer: dict[str, Any] = json.loads(said.stdout)
    return answer


def test_the_page_offers_what_the_terminal_offers(page: dict[str, Any]):
    """In every state of seat, ticket, undo and help; "absent too early" is shown there with what is missing."""
    for view, actions, left in zip(views(), page["live"], page["left"], strict=True):
        shown = set(actions) - ABOUT_MESSAGES - ({"no-show"} if left else set())
        known = msgspec.convert(view, CounterView)
        assert live_buttons(known, NOW_MS, calls_before_no_show=NEEDED) == shown, view


def test_the_large_key_is_always_live(page: dict[str, Any]):
    """Enter never stands for something that would be refused."""
    for view, actions, primary in zip(views(), page["live"], page["primary"], strict=True):
        assert primary in actions, view


def test_every_button_is_an_action_of_the_page():
    """The names are those of the addresses, in both."""
    kinds = re.search(r"export type Action =(.*?);", (WEB / "actions.ts").read_text(), re.DOTALL)
    assert kinds
    assert {button.value for button in Button} | ABOUT_MESSAGES == set(re.findall(r'"([a-z-]+)"', kinds[1]))


def test_a_legend_is_the_key_that_does_it(page: dict[str, Any]):
    """What a button says is what the key means, no browser's key is taken, and what is in hand needs no mouse."""
    legends = page["legends"]
    for action, printed in legends.items():
        struck = [page["wishes"][CODES[legend]] for legend in printed]
        meant = "ask-help" if action == "answer-help" else action  # one key: asked, and nobody needed any more
        assert [{"kind": "action", "action": meant}] * len(printed) == struck
    assert not [key for key in OF_THE_BROWSER if page["wishes"][key]]
    by_key = {wish["action"] for wish in page["wishes"].values() if wish}
    assert {
        button.value for button in (AT_THE_COUNTER.keys() | INVITING.keys()) - {Button.CALL, Button.START}
    } <= by_key
