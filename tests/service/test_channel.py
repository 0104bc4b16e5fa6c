"""The channel to the store: order, limits, and that nothing is ever sent twice, over a wire that does what wires do."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import socket
import subprocess
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as LostConnection
from redis.exceptions import ResponseError
from redis.exceptions import TimeoutError as TooSlow

from queue_service.app import connect
from queue_service.channel import Channel, Full
from queue_service.embedded import die_with_parent, find_binary
from service_world import Proxy, a_proxy, a_script, is_greeting, until

Wire = tuple[Channel, Proxy]


@asynccontextmanager
async def a_channel(url: str, **options: Any) -> AsyncIterator[Channel]:
    client = connect(url)
    channel = Channel(client.connection_pool.make_connection, **options)
    try:
        yield channel
    finally:
        await channel.close()
        await client.aclose()


@pytest.fixture
async def wire(redis_url: str) -> AsyncIterator[Wire]:
    """A channel through a proxy to the real server; a reply later than 0.4 s is too slow, eight calls are enough."""
    async with a_proxy(redis_url) as (proxy, address), a_channel(address, timeout_s=0.4, in_flight=8) as channel:
        yield channel, proxy


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    async with Redis.from_url(redis_url) as client:
        yield client


@pytest.fixture
def key() -> str:
    return f"channel-{secrets.token_hex(6)}"


async def ended(*calls: Awaitable[Any]) -> list[Any]:
    """What became of each call."""
    async with asyncio.timeout(5):
        return await asyncio.gather(*calls, return_exceptions=True)


async def test_many_callers_share_one_connection_and_each_gets_its_own_reply(redis_url: str) -> None:
    async with a_proxy(redis_url) as (proxy, address), a_channel(address) as channel:
        await channel.call("PING")
        asked = proxy.asked
        replies = await ended(*(channel.call("ECHO", str(n)) for n in range(500)))
        assert [str(n).encode() for n in range(500)] == replies
        assert 1 == proxy.connections
        assert proxy.asked - asked < 20, "what is asked in one turn of the loop leaves together"


async def test_commands_run_in_the_order_they_were_given(wire: Wire, key: str) -> None:
    channel, _ = wire
    for at in range(0, 40, 8):
        await ended(*(channel.call("RPUSH", key, str(n)) for n in range(at, at + 8)))
    assert [str(n).encode() for n in range(40)] == await channel.call("LRANGE", key, 0, -1)


async def test_an_error_reply_is_that_callers_alone(wire: Wire, key: str) -> None:
    channel, proxy = wire
    before, wrong, after = await ended(
        channel.call("SET", key, "x"), channel.call("INCR", key), channel.call("GET", key)
    )
    assert (b"OK", b"x") == (before, after)
    assert isinstance(wrong, ResponseError)
    assert 1 == proxy.connections


async def test_too_much_under_way_is_refused_and_not_sent(wire: Wire, redis: Redis, key: str) -> None:
    channel, proxy = wire
    await channel.call("PING")
    proxy.is_open.clear()
    calls = [asyncio.ensure_future(channel.call("INCR", key)) for _ in range(8)]
    await asyncio.sleep(0)
    for _ in range(3):
        with pytest.raises(Full):
            await channel.call("INCR", key)
    proxy.is_open.set()
    assert list(range(1, 9)) == await ended(*calls)
    assert 9 == await channel.call("INCR", key)


async def test_a_reply_that_is_late_ends_everything_under_way_and_the_next_call_is_answered(
    wire: Wire, redis: Redis, key: str
) -> None:
    channel, proxy = wire
    await channel.call("PING")
    proxy.is_open.clear()
    replies = await ended(*(channel.call("INCR", key) for _ in range(5)))
    assert [TooSlow] * 5 == [type(reply) for reply in replies]
    proxy.is_open.set()
    assert b"mine" == await channel.call("ECHO", "mine"), "and not a late reply to somebody else"
    assert 2 == proxy.connections
    assert b"5" == await redis.get(key), "unknown is not undone, and not done twice"


async def test_a_connection_that_ends_fails_what_is_under_way_and_the_next_call_opens_another(
    wire: Wire, redis: Redis, key: str
) -> None:
    channel, proxy = wire
    await channel.call("PING")
    asked = proxy.asked
    proxy.is_open.clear()
    calls = [asyncio.ensure_future(channel.call("INCR", key)) for _ in range(3)]
    transaction = asyncio.ensure_future(channel.transaction([("INCR", key), ("INCR", key)]))
    await until(lambda: proxy.asked > asked, "the calls are on their way")
    proxy.cut()
    proxy.is_open.set()
    assert [LostConnection] * 4 == [type(reply) for reply in await ended(*calls, transaction)]
    assert b"PONG" == await channel.call("PING")
    assert 2 == proxy.connections


async def test_nothing_is_ever_sent_twice(wire: Wire, redis: Redis, key: str) -> None:
    """Sixty lost replies: each command ran once, told or untold."""
    channel, proxy = wire
    told = 0
    for _ in range(60):
        await ended(channel.call("PING"))
        proxy.drops = 1
        replies = await ended(*(channel.call("INCR", key) for _ in range(3)))
        told += sum(isinstance(reply, int) for reply in replies)
        proxy.drops = 0
    assert 60 == proxy.dropped
    assert 0 == told
    assert b"180" == await redis.get(key)


async def test_a_store_that_is_not_there_is_said_at_once_and_found_when_it_comes(redis_url: str) -> None:
    async with a_proxy(redis_url) as (proxy, address), a_channel(address) as channel:
        await channel.call("PING")
        proxy._server.close()
        proxy.cut()
        replies = await ended(*(channel.call("PING") for _ in range(4)))
        assert all(isinstance(reply, LostConnection) for reply in replies), replies
        proxy._server = await asyncio.start_server(proxy._accept, "127.0.0.1", int(address.rpartition(":")[2]))
        assert b"PONG" == await channel.call("PING")


async def test_a_transaction_answers_all_or_raises(wire: Wire, key: str) -> None:
    channel, _ = wire
    one, two, three = await ended(
        channel.transaction([("SET", key, "1"), ("INCR", key), ("GET", key)]),
        channel.call("GET", key),
        channel.transaction([("LPUSH", key, "x"), ("GET", key)]),
    )
    assert [b"OK", 2, b"2"] == one
    assert b"2" == two
    assert isinstance(three, ResponseError)
    with pytest.raises(ResponseError, match="EXECABORT"):
        await channel.transaction([("NO-SUCH-COMMAND",), ("GET", key)])
    assert b"2" == await channel.call("GET", key)


async def test_a_caller_who_goes_away_disturbs_nobody_and_the_command_runs(wire: Wire, redis: Redis, key: str) -> None:
    channel, proxy = wire
    await channel.call("PING")
    asked = proxy.asked
    proxy.is_open.clear()
    calls = [asyncio.ensure_future(channel.call("ECHO", str(n))) for n in range(3)]
    leaving = asyncio.ensure_future(channel.call("INCR", key))
    later = asyncio.ensure_future(channel.call("ECHO", "later"))
    await until(lambda: proxy.asked > asked, "the calls are on their way")
    leaving.cancel()
    proxy.is_open.set()
    assert [b"0", b"1", b"2"] == await ended(*calls)
    assert b"later" == await later
    with pytest.raises(asyncio.CancelledError):
        await leaving
    assert b"1" == await redis.get(key)


async def test_a_caller_who_goes_away_while_the_line_is_opened_leaves_it_to_the_others(redis_url: str) -> None:
    async with a_proxy(redis_url) as (proxy, address), a_channel(address) as channel:
        proxy.is_open.clear()
        leaving = asyncio.ensure_future(channel.call("PING"))
        staying = asyncio.ensure_future(channel.call("PING"))
        await until(lambda: proxy.connections, "the line is being opened")
        leaving.cancel()
        proxy.is_open.set()
        assert b"PONG" == await staying
        assert 1 == proxy.connections


async def test_closing_fails_what_is_under_way(wire: Wire) -> None:
    channel, proxy = wire
    await channel.call("PING")
    asked = proxy.asked
    proxy.is_open.clear()
    call = asyncio.ensure_future(channel.call("PING"))
    await until(lambda: proxy.asked > asked, "the call is on its way")
    await channel.close()
    assert isinstance((await ended(call))[0], LostConnection)


# A server that says what a test tells it to


@pytest.mark.parametrize("word", ["LOADING", "READONLY", "MASTERDOWN"])
async def test_a_server_that_is_not_the_one_to_talk_to_is_left(word: str) -> None:
    def answer(number: int, command: list[bytes]) -> bytes:
        if is_greeting(command):
            return b"+OK\r\n"
        return f"-{word} not now\r\n".encode() if number == 1 else b"+PONG\r\n"

    async with a_script(answer) as address, a_channel(address) as channel:
        with pytest.raises(ResponseError, match=word):
            await channel.call("PING")

        async def is_answered() -> bool:
            with contextlib.suppress(LostConnection):
                return await channel.call("PING") == b"PONG"
            return False

        async with asyncio.timeout(5):
            while not await is_answered():
                pass


async def test_a_server_that_hangs_up_after_the_greeting_never_leaves_a_caller_waiting() -> None:
    greeted: dict[int, int] = {}

    def answer(number: int, command: list[bytes]) -> bytes | None:
        greeted[number] = greeted.get(number, 0) + 1
        return b"+OK\r\n" if is_greeting(command) and greeted[number] < 2 else None

    async with a_script(answer) as address, a_channel(address, timeout_s=1.0) as channel:
        for _ in range(20):
            replies = await ended(*(channel.call("PING") for _ in range(3)))
            assert all(isinstance(reply, LostConnection | TooSlow) for reply in replies), replies


async def test_what_is_no_protocol_ends_the_connection() -> None:
    def answer(_: int, command: list[bytes]) -> bytes:
        return b"+OK\r\n" if is_greeting(command) else b"HTTP/1.1 400 Bad Request\r\n\r\n"

    async with a_script(answer) as address, a_channel(address) as channel:
        for _ in range(2):
            assert isinstance((await ended(channel.call("PING")))[0], LostConnection)


async def test_more_replies_than_questions_hurt_nobody() -> None:
    def answer(_: int, command: list[bytes]) -> bytes:
        return b"+OK\r\n" if is_greeting(command) else b"+PONG\r\n+MORE\r\n"

    async with a_script(answer) as address, a_channel(address) as channel:
        for _ in range(5):
            (reply,) = await ended(channel.call("PING"))
            assert isinstance(reply, LostConnection) or reply == b"PONG", reply


# Replicas


class Server:
    """A server of a test's own, on a port, so that another can be its replica."""

    def __init__(self, folder: Path, *options: str) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        folder.mkdir()
        self.process = subprocess.Popen(
            [find_binary(), "--port", str(self.port), "--dir", folder, "--save", "", "--appendonly", "no", *options],
            stdout=subprocess.DEVNULL,
            preexec_fn=die_with_parent(),
        )
        self.url = f"redis://127.0.0.1:{self.port}"

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


