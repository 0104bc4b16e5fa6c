"""Keys: a function touches what it was given and nothing else, and all keys of a centre live together on a Cluster."""

from __future__ import annotations

import asyncio
import shlex
import socket
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, Self, cast

import pytest
from redis.asyncio import Redis
from redis.exceptions import RedisError

from builders import NEXT_DAY, Hall, a_centre, a_store
from queue_service import commands
from queue_service.commands import (
    AdvanceDay,
    AnswerHelp,
    AskHelp,
    Assign,
    CallChosen,
    CallNext,
    Cancel,
    Close,
    Command,
    Complete,
    CounterCommand,
    Expire,
    Forget,
    IssueTicket,
    MarkLate,
    MarkNoShow,
    MarkPrinted,
    MarkRead,
    Note,
    Open,
    Park,
    Pause,
    Publish,
    Recall,
    RenewEpoch,
    Resume,
    Revive,
    SendMessage,
    SetPlace,
    Start,
    SwitchIssuing,
    TicketCommand,
    Transfer,
    Undo,
)
from queue_service.embedded import die_with_parent, find_binary
from queue_service.keys import centre_keys

DAY_OF_EVERYTHING: list[Command] = [
    Open(counter="q01"),
    Open(counter="q02"),
    *[IssueTicket(service="a", cls="standard")] * 6,
    MarkPrinted(ticket="t1"),
    MarkLate(ticket="t1"),
    SetPlace(ticket="t6", after=4, reason="asked"),
    CallNext(counter="q01"),
    Recall(counter="q01"),
    Start(counter="q01"),
    Note(counter="q01", text="a word"),
    Complete(counter="q01"),
    Undo(counter="q01"),
    Transfer(counter="q01", service="b"),
    CallChosen(counter="q01", ticket="A003"),
    MarkNoShow(counter="q01"),
    CallNext(counter="q01"),
    Park(counter="q01"),
    Resume(counter="q02", ticket="t4"),
    Park(counter="q02"),
    Revive(ticket="t4"),
    Cancel(ticket="t5"),
    Expire(ticket="t6"),
    SetPlace(ticket="t4", reason="asked", after=0),
    SetPlace(ticket="t4", reason="asked", before="t2", service="b"),
    Assign(counter="q03", serves={"b": 1, "a": 2}, reason="few come"),
    AskHelp(counter="q02"),
    AnswerHelp(counter="q02"),
    SendMessage(text="a word", to=("q01",)),
    MarkRead(message=1),
    Pause(counter="q02"),
    Close(counter="q01", drain=True),
    Close(counter="q01"),
    SwitchIssuing(open=False),
    AdvanceDay(day=NEXT_DAY),
    Forget(tickets=["t5", "t6"]),
    Publish(fact={"code": "X-1", "state": "ready", "step": 2}),
    RenewEpoch(epoch="epoch-2"),
]

KEYLESS = {"SPUBLISH"}
"""What a function may say besides commands whose first argument is a key."""


async def live_through(hall: Hall) -> None:
    """A day in which every function is called; in the middle the counters change."""
    for n, wish in enumerate(DAY_OF_EVERYTHING):
        await hall.press(wish)
        if n == 14:
            await hall.configure(a_day_centre(hall.centre.id, {"q01": "a", "q02": "a", "q03": "b"}))


def a_day_centre(id: str | None, counters: dict[str, str]) -> Any:
    return a_centre(counters, id=id, calls_before_no_show=1, no_show_returns=0)


def test_the_day_has_everything():
    """Every command of ours is pressed in it."""
    leaves = {
        command for command in vars(commands).values() if isinstance(command, type) and issubclass(command, Command)
    } - {Command, TicketCommand, CounterCommand, commands.Configure}

    assert leaves == {type(wish) for wish in DAY_OF_EVERYTHING}


async def test_functions_touch_only_the_keys_they_were_given(hall_of, server: Path):
    """As the server saw it: each command that a function gives names one of the keys, or rings the bell."""
    hall = await hall_of(a_day_centre(None, {"q01": "a", "q02": "a b"}))
    given = centre_keys(hall.centre.id)
    async with Monitor(server) as monitor:
        await live_through(hall)
        said = await monitor.until(b"epoch-2")

    touched = {words[1] for words in said if words[0].upper() not in KEYLESS}
    rung = {words[1] for words in said if words[0].upper() in KEYLESS}
    assert touched <= set(given.as_list())
    assert {given.bell} == rung
    assert set(given.as_list()) - touched <= {given.answers_before}


class Monitor:
    """What functions say to the server, from now on."""

    def __init__(self, server: Path) -> None:
        self._server = server

    async def __aenter__(self) -> Self:
        self._reader, self._writer = await asyncio.open_unix_connection(self._server)
        self._writer.write(b"MONITOR\r\n")
        assert b"+OK\r\n" == await self._reader.readline()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._writer.close()
        await self._writer.wait_closed()

    async def until(self, word: bytes) -> list[list[str]]:
        """The words of each command given from inside a function, up to the last press, which says *word*."""
        said = []
        async with asyncio.timeout(10):
            while True:
                line = await self._reader.readline()
                if b" lua]" in line:
                    said.append(shlex.split(line.decode("utf-8", "replace").partition("] ")[2])[:2])
                    if b'"XADD"' in line and word in line:
                        return said


@pytest.fixture(scope="module")
def cluster_node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of one node that holds all slots."""
    folder = tmp_path_factory.mktemp("node")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    if port > 55_000:  # the node's own bus listens 10,000 above
        port -= 10_000
    options = {
        "port": str(port),
        "bind": "127.0.0.1",
        "cluster-enabled": "yes",
        "save": "",
        "appendonly": "no",
        "dir": str(folder),
    }
    process = subprocess.Popen(
        [find_binary(), *(word for name, value in options.items() for word in (f"--{name}", value))],
        stdout=subprocess.DEVNULL,
        preexec_fn=die_with_parent(),
    )
    try:
        yield f"redis://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()


@pytest.fixture
async def node(cluster_node: str) -> AsyncIterator[str]:
    """The same, once it serves."""
    client = Redis.from_url(cluster_node, protocol=2)
    try:
        async with asyncio.timeout(20):
            while True:
                try:
                    info = await cast(Any, client.execute_command("CLUSTER", "INFO"))
                    if "cluster_slots_assigned:0" in str(info):
                        await cast(Any, client.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16383))
                    if "cluster_state:ok" in str(info):
                        break
                except (OSError, RedisError):
                    pass
                await asyncio.sleep(0.02)
        yield cluster_node
    finally:
        await client.aclose()


async def test_every_function_runs_on_a_cluster(node: str):
    """All keys of a centre share a slot, and so does its bell."""
    async with a_store(node) as (store, client):
        hall = Hall(store, client, a_day_centre(None, {"q01": "a", "q02": "a b"}))
        await hall.configure()
        await live_through(hall)

        slots = {
            await cast(Any, client.execute_command("CLUSTER", "KEYSLOT", key))
            for key in [*centre_keys(hall.centre.id).as_list(), centre_keys(hall.centre.id).bell]
        }
        assert 1 == len(slots)
        assert "EpochRenewed" == (await hall.told())[-1]
