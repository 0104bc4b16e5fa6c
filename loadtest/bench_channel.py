"""
The channel beside the library's own client: CPU of this process per command, and what a synced disk costs.

Both run on the same event loop, against the same private store, with time limits on; the anchor is `redis.asyncio`
with a pool that has a connection for every task.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final

from redis.asyncio import BlockingConnectionPool, ConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from loadtest.bench_core import DEPARTMENTS, START_MS, Halls
from loadtest.bench_meter import (
    Figure,
    Measure,
    PrivateStore,
    Target,
    compare,
    own_cpu_us,
    private_store,
    rounds,
)
from queue_service.channel import Channel
from queue_service.commands import IssueTicket, Press
from queue_service.store import TicketStore

TIMEOUT_S: Final = 5.0
CONNECT_S: Final = 30.0
LEVELS: Final = (1, 10, 100, 1000)
DURABLE_TASKS: Final = 100

Call = Callable[[], Awaitable[Any]]


@asynccontextmanager
async def clients(store: PrivateStore) -> AsyncIterator[tuple[Channel, Redis]]:
    """Ours and the library's, on one store."""
    options: dict[str, Any] = {
        "protocol": 2,
        "retry": Retry(NoBackoff(), 0),
        "socket_timeout": TIMEOUT_S,
        "socket_connect_timeout": CONNECT_S,
    }
    ours = BlockingConnectionPool.from_url(store.url, **options)
    theirs = Redis.from_pool(ConnectionPool.from_url(store.url, max_connections=2 * LEVELS[-1], **options))
    channel = Channel(ours.make_connection, timeout_s=TIMEOUT_S)
    try:
        yield channel, theirs
    finally:
        await channel.close()
        await ours.aclose()
        await theirs.aclose()


