"""The feed and its store: restarts, silence, a Cluster, and what screens see meanwhile."""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import WSServerHandshakeError
from redis.asyncio import Redis
from redis.exceptions import RedisError

from displays import metrics
from displays.feed import Feed, open_client
from displays.hub import Hub
from displays_world import Writer, running, until
from queue_service.clock import SystemClock
from queue_service.embedded import die_with_parent, find_binary


class Server:
    """A store of its own for one test, which can be killed, stopped and started again with what it knew."""

    def __init__(self, folder: str, **options: str) -> None:
        self.path = Path(folder) / "server.sock"
        plain = {"port": "0", "unixsocket": str(self.path), "appendonly": "yes", "appendfsync": "always", "save": ""}
        options = {**plain, "dir": folder, **options}
        self._words = [find_binary(), *(word for name, value in options.items() for word in (f"--{name}", value))]
        self.url = f"unix://{self.path}"

    async def start(self) -> None:
        self.path.unlink(missing_ok=True)
        self.process = self._open()
        end = time.monotonic() + 10
        async with Redis.from_url(self.url) as client:
            while time.monotonic() < end:
                try:
                    await client.ping()
                except (RedisError, OSError):
                    await asyncio.sleep(0.01)
                else:
                    return
        raise AssertionError("the server does not answer")

    def _open(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(self._words, stdout=subprocess.DEVNULL, preexec_fn=die_with_parent())

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def freeze(self) -> None:
        os.kill(self.process.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        os.kill(self.process.pid, signal.SIGCONT)


@pytest.fixture
async def own_server() -> AsyncIterator[Server]:
    with tempfile.TemporaryDirectory(prefix="qs-") as folder:
        server = Server(folder)
        await server.start()
        yield server
        server.kill()


@pytest.fixture
async def own_centre(own_server: Server) -> AsyncIterator[Writer]:
    async with Redis.from_url(own_server.url) as client:
        writer = Writer(client, "demo")
        await writer.set_up()
        yield writer


async def test_a_restarted_store_costs_no_event(own_server: Server, own_centre: Writer) -> None:
    """Kill -9 in mid-stream: screens stay, are told how old their view is, and go on where they were."""
    async with running(own_server.url, "demo") as hall:
        screens = [await hall.screen() for _ in range(5)]
        lost = metrics.BELL_LOST._value.get()
        for round_ in range(3):
            await own_centre.issue("A001")
            own_server.kill()
            await until(lambda: hall.hub.stale_since_ms, "the hub knows that it is blind")
            if round_ == 0:
                await until(lambda: screens[0].ticks and "stale_since_ms" in screens[0].ticks[-1], "and says so", 7)
            await own_server.start()
            await own_centre.issue("A002")
            for screen in screens:
                await screen.reaches(own_centre.seq)
        await until(lambda: hall.hub.stale_since_ms is None, "the hub sees again")

        assert [6] * 5 == [len(screen.events) for screen in screens]
        assert [1] * 5 == [len(screen.starts) for screen in screens]
        assert metrics.BELL_LOST._value.get() >= lost + 3


async def test_a_frozen_store_is_noticed_and_forgiven(own_server: Server, own_centre: Writer) -> None:
    """Connections that do not answer are cut and opened again; a hall already followed takes new screens meanwhile."""
    async with running(own_server.url, "demo") as hall:
        screen = await hall.screen()
        own_server.freeze()
        await until(lambda: hall.hub.stale_since_ms, "the hub knows that it is blind")
        late = await hall.screen()
        assert "snapshot" == late.starts[0]["type"]

        own_server.thaw()
        await own_centre.issue("A001")
        await screen.reaches(1)
        await late.reaches(1)


async def test_a_store_that_is_away_refuses_the_first_screen_of_a_hall(own_server: Server) -> None:
    """Nothing is pretended about a hall that was never read: 503, come back."""
    async with running(own_server.url, "demo") as hall:
        own_server.kill()
        began = time.monotonic()
        with pytest.raises(WSServerHandshakeError) as refused:
            await hall.screen()

        assert 503 == refused.value.status
        assert time.monotonic() - began < 3
        assert refused.value.headers is not None
        assert "Retry-After" in refused.value.headers


async def test_a_hall_nobody_watches_is_let_go(
    redis_url: str, centre: Writer, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a while without screens a centre is not followed any more, and comes back when it is needed."""
    monkeypatch.setattr("displays.hub.LINGER_S", 0.0)
    monkeypatch.setattr("displays.hub.TICK_S", 0.05)

    async with running(redis_url, centre.id) as hall:
        screen = await hall.screen()
        await _heard_by(redis, centre, 1)
        await screen.leave()
        await _heard_by(redis, centre, 0)
        await centre.issue("A001")
        assert 1 == (await hall.screen()).starts[0]["seq"]


async def test_many_centres_hang_on_one_bell(redis_url: str, redis: Redis) -> None:
    """Each centre's events reach its own listeners only, over one connection."""
    centres = [Writer(redis, f"many-{secrets.token_hex(4)}") for _ in range(30)]
    clock = SystemClock()
    hub = Hub(Feed(open_client(redis_url), clock), clock)
    await hub.start()
    heard: dict[str, list[object]] = {}
    try:
        for centre in centres:
            await centre.set_up()
            heard[centre.id] = []
            await hub.listen(centre.id, lambda event, to=heard[centre.id]: to.append(event and event["seq"]))
        for _ in range(5):
            await asyncio.gather(*(centre.issue("A001") for centre in centres))
        await until(lambda: all(len(seqs) == 5 for seqs in heard.values()), "five events each")
        assert [[1, 2, 3, 4, 5]] * 30 == list(heard.values())
    finally:
        await hub.close_all()
        await hub.stop()


async def test_a_cluster_is_followed_node_by_node() -> None:
    """On a Cluster the bell is that of the centre's node, and is connected again when it is cut."""
    with tempfile.TemporaryDirectory(prefix="qs-") as folder:
        port = _free_port()
        server = Server(folder, port=str(port), **{"cluster-enabled": "yes", "cluster-port": str(_free_port())})
        await server.start()
        clock = SystemClock()
        hub = Hub(Feed(open_client(f"redis://127.0.0.1:{port}", cluster=True), clock), clock)
        try:
            async with Redis.from_url(server.url) as client:
                await client.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
                while b"cluster_state:ok" not in await client.execute_command("CLUSTER", "INFO"):
                    await asyncio.sleep(0.02)
                centre = Writer(client, "demo")
                await centre.set_up()
                await hub.start()
                heard: list[object] = []
                await hub.listen("demo", lambda event: heard.append(event and event["seq"]))
                await _heard_by(client, centre, 1)
                rung = metrics.FROM_BELL._value.get()
                await centre.issue("A001")
                await until(lambda: heard == [1], "the first event")
                assert rung + 1 == metrics.FROM_BELL._value.get()

                await client.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
                await centre.issue("A002")
                await until(lambda: heard == [1, 2], "the second, by the log")
        finally:
            await hub.close_all()
            await hub.stop()
            server.kill()


async def _heard_by(redis: Redis, centre: Writer, listeners: int) -> None:
    """Wait until so many processes listen to the bell of *centre*."""
    end = time.monotonic() + 5
    while (await redis.execute_command("PUBSUB", "SHARDNUMSUB", centre.keys.bell))[1] != listeners:
        assert time.monotonic() < end
        await asyncio.sleep(0.005)


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port
