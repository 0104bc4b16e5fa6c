"""
The measurements that the decisions quote, on a private server: ``.venv/bin/python docs/decisions/measure.py``.

CPU time of the server's or our own process per operation, because wall clock on a busy machine measures its neighbours.
The variants of one question take turns; figures are the least of the rounds, because neighbours can only add.
"""

from __future__ import annotations

import asyncio
import resource
import subprocess
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import uvloop
from redis.asyncio import Redis

from queue_service.app import connect
from queue_service.channel import Channel
from queue_service.embedded import die_with_parent, find_binary

ROUNDS = 5
CLASSES = ("standard", "priority", "appointment")


def cpu_of(pid: int) -> float:
    """Seconds that the process has been on a CPU (Linux)."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9


def own_cpu() -> float:
    """Seconds of CPU that we have used."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


async def compare(title: str, spent: Callable[[], float], variants: dict[str, Callable[[], Awaitable[int]]]) -> None:
    """Let *variants* take turns; each says how many operations it did."""
    costs: dict[str, list[float]] = {name: [] for name in variants}
    for _ in range(ROUNDS):
        for name, variant in variants.items():
            before = spent()
            done = await variant()
            costs[name].append((spent() - before) / done * 1e6)
    print(title)
    for name, found in costs.items():
        print(f"  {name:<58} {min(found):8.2f} µs")


async def lines(client: Redis, pid: int) -> None:
    """The heads of a line's classes: one set of all lines of a centre, or a set for each line and class."""
    for tickets in (100, 10_000):
        await client.flushall()
        members: dict[str, int] = {}
        filling = client.pipeline(transaction=False)
        for n in range(tickets):
            line, cls = f"line{n % 20:02}", CLASSES[n % 10 == 0]
            member = f"{cls}/{1_795_000_000_000 + n:013d}/{n:08d}/{n:022d}"
            members[f"{line}/{member}"] = 0
            filling.zadd(f"{{c}}:{line}:{cls}", {f"{n:08d}{n:022d}": 1_795_000_000_000 + n})
        filling.zadd("{c}:waiting", members)
        await filling.execute()

        async def one_set(again: int = 200) -> int:
            pipe = client.pipeline(transaction=False)
            for _ in range(again):
                for line in range(20):
                    for cls in CLASSES:
                        low = f"line{line:02}/{cls}"
                        pipe.zrangebylex("{c}:waiting", f"[{low}/", f"({low}0", 0, 1)
            return len(await pipe.execute())

        async def many_sets(again: int = 200) -> int:
            pipe = client.pipeline(transaction=False)
            for _ in range(again):
                for line in range(20):
                    for cls in CLASSES:
                        pipe.zrange(f"{{c}}:line{line:02}:{cls}", 0, 0)
            return len(await pipe.execute())

        memory = [
            sum([await client.memory_usage(key, samples=0) or 0 for key in await client.keys(pattern)])
            for pattern in ("{c}:waiting", "{c}:line*")
        ]
        await compare(
            f"reading one head, {tickets} tickets waiting in 20 lines (server CPU)",
            lambda: cpu_of(pid),
            {
                f"one lexicographic set ({memory[0] // tickets} bytes a ticket)": one_set,
                f"a set for each line and class ({memory[1] // tickets} bytes a ticket)": many_sets,
            },
        )


async def channel(client: Redis, url: str) -> None:
    """One pipelined connection, or the library's pool."""
    await client.flushall()
    piped = connect(url)
    one = Channel(piped.connection_pool.make_connection)
    pool = Redis.from_url(url, max_connections=100)

    def at_once(tasks: int, total: int, call: Callable[[], Awaitable[object]]) -> Callable[[], Awaitable[int]]:
        async def ask() -> None:
            for _ in range(total // tasks):
                await call()

        async def run() -> int:
            await asyncio.gather(*(ask() for _ in range(tasks)))
            return total

        return run

    for tasks, total in ((1, 2_000), (100, 10_000)):
        await compare(
            f"HGET by {tasks} task{'s' * (tasks > 1)} at once (our CPU)",
            own_cpu,
            {
                "auto-pipelined channel": at_once(tasks, total, lambda: one.call("HGET", "h", "f")),
                "redis.asyncio, a connection for each task": at_once(tasks, total, lambda: pool.hget("h", "f")),
            },
        )
    await one.close()
    await piped.aclose()
    await pool.aclose()


async def bell(client: Redis, url: str, pid: int) -> None:
    """Hearing of an event: the bell of its centre, or one blocking read over all centres' logs."""
    for centres in (1, 1_000):
        await client.flushall()
        keys = [f"qs:{{c{n}}}:events" for n in range(centres)]
        for key in keys:
            await client.xadd(key, {"e": "x"}, id="1-0")
        listener, reader = Redis.from_url(url), Redis.from_url(url)
        heard = listener.pubsub()
        await heard.ssubscribe(*(f"qs:{{c{n}}}:bell" for n in range(centres)))
        for _ in range(centres):
            await heard.get_message(timeout=5)

        async def ring(heard: object = heard, events: int = 200) -> int:
            for _ in range(events):
                await asyncio.sleep(0.004)  # both variants find the server equally cold
                step = client.pipeline(transaction=False)
                step.xadd("qs:{c0}:events", {"e": b"x" * 200}, maxlen=1000)
                step.spublish("qs:{c0}:bell", b"x" * 200)
                await step.execute()
                while (await heard.get_message(timeout=5))["type"] != "smessage":  # type: ignore[attr-defined]
                    pass
            return events

        cursors: dict[str, str | bytes] = dict.fromkeys(keys, "1-0")

        async def read(
            reader: Redis = reader, cursors: dict[str, str | bytes] = cursors, first: str = keys[0], events: int = 200
        ) -> int:
            for _ in range(events):
                waiting = asyncio.ensure_future(reader.xread(cursors, block=5_000))
                await asyncio.sleep(0.004)  # until it is blocked there
                cursors[first] = await client.xadd(first, {"e": b"x" * 200}, maxlen=1000)
                await waiting
            return events

        await compare(
            f"one event heard, {centres} centre{'s' * (centres > 1)} followed (server CPU)",
            lambda: cpu_of(pid),
            {"SPUBLISH to the bell": ring, "XREAD BLOCK over all logs": read},
        )
        await heard.aclose()
        await listener.aclose()
        await reader.aclose()


async def measure(url: str, pid: int) -> None:
    """All questions, one after the other."""
    client = Redis.from_url(url)
    await lines(client, pid)
    await channel(client, url)
    await bell(client, url, pid)
    await client.aclose()


def main() -> None:
    """On a server of our own, without persistence."""
    with tempfile.TemporaryDirectory(prefix="qs-") as folder:
        socket = Path(folder) / "server.sock"
        options = {"port": "0", "unixsocket": str(socket), "save": "", "appendonly": "no", "dir": folder}
        server = subprocess.Popen(
            [find_binary(), *(word for name, value in options.items() for word in (f"--{name}", value))],
            stdout=subprocess.DEVNULL,
            preexec_fn=die_with_parent(),
        )
        while not socket.exists():
            time.sleep(0.01)
        try:
            uvloop.run(measure(f"unix://{socket}", server.pid))
        finally:
            server.terminate()
            server.wait()


if __name__ == "__main__":
    main()
