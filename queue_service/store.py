"""
The store: each press is one Function call, answered by the state after it or by a refusal with a code.

Feeds on commands (commands.py), speaks to Redis, feeds dispatch.  The only module that says FCALL.  It never repeats a press by itself:
whoever holds the press id decides that (docs/protocol.md, "Repeating a press").
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, cast

import msgspec
from redis.asyncio import Redis
from redis.asyncio.client import Pipeline
from redis.exceptions import RedisError, ResponseError

from queue_service import library
from queue_service.centre import Centre, build, to_json
from queue_service.codec import centre_pieces, fingerprint, pack, pack_command, read_record, read_ticket, unpack
from queue_service.commands import Command, Configure, Press
from queue_service.errors import StoreAway, UnknownCentre, UnknownTicket, from_code
from queue_service.events import Event
from queue_service.keys import centre_keys
from queue_service.tickets import Ticket

Reply = dict[str, Any]
"""What a Function answers: epoch, seq, day, now_ms, and by command ticket, counter, issuing, forgotten."""

CENTRES_KEY = "qs:{centres}:files"
"""HASH: centre id -> the centre's file as canonical JSON.  Every process of an installation reads the same centres here."""


class TicketStore:
    """
    One installation's centres in Redis.

    Args:
        client: decodes nothing and retries nothing (see ``app.connect``).
        replicas: how many replicas must have a change before it is answered; 0 without replication.
        wait_ms: how long to wait for them.
    """

    def __init__(self, client: Redis, *, replicas: int = 0, wait_ms: int = 1000) -> None:
        self._client = client
        self._replicas = replicas
        self._wait_ms = wait_ms

    async def prepare(self) -> str:
        """Load the Function library and return its version."""
        return await library.load(self._client)

    # -- presses --------------------------------------------------------------------------------------------------

    async def carry_out(self, centre: str, command: Command, press: Press, version: str = "") -> Reply:
        """
        Carry out *command* at *centre*, in one Function call and no second round trip.

        A cancelled caller does not cancel the change: it runs on, and its answer waits under the press id.

        Args:
            version: of the configuration the command was checked against.

        Returns:
            The function's reply; the same bytes for a repeated press id.

        Raises:
            QueueError: the refusal, by its code.
            StoreAway: no answer, or too few replicas: unknown whether it was done; repeat with the same press id.
        """
        wish = pack_command(command)
        envelope = pack(
            {
                "press_id": press.press_id,
                "actor": press.actor,
                "now_ms": press.now_ms,
                "over": press.over,
                "new_ticket": press.new_ticket,
                "fingerprint": fingerprint(command.function, wish),
                "version": version,
            }
        )
        data = await asyncio.shield(asyncio.ensure_future(self._fcall(centre, command.function, wish, envelope)))
        reply: Reply = unpack(data)
        if "refused" in reply:
            raise from_code(reply["refused"], reply["detail"])
        return reply

    async def _fcall(self, centre: str, function: str, wish: bytes, envelope: bytes) -> bytes:
        keys = centre_keys(centre).as_list()
        call = ("FCALL", function, len(keys), *keys, wish, envelope)
        try:
            return await self._execute(call)
        except ResponseError as error:
            if not library.is_missing(error):
                raise
            await library.load(self._client)
            return await self._execute(call)

    async def _execute(self, call: tuple[Any, ...]) -> bytes:
        if not self._replicas:
            return cast(bytes, await self._client.execute_command(*call))
        async with self._client.pipeline(transaction=False) as pipe:
            pipe.execute_command(*call)
            pipe.wait(self._replicas, self._wait_ms)
            data, reached = await pipe.execute()
        if reached < self._replicas:
            raise StoreAway("the change did not reach enough replicas in time; repeat with the same key")
        return cast(bytes, data)

    # -- centres --------------------------------------------------------------------------------------------------

    async def put_centre(self, centre: Centre, command: Configure, press: Press) -> Reply:
        """Put *centre* in force: for every process of the installation, and for the functions."""
        reply = await self.carry_out(centre.id, command, press)
        await self._await(self._client.hset(CENTRES_KEY, centre.id, to_json(centre)))
        return reply

    async def centre_ids(self) -> list[str]:
        """Ids of all centres of the installation, sorted."""
        return sorted(key.decode() for key in await self._await(self._client.hkeys(CENTRES_KEY)))

    async def read_centre(self, centre: str) -> Centre:
        """
        The centre's configuration in force.

        Raises:
            UnknownCentre: no such centre.
        """
        data = await self._await(self._client.hget(CENTRES_KEY, centre))
        if data is None:
            raise UnknownCentre(f"there is no centre {centre} here")
        return build(msgspec.json.decode(data))

    # -- reading --------------------------------------------------------------------------------------------------

    async def read_day(self, centre: str) -> dict[str, Any]:
        """The day HASH: epoch, seq, clock, day, version, issuing, issuing_text, ``waiting:<service>``, ``mean:<service>`` as text."""
        stored = await self._await(self._client.hgetall(centre_keys(centre).day))
        return {name.decode(): value.decode() for name, value in stored.items()}

    async def read_ticket(self, centre: str, ticket: str) -> Ticket:
        """
        One ticket as it is now; ``ahead`` is counted where it waits.

        Raises:
            UnknownTicket: no such ticket at this centre, or forgotten since.
        """
        record = await self._ticket_record(centre, ticket)
        return read_ticket(record)

    async def _ticket_record(self, centre: str, ticket: str) -> dict[str, Any]:
        data = await self._await(self._client.hget(centre_keys(centre).tickets, ticket))
        if data is None:
            raise UnknownTicket(f"there is no ticket {ticket} at this centre")
        return read_record(data)

    async def count_ahead(self, centre: Centre, tickets: list[Ticket]) -> list[int]:
        """People of the same line who are due before each of *tickets*; the formula is that of lua/23_lines.lua, ahead_of."""
        keys = centre_keys(centre.id)
        promise_ms = {cls.id: cls.promise_s * 1000 for cls in centre.policy.classes}
        async with self._client.pipeline(transaction=False) as pipe:
            for ticket in tickets:
                due = ticket.virtual_ms + promise_ms[ticket.cls]  # type: ignore[index]  # the store holds only known classes
                for cls, promise in promise_ms.items():
                    prefix = f"{ticket.service}/{cls}"
                    pipe.zlexcount(keys.waiting, f"[{prefix}/", f"({prefix}/{max(due - promise, 0):013d}/{ticket.order}")
            counts = cast(list[int], await pipe.execute())
        width = len(promise_ms)
        return [sum(counts[i : i + width]) for i in range(0, len(counts), width)]

    async def read_all(self, centre: str) -> tuple[dict[str, str], dict[str, Any], dict[str, Any], list[str]]:
        """
        Everything of one centre in one step.

        Returns:
            The day fields, counters by id, ticket records by id, and the members of the waiting set in calling order.
        """
        keys = centre_keys(centre)

        def fill(pipe: Pipeline) -> None:
            pipe.hgetall(keys.day)
            pipe.hgetall(keys.counters)
            pipe.hgetall(keys.tickets)
            pipe.zrange(keys.waiting, 0, -1)

        day, counters, tickets, waiting = await self._in_one_step(fill)
        return (
            {name.decode(): value.decode() for name, value in day.items()},
            {name.decode(): read_record(value) for name, value in counters.items()},
            {name.decode(): read_record(value) for name, value in tickets.items()},
            [member.decode() for member in waiting],
        )

    async def read_desk(self, centre: Centre, counter: str) -> dict[str, Any]:
        """
        What the officer at *counter* looks at, read in one step.

        Returns:
            day fields, the counter's record, per line of the counter the number and the oldest member of each class, and the parked tickets.
        """
        keys = centre_keys(centre.id)
        lines = [(line.service, cls.id) for line in centre.counter(counter).serves for cls in centre.policy.classes]

        def fill(pipe: Pipeline) -> None:
            pipe.hgetall(keys.day)
            pipe.hget(keys.counters, counter)
            for service, cls in lines:
                low, high = f"[{service}/{cls}/", f"({service}/{cls}0"
                pipe.zlexcount(keys.waiting, low, high)
                pipe.zrangebylex(keys.waiting, low, high, start=0, num=1)

        day, record, *rest = await self._in_one_step(fill)
        return {
            "day": {name.decode(): value.decode() for name, value in day.items()},
            "counter": read_record(record) if record else None,
            "lines": [
                (service, cls, count, heads[0].decode() if heads else None)
                for (service, cls), count, heads in zip(lines, rest[0::2], rest[1::2], strict=True)
            ],
        }

    async def read_tickets(self, centre: str, ids: list[str]) -> list[Ticket]:
        """The tickets with *ids*; those that are gone are left out."""
        if not ids:
            return []
        stored = await self._await(self._client.hmget(centre_keys(centre).tickets, ids))
        return [read_ticket(read_record(data)) for data in stored if data is not None]

    async def read_events(self, centre: str, after: int, limit: int) -> list[Event]:
        """Up to *limit* events with a seq greater than *after*, in order."""
        entries = await self._await(self._client.xrange(centre_keys(centre).events, min=f"({after}-0", count=limit))
        return [cast(Event, unpack(fields[b"e"])) for _, fields in entries]

    async def _in_one_step(self, fill: Callable[[Pipeline], None]) -> list[Any]:
        async with self._client.pipeline(transaction=True) as pipe:
            fill(pipe)
            return cast(list[Any], await pipe.execute())

    @staticmethod
    async def _await(reply: Any) -> Any:
        return await cast(Awaitable[Any], reply)