async def many(call: Call, tasks: int, operations: int) -> None:
    """*operations* calls by *tasks* tasks, each of which waits for its answer before it asks again."""

    async def one(times: int) -> None:
        for _ in range(times):
            await call()

    await asyncio.gather(*(one(max(1, operations // tasks)) for _ in range(tasks)))


async def bench(program: Path, *, quick: bool, within_s: float) -> tuple[list[Figure], list[str]]:
    """G4: a small command by 1 to 1000 tasks at once."""
    with private_store(program, "off") as store:
        async with clients(store) as (channel, redis):
            sha = (await channel.call("SCRIPT", "LOAD", "return 1")).decode()
            words = ("EVALSHA", sha, 2, "key-1", "key-2", "a", "b", "c", "d", "e", "f")

            def measured(name: str, call: Call, tasks: int, operations: int) -> Measure:
                async def measure() -> dict[str, float]:
                    before = own_cpu_us()
                    await many(call, tasks, operations)
                    return {name: (own_cpu_us() - before) / (max(1, operations // tasks) * tasks)}

                return measure

            measures = []
            for tasks in LEVELS:
                operations = 200 if quick else {1: 500, 10: 2000}.get(tasks, 4000)
                ours, theirs = f"channel {tasks}", f"redis.asyncio {tasks}"
                measures.append(measured(ours, lambda: channel.call(*words), tasks, operations * 2))
                measures.append(measured(theirs, partial(_theirs, redis, words), tasks, operations))
            found = await rounds(measures, 2 if quick else 7, within_s)
    targets = {1: Target("G4", 1.5, False), 100: Target("G4", 12, False)}
    figures = [
        compare(
            f"one command, {tasks} tasks",
            found,
            f"channel {tasks}",
            f"redis.asyncio {tasks}",
            targets.get(tasks),
            inverse=True,
        )
        for tasks in LEVELS
    ]
    return figures, ["CPU of the client process per command; the ratio is commands per CPU-second"]


async def bench_durable(program: Path, *, quick: bool, within_s: float) -> tuple[list[Figure], list[str]]:
    """G5: the same press at a hundred kiosks at once, with every write on the disk before its answer."""
    presses = 200 if quick else 1500
    with private_store(program, "always") as always, private_store(program, "everysec") as everysec:
        async with clients(always) as (channel, redis), clients(everysec) as (loose, _):
            halls = [Halls(store, 1, 0) for store in (always, everysec)]
            keyed = await channel.call("SCRIPT", "LOAD", "return redis.call('INCR', KEYS[1])")
            measures: list[Measure] = [
                _rate("issue, channel, always", _issues(TicketStore(channel, redis), halls[0]), presses),
                _rate("issue, redis.asyncio, always", _issues(_Plain(channel, redis), halls[0]), presses),
                _rate("issue, channel, everysec", _issues(TicketStore(loose, redis), halls[1]), presses),
                _rate("INCR, channel, always", lambda: channel.call("EVALSHA", keyed, 1, "n"), presses * 2),
                _rate("INCR, redis.asyncio, always", lambda: redis.evalsha(keyed.decode(), 1, "n"), presses * 2),
            ]
            found = await rounds(measures, 2 if quick else 5, within_s)
            for hall in halls:
                hall.close()
    fsync_ms = _fsync_ms()
    p50 = statistics.median(found["issue, channel, always p50"])
    ours = "issue, channel, always"
    figures = [
        compare("durable issues/s", found, ours, "issue, redis.asyncio, always", Target("G5", 6, False)),
        compare("durable issues/s", found, ours, "issue, channel, everysec", Target("G5", 0.3, False)),
        Figure("durable issue p50, ms", p50, fsync_ms, "one fsync here", p50 / fsync_ms, Target("G5", 4)),
        compare("durable INCRs/s in a script", found, "INCR, channel, always", "INCR, redis.asyncio, always"),
    ]
    return figures, [
        f"wall clock, {DURABLE_TASKS} tasks at once; one fsync of an appended file takes {fsync_ms:.2f} ms"
    ]


class _Plain(TicketStore):
    """The same store on the library's client: one connection for each press under way."""

    async def _fcall(self, packed: bytes) -> bytes:
        connection = await self._client.connection_pool.get_connection()  # type: ignore[no-untyped-call]
        try:
            await connection.send_packed_command([packed])
            answer: bytes = await connection.read_response()
            return answer
        finally:
            await self._client.connection_pool.release(connection)


async def _theirs(redis: Redis, words: tuple[Any, ...]) -> Any:
    return await redis.execute_command(*words)  # type: ignore[no-untyped-call]


def _issues(store: TicketStore, halls: Halls) -> Call:
    centre, numbers = halls.centres[0], itertools.count(10**6)

    async def issue() -> None:
        n = next(numbers)
        mark = f"{id(store):x}{n:012}"[-22:].rjust(22, "0")
        envelope = Press(press_id=f"device:k1|{mark}", actor="device:k1", now_ms=START_MS + n, new_ticket=mark)
        await store.carry_out(
            centre.id, IssueTicket(service=f"d{n % DEPARTMENTS}", cls="standard"), envelope, centre.version
        )

    return issue


def _rate(name: str, call: Call, operations: int) -> Measure:
    async def measure() -> dict[str, float]:
        took: list[float] = []

        async def timed() -> None:
            began = time.perf_counter()
            await call()
            took.append(time.perf_counter() - began)

        started = time.perf_counter()
        await many(timed, DURABLE_TASKS, operations)
        return {name: len(took) / (time.perf_counter() - started), f"{name} p50": statistics.median(took) * 1000}

    return measure


def _fsync_ms() -> float:
    """What one fsync of a small append costs where the store's folder lies."""
    took = []
    with tempfile.TemporaryFile() as file:
        for _ in range(60):
            file.write(b"x" * 500)
            file.flush()
            began = time.perf_counter()
            os.fsync(file.fileno())
            took.append((time.perf_counter() - began) * 1000)
    return statistics.median(took)
