"""What counters/README.md shows is run as it stands there, against a service; the commands keep what it promises."""

from __future__ import annotations

import ast
import asyncio
import inspect
import json
import os
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from counters.client import CounterClient
from devices_world import Relay
from queue_service.texts import t
from service_world import House

ROOT = Path(__file__).parents[2]
README = (ROOT / "counters/README.md").read_text("utf-8")


def blocks(kind: str, house: House) -> list[str]:
    """The blocks of *kind*, with this test's service in place of the demonstration."""
    found = re.findall(rf"```{kind}\n(.*?)```", README, re.S)
    places = {"http://127.0.0.1:8080": house.service.base, "demo-xa": house.centre.id, "tpht": "a"}
    return [re.sub("|".join(map(re.escape, places)), lambda place: places[place[0]], block) for block in found]


async def run(block: str, given: dict[str, Any]) -> dict[str, Any]:
    """Run *block*, which may await, with the names it is *given*; what it has named."""
    code = compile(block, "counters/README.md", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    made = eval(code, given)  # noqa: S307 - our own page
    if inspect.isawaitable(made):
        await made
    return given


async def test_the_python_of_the_page(house: House):
    """Four blocks: which buttons are live, one press, a counter's day, a kiosk."""
    live, press, counter_day, kiosk = blocks("python", house)
    await house.lan.at("q02", "open")
    await house.kiosk.issue("a")
    await house.lan.at("q02", "call-next")
    async with CounterClient(house.service.base, house.centre.id, "q02", token=house.lan.token) as counter:
        await run(live, {"view": await counter.view()})
        await counter.complete()
        given = await run(
            live.split("\n\n")[0] + "\n" + press, {"pending": None, "counter": counter, "view": await counter.view()}
        )
        assert given["reply"].counter.ready

    await house.lan.at("q02", "pause")  # it is ready, and would get the next visitor
    await house.kiosk.issue("a")
    given = await run(counter_day, {"name": house.binh.name, "password": "right password"})
    assert "A002" == given["reply"].ticket.number
    given = await run(kiosk, {"device_token": house.kiosk.token, "ground_id": "elderly"})
    assert "priority" == given["ticket"].cls


@pytest.mark.timeout(300)  # nine programs are started, one after the other
async def test_the_commands_of_the_page(house: House, tmp_path: Path):
    """The script signs in once and presses; each command says what came of it."""
    (script,) = blocks("sh", house)
    await house.kiosk.issue("a")
    password = tmp_path / "password"
    password.write_text("right password\n")
    password.chmod(0o600)
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)
    environ = environ_of(tmp_path) | {"NAME": house.lan.name, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    process = await asyncio.create_subprocess_exec(
        "sh", "-e", "-c", script, cwd=tmp_path, env=environ, stdout=asyncio.subprocess.PIPE
    )
    said, _ = await asyncio.wait_for(process.communicate(), 280)
    lines = said.decode().splitlines()

    assert 0 == process.returncode
    assert ["nobody · q01 open", "A001 called · q01 open", "A001 serving · q01 open", "A001 served · q01 open"] == [
        lines[0], *lines[2:5],
    ]  # fmt: skip
    assert "A001" == json.loads(lines[1])["ticket"]["number"]
    assert "nobody · q01 closed" == lines[-1]
    assert 0o600 == (tmp_path / "counter.token").stat().st_mode & 0o777


def environ_of(home: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("QUEUE_", "COUNTERS_"))}
    return kept | {"HOME": str(home), "PYTHONPATH": str(ROOT)}


async def command(home: Path, *words: str, **environ: str) -> tuple[int | None, str, str]:
    """Exit code, standard output and standard error of one command."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "counters", *words,
        env=environ_of(home) | environ, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    said, complained = await asyncio.wait_for(process.communicate(), 60)
    return process.returncode, said.decode(), complained.decode()


@pytest.mark.timeout(300)
async def test_exit_codes(house: House, relay: Relay, tmp_path: Path):
    """Each code of the table, with a sentence that says why; a press without an answer is repeated by its key."""
    at = ("--centre", house.centre.id, "--counter", "q02")
    lan = {"COUNTERS_NAME": house.lan.name, "COUNTERS_PASSWORD": "right password", "COUNTERS_URL": relay.base}
    (tmp_path / "open.token").write_text("secret")
    (tmp_path / "open.token").chmod(0o644)

    refused = await command(tmp_path, *at, "call-next", **lan)
    assert (1, "") == refused[:2]
    assert "NOT_YOUR_SEAT" in refused[2] or "COUNTER_CLOSED" in refused[2]
    assert 2 == (await command(tmp_path, *at, "call-next", "now", **lan))[0]
    assert 2 == (await command(tmp_path, *at, **lan))[0]
    assert 3 == (await command(tmp_path, *at, "--token-file", str(tmp_path / "open.token"), "view", **lan))[0]
    assert 4 == (await command(tmp_path, *at, "view", **(lan | {"COUNTERS_PASSWORD": "wrong password"})))[0]

    await house.lan.at("q02", "open")
    await house.kiosk.issue("a")
    token = tmp_path / "lan.token"
    token.write_text(str(house.lan.token))
    token.chmod(0o600)
    relay.loses_answers = True
    unknown = await command(tmp_path, *at, "--token-file", str(token), "--deadline", "1", "call-next", **lan)
    assert (5, "") == unknown[:2]
    key = re.search(r"same key ([0-9a-f]{32})", unknown[2])
    assert key is not None
    relay.mend()
    again = await command(tmp_path, *at, "--token-file", str(token), "call-next", "--key", key[1], **lan)
    assert (0, "A001 called · q02 open\n") == again[:2]
    calls = [
        event
        for event in (await house.integrator.get("events?after=0")).value["events"]
        if event["type"] == "TicketCalled"
    ]
    assert 1 == len(calls)


@pytest.mark.timeout(300)
async def test_every_press_has_a_command(house: House, tmp_path: Path):
    """Park, resume by number, transfer, undo, absent, help, pause and close, with their words."""
    token = tmp_path / "lan.token"
    token.write_text(str(house.lan.token))
    token.chmod(0o600)
    lan = {
        "COUNTERS_URL": house.service.base, "COUNTERS_CENTRE": house.centre.id, "COUNTERS_COUNTER": "q02",
        "COUNTERS_TOKEN_FILE": str(token),
    }  # fmt: skip
    await house.lan.at("q02", "open")
    for _ in range(2):
        await house.kiosk.issue("a")
    for words, said in (
        (("call", "A002", "--reason", "early"), "A002 called · q02 open"),
        (("park", "fee"), "A002 parked · q02 open"),
        (("resume", "A002"), "A002 called · q02 open"),
        (("transfer", "--service", "b", "--note", "soon"), "A002 waiting · q02 open"),
        (("undo",), "A002 called · q02 open"),
        (("recall",), "A002 called · q02 open"),
        (("ask-help", "printer"), "A002 called · q02 open"),
        (("answer-help",), "A002 called · q02 open"),
        (("pause", "lunch"), "A002 called · q02 paused"),
    ):
        code, out, complained = await command(tmp_path, *words, **lan)
        assert (0, said) == (code, out.strip()), (words, complained)
    assert "q02 2 paused" in (await command(tmp_path, "seats", **lan))[1]


@pytest.mark.parametrize(("language", "says"), [("vi", "Quầy 5"), ("en", "Counter 5")])
def test_programs_say_the_words_of_the_pages(language: Any, says: str):
    """One catalogue for pages and programs."""
    assert says == t(language, "console.counter", number=5)