@pytest.fixture
async def pair(tmp_path: Path) -> AsyncIterator[tuple[Server, Server]]:
    """A primary and its replica, in step."""
    primary = Server(tmp_path / "primary", "--repl-diskless-sync-delay", "0")
    replica = Server(tmp_path / "replica", "--replicaof", f"127.0.0.1 {primary.port}")
    try:
        async with a_channel(primary.url) as channel, asyncio.timeout(20):
            confirmed = 0
            while confirmed < 2:  # what it confirms first may be the copy it began with
                with contextlib.suppress(LostConnection, ResponseError):
                    await channel.call("SET", "in", "step")
                    confirmed += await channel.call("WAIT", 1, 1500)
        yield primary, replica
    finally:
        primary.kill()
        replica.kill()


async def test_what_is_answered_is_with_the_replica(pair: tuple[Server, Server], key: str) -> None:
    primary, replica = pair
    async with a_channel(primary.url, replicas=1, replicas_ms=1000) as channel, Redis.from_url(replica.url) as other:
        for n in range(20):
            await channel.call("SET", key, str(n))
            assert str(n).encode() == await other.get(key)
        replies = await ended(*(channel.call("INCR", key) for _ in range(50)))
        assert list(range(20, 70)) == replies
        assert [70, b"70"] == await channel.transaction([("INCR", key), ("GET", key)])


async def test_without_the_replica_nothing_is_answered(pair: tuple[Server, Server], key: str) -> None:
    """The change is there; but nobody is told that it is safe, and the server is asked for anew."""
    primary, replica = pair
    async with a_channel(primary.url, replicas=1, replicas_ms=500) as channel, Redis.from_url(primary.url) as other:
        assert 1 == await channel.call("INCR", key)
        replica.kill()
        replies = await ended(*(channel.call("INCR", key) for _ in range(5)))
        assert ["NOREPLICAS"] * 5 == [str(reply).split()[0] for reply in replies]
        assert b"6" == await other.get(key)
        await until(lambda: channel._line is None or channel._line.is_closed, "the connection is given up")
        with pytest.raises(ResponseError, match="NOREPLICAS"):
            await channel.transaction([("GET", key)])
