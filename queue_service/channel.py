"""
The channel: one connection to the store that carries everybody's presses, pipelined by itself.

Whatever is asked within one turn of the event loop leaves in one write and comes back in order, which costs a fifteenth
of the CPU of a pool with one command in flight per connection (loadtest/bench_channel.py).  Address, TLS,
authentication, protocol and Sentinel stay the library's: the channel opens redis.asyncio's own connection object and
then reads and writes its streams.

It never sends anything twice.  When the connection ends, what was in flight fails with LostConnection, and whoever
holds the press id decides.  Knows no command; feeds store.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol

import hiredis
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import ConnectionError as LostConnection
from redis.exceptions import RedisError, ResponseError
from redis.exceptions import TimeoutError as TooSlow

Reply = Any
"""bytes, int, None, a list of these, or a ResponseError inside a transaction's list."""

MOVED_ON: Final = ("READONLY", "NOREPLICAS", "MASTERDOWN", "LOADING")
"""
Replies that say that this server is not, or not yet, the one to talk to: the connection is dropped and the address
asked for again.
"""

READ_BYTES: Final = 1 << 16
SWEEP_S: Final = 0.25


class Streams(Protocol):
    """
    The part of redis.asyncio's connection that the channel reads and writes: the one place that knows these two names.
    """

    _reader: asyncio.StreamReader
    _writer: asyncio.StreamWriter


class Full(RedisError):
    """Too much is in flight already; this call was not sent."""


def _packed(*command: Any) -> bytes:
    packed: bytes = hiredis.pack_command(command)
    return packed


class Channel:
    """
    One auto-pipelined connection.

    Args:
        connect: makes a fresh, unconnected connection (``ConnectionPool.make_connection``), with RESP 2 and no
        decoding. timeout_s: a reply later than this ends the connection and everything in flight. in_flight: calls that
        may be under way at once; one more is refused with Full. replicas: how many replicas must have a batch before it
        is answered; 0 without replication. replicas_ms: how long to wait for them.
    """

    def __init__(
        self,
        connect: Callable[[], AbstractConnection],
        *,
        timeout_s: float = 2.0,
        in_flight: int = 4096,
        replicas: int = 0,
        replicas_ms: int = 1000,
    ) -> None:
        self._connect = connect
        self._timeout_s = timeout_s
        self._in_flight = in_flight
        self._wait = _packed("WAIT", replicas, replicas_ms) if replicas else b""
        self._replicas = replicas
        self._line: _Line | None = None
        self._opening: asyncio.Task[_Line] | None = None

    async def call(self, *command: Any) -> Reply:
        """
        Send one command and return its reply.

        Cancelling the caller does not recall the command.

        Raises:
            ResponseError: the server's error reply.
            LostConnection: the connection ended before the reply: unknown whether the command was carried out.
            TooSlow: no reply in time: unknown, too.
            Full: not sent.
        """
        return await self.call_packed(_packed(*command))

    async def call_packed(self, packed: bytes) -> Reply:
        """The same for a command that is RESP already."""
        line = self._line
        if line is None or line.is_closed:
            line = await self._open()
        reply = await line.send(packed, 1)
        return reply[0]

    async def transaction(self, commands: Sequence[tuple[Any, ...]]) -> list[Reply]:
        """Send *commands* as one MULTI and return their replies.  Raises as ``call``."""
        line = self._line
        if line is None or line.is_closed:
            line = await self._open()
        packed = b"".join(_packed(*command) for command in (("MULTI",), *commands, ("EXEC",)))
        replies = await line.send(packed, len(commands) + 2)
        result: list[Reply] = replies[-1]
        for reply in result:
            if isinstance(reply, ResponseError):
                raise reply
        return result

    async def close(self) -> None:
        """End the connection; what is in flight fails."""
        if self._opening is not None:
            self._opening.cancel()
        if self._line is not None:
            await self._line.close(LostConnection("the channel is closed"))

    async def _open(self) -> _Line:
        if self._opening is None or self._opening.done():
            self._opening = asyncio.ensure_future(self._open_now())
        return await asyncio.shield(self._opening)

    async def _open_now(self) -> _Line:
        connection = self._connect()
        try:
            async with asyncio.timeout(self._timeout_s):
                await connection.connect()  # type: ignore[no-untyped-call]
        except TimeoutError as late:
            raise TooSlow("the store did not accept a connection in time") from late
        self._line = _Line(connection, self._timeout_s, self._in_flight, self._wait, self._replicas)
        return self._line


class _Line:
    """One connection's life: what is to be written, and who waits for which reply."""

    def __init__(
        self, connection: AbstractConnection, timeout_s: float, in_flight: int, wait: bytes, replicas: int
    ) -> None:
        streams: Streams = connection  # type: ignore[assignment]  # private names of the library, kept to this place
        self._connection = connection
        self._reader, self._writer = streams._reader, streams._writer
        self._timeout_s = timeout_s
        self._in_flight = in_flight
        self._wait = wait
        self._replicas = replicas
        self._loop = asyncio.get_running_loop()
        self._out: list[bytes] = []
        self._batch: list[tuple[asyncio.Future[list[Reply]], int]] = []
        # Sent and not answered, oldest first: future, replies to come, time sent.  A future of None is the batch's
        # WAIT.
        self._sent: deque[tuple[asyncio.Future[list[Reply]] | None, int, float]] = deque()
        self._held: list[tuple[asyncio.Future[list[Reply]], list[Reply]]] = []
        self.is_closed = False
        self._reading = asyncio.ensure_future(self._read())
        self._sweep_handle = self._loop.call_later(SWEEP_S, self._sweep)

    def send(self, packed: bytes, replies: int) -> asyncio.Future[list[Reply]]:
        if self.is_closed:  # between the opening of the line and the waking of who waited for it
            raise LostConnection("the store closed the connection")
        if len(self._sent) + len(self._batch) >= self._in_flight:
            raise Full("too much is in flight")
        if not self._out:
            self._loop.call_soon(self._flush)
        future: asyncio.Future[list[Reply]] = self._loop.create_future()
        self._out.append(packed)
        self._batch.append((future, replies))
        return future

    def _flush(self) -> None:
        if self.is_closed or not self._out:
            return
        now = self._loop.time()
        for future, replies in self._batch:
            self._sent.append((future, replies, now))
        if self._wait:
            self._out.append(self._wait)
            self._sent.append((None, 1, now))
        self._writer.write(b"".join(self._out))
        self._out.clear()
        self._batch.clear()

    async def _read(self) -> None:
        parser = hiredis.Reader(replyError=ResponseError)
        replies: list[Reply] = []
        end: BaseException = LostConnection("the store closed the connection")
        try:
            while data := await self._reader.read(READ_BYTES):
                parser.feed(data)
                while not self.is_closed and (reply := parser.gets()) is not False:
                    if not self._sent:
                        end = LostConnection("the store spoke without being asked")
                        return
                    replies.append(reply)
                    if len(replies) == self._sent[0][1]:
                        self._answer(self._sent.popleft()[0], replies)
                        replies = []
        except (OSError, hiredis.ProtocolError) as trouble:
            end = LostConnection(str(trouble))
        finally:
            await self.close(end)

    def _answer(self, future: asyncio.Future[list[Reply]] | None, replies: list[Reply]) -> None:
        if future is None:
            reached = replies[0]
            enough = isinstance(reached, int) and reached >= self._replicas
            for held, held_replies in self._held:
                self._settle(held, held_replies if enough else [ResponseError("NOREPLICAS too few replicas in time")])
            self._held.clear()
        elif self._wait:
            self._held.append((future, replies))
        else:
            self._settle(future, replies)

    def _settle(self, future: asyncio.Future[list[Reply]], replies: list[Reply]) -> None:
        last = replies[-1]
        if isinstance(last, ResponseError):
            if str(last).startswith(MOVED_ON):
                self._loop.call_soon(self._writer.close)
            if not future.done():
                future.set_exception(last)
        elif not future.done():
            future.set_result(replies)

    def _sweep(self) -> None:
        """One timer for all calls: the oldest is the first to be late."""
        if self._sent and self._loop.time() - self._sent[0][2] > self._timeout_s:
            self._give_up(TooSlow("the store did not answer in time"))
            self._writer.close()
            return
        self._sweep_handle = self._loop.call_later(SWEEP_S, self._sweep)

    def _give_up(self, why: BaseException) -> None:
        self.is_closed = True
        left = [future for future, _, _ in self._sent] + [future for future, _ in self._batch + self._held]
        self._sent.clear()
        self._batch.clear()
        self._held.clear()
        for future in left:
            if future is not None and not future.done():
                future.set_exception(why)

    async def close(self, why: BaseException) -> None:
        if not self.is_closed:
            self._give_up(why)
        self._sweep_handle.cancel()
        if self._reading is not asyncio.current_task():
            self._reading.cancel()
        await self._connection.disconnect(nowait=True)
