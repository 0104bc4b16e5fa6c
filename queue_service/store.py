"""
The store: each press is one Function call, answered by the state after it or by a refusal with a code.

Feeds on commands (commands.py), speaks to Redis, feeds dispatch.  The only module that says FCALL.  It never repeats a
press by itself: whoever holds the press id decides that (docs/protocol.md, "Repeating a press").
"""

from __future__ import annotations

import asyncio
import itertools
import secrets
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, Final, cast

import msgspec
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as LostConnection
from redis.exceptions import ResponseError
from redis.exceptions import TimeoutError as TooSlow

from queue_service import library, metrics
from queue_service.assignments import Assignments, assigned, read_assignments
from queue_service.centre import Centre, TicketClass, build
from queue_service.channel import Channel, Full
from queue_service.codec import (
    Reply,
    fingerprint,
    pack,
    pack_command,
    read_event,
    read_record,
    read_ticket,
    unpack,
)
from queue_service.commands import Command, Configure, Press
from queue_service.errors import Overloaded, StoreAway, UnknownCentre, UnknownTicket, from_code
from queue_service.events import Event
from queue_service.keys import HEARD_S, centre_keys
from queue_service.tickets import Ticket

Day = dict[str, str]
"""The day HASH (keys.py): epoch, seq, clock, day, version, issuing, ``waiting:<service>``, ``mean:<service>``, …"""

Records = dict[str, dict[str, Any]]
"""Records by id."""

Head = tuple[str, str, int, str | None]
"""Service, class, number waiting, first member of the waiting set."""

POSITIONS_AT_ONCE: Final = 100
"""Centres of one step when all are asked how far they are: no press waits long behind it."""

RESULT_S: Final = 3600

CENTRES_KEY = "qs:{centres}:ids"
"""
HASH: centre id -> the centre's file as canonical JSON.  Every process of an installation reads the same centres here.
"""


AWAY: Final = frozenset(
    {"BUSY", "CLUSTERDOWN", "LOADING", "MASTERDOWN", "MISCONF", "NOREPLICAS", "READONLY", "TRYAGAIN", "UNKILLABLE"}
)
"""First words of replies with which a server says that it cannot serve now."""


@contextmanager
def telling() -> Iterator[None]:
    """
    Turn the store's troubles into refusals.

    Raises:
        StoreAway: no definite answer; repeat with the same press id.
        Overloaded: the store is full and the press would have added to it; nothing was done.
    """
    try:
        yield
    except Full as trouble:
        raise Overloaded("too many presses are under way; nothing was done") from trouble
    except (LostConnection, TooSlow, OSError) as trouble:
        raise StoreAway("the store does not answer; repeat with the same key") from trouble
    except ResponseError as trouble:
        word = str(trouble).partition(" ")[0]
        if word == "OOM" or "OOM command not allowed" in str(trouble):
            raise Overloaded("the store is full; nothing was done") from trouble
        if word in AWAY:
            raise StoreAway("the store cannot serve now; repeat with the same key") from trouble
        raise


class TicketStore:
    """
    One installation's centres in Redis.

    Args:
        channel: carries presses and what staff read.
        client: the ordinary client, for loading the library.
    """

    def __init__(self, channel: Channel, client: Redis) -> None:
        self._channel = channel
        self._client = client

    async def prepare(self) -> str:
        """Load the Function library and return its version."""
        with telling():
            return await library.load(self._client)

    # -- presses -------------------------------------------------------------------------------------------------------

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
        packed = packed_press(centre, command, press, version)
        started = time.perf_counter()
        with telling():
            data = await self._fcall(packed)
        metrics.STORE_SECONDS.observe(time.perf_counter() - started)
        reply: Reply = unpack(data)
        if "refused" in reply:
            raise from_code(reply["refused"], reply["detail"])
        return reply

    async def is_answered(self, centre: str, press_id: str) -> bool:
        """Whether *press_id* was carried out on this business day or the one before: a repeat gets that answer."""
        keys = centre_keys(centre)
        return any(
            await self._read_together([("HEXISTS", keys.answers, press_id), ("HEXISTS", keys.answers_before, press_id)])
        )

    async def _fcall(self, packed: bytes) -> bytes:
        try:
            return cast(bytes, await self._channel.call_packed(packed))
        except ResponseError as error:
            if not library.is_missing(error):
                raise
            await library.load(self._client)
            return cast(bytes, await self._channel.call_packed(packed))

    # -- centres -------------------------------------------------------------------------------------------------------

    async def put_centre(self, centre: Centre, command: Configure, press: Press) -> Reply:
        """Put the file *centre* in force: for every process of the installation, and for the functions."""
        reply = await self.carry_out(centre.id, command, press)
        await self._read("SADD", CENTRES_KEY, centre.id)
        return reply

    async def read_assignments(self, centre: str) -> tuple[Assignments, str]:
        """What counters serve only today, and the business day; both empty for a centre that is not in force yet."""
        text, day = await self._read("HMGET", centre_keys(centre).day, "assigned", "day")
        return read_assignments((text or b"").decode()), (day or b"").decode()

    async def centre_ids(self) -> list[str]:
        """Ids of all centres of the installation, sorted."""
        return sorted(id.decode() for id in await self._read("SMEMBERS", CENTRES_KEY))

    async def read_centre(self, centre: str) -> Centre:
        """
        The centre's configuration in force: its file with the day's assignments.

        Raises:
            UnknownCentre: no such centre.
        """
        file, assignments, _ = await self.read_file(centre)
        return assigned(file, assignments)

    async def read_file(self, centre: str) -> tuple[Centre, Assignments, str]:
        """
        The centre's file, what counters serve only today, and the business day.

        Raises:
            UnknownCentre: no such centre.
        """
        data, (assignments, day) = await asyncio.gather(
            self._read("HGET", centre_keys(centre).centre, "file"), self.read_assignments(centre)
        )
        if data is None:
            raise UnknownCentre(f"there is no centre {centre} here")
        return build(msgspec.json.decode(data)), assignments, day

    # -- the store itself ----------------------------------------------------------------------------------------------

    async def take_lease(self, work: str, name: str, seconds: int) -> bool:
        """
        Whether *name* does for the next *seconds* the *work* that one process of the installation does.

        A lease that is lost to a jump of the clock costs nothing: such work may be done twice.
        """
        key = lease_key(work)
        if await self._read("SET", key, name, "NX", "EX", seconds):
            return True
        if await self._read("GET", key) != name.encode():
            return False
        return bool(await self._read("EXPIRE", key, seconds))

    async def read_health(self) -> tuple[int, int]:
        """Bytes of memory the store uses, and its clock in Unix milliseconds."""
        info, (seconds, micros) = await asyncio.gather(self._read("INFO", "memory"), self._read("TIME"))
        used = next(line for line in info.split() if line.startswith(b"used_memory:"))
        return int(used.partition(b":")[2]), int(seconds) * 1000 + int(micros) // 1000

    async def keep_result(self, centre: str, id: str, result: bytes) -> None:
        """Keep what took long to find for an hour, for every process; losing it costs no more than finding it again."""
        await self._read("SET", f"qs:{{{centre}}}:result:{id}", result, "EX", RESULT_S)

    async def recall_result(self, centre: str, id: str) -> bytes | None:
        """What ``keep_result`` kept, or None."""
        return cast("bytes | None", await self._read("GET", f"qs:{{{centre}}}:result:{id}"))

    # -- devices -------------------------------------------------------------------------------------------------------

    async def note_kiosk(self, centre: str, kiosk: str, now_ms: int) -> None:
        """Remember that the page of *kiosk* is at work."""
        key = centre_keys(centre).kiosks
        await self._read_together([("HSET", key, kiosk, now_ms), ("EXPIRE", key, HEARD_S)])

    async def read_heard(self, centre: str) -> tuple[dict[str, int], dict[str, int]]:
        """When each kiosk and each board was last at work, Unix ms."""
        keys = centre_keys(centre)
        kiosks, boards = await self._read_together([("HGETALL", keys.kiosks), ("HGETALL", keys.screens)])
        return {id: int(ms) for id, ms in _pairs(kiosks)}, {id: int(ms) for id, ms in _pairs(boards)}

    # -- boards --------------------------------------------------------------------------------------------------------

    async def read_boards(self, centre: str) -> tuple[dict[str, bytes], dict[str, int]]:
        """The changed settings of boards, and when each board last had a screen (Unix ms)."""
        keys = centre_keys(centre)
        changed, seen = await self._read_together([("HGETALL", keys.board_settings), ("HGETALL", keys.screens)])
        return dict(_pairs(changed)), {board: int(at_ms) for board, at_ms in _pairs(seen)}

    async def read_screens(self, centre: str) -> list[Mapping[str, Any]]:
        """What each process last said of its screens: ``at_ms`` (Unix), and ``boards``: board -> how it is doing."""
        told = await self._read("HGETALL", centre_keys(centre).screen_states)
        return [unpack(said) for _, said in _pairs(told)]

    async def read_board(self, centre: str, board: str) -> bytes | None:
        """The changed settings of one board, or None."""
        return cast("bytes | None", await self._read("HGET", centre_keys(centre).board_settings, board))

    async def put_board(self, centre: str, board: str, change: bytes | None, word: Mapping[str, Any]) -> None:
        """Keep the changed settings of a board, or none any more, and tell every process, in one step."""
        keys = centre_keys(centre)
        keep = ("HDEL", keys.board_settings, board) if change is None else ("HSET", keys.board_settings, board, change)
        await self._read_together([keep, ("SPUBLISH", keys.aside, pack(word))])

    # -- reading -------------------------------------------------------------------------------------------------------

    async def read_day(self, centre: str) -> Day:
        """The fields of the day."""
        return _text_map(await self._read("HGETALL", centre_keys(centre).day))

    async def read_positions(self, centres: list[str]) -> dict[str, tuple[str, int]]:
        """Epoch and seq of the newest event of each of *centres* that has one."""
        found: dict[str, tuple[str, int]] = {}
        for start in range(0, len(centres), POSITIONS_AT_ONCE):
            some = centres[start : start + POSITIONS_AT_ONCE]
            days = await self._read_together([("HMGET", centre_keys(id).day, "epoch", "seq") for id in some])
            found |= {id: (epoch.decode(), int(seq)) for id, (epoch, seq) in zip(some, days, strict=True) if epoch}
        return found

    async def read_ticket(self, centre: str, ticket: str) -> Ticket:
        """
        One ticket as it is now.

        Raises:
            UnknownTicket: no such ticket at this centre, or forgotten since.
        """
        data = await self._read("HGET", centre_keys(centre).tickets, ticket)
        if data is None:
            raise UnknownTicket(f"there is no ticket {ticket} at this centre")
        return read_ticket(read_record(data))

    async def read_tickets(self, centre: str, ids: list[str]) -> list[Ticket]:
        """The tickets with *ids*; those that are gone are left out."""
        if not ids:
            return []
        stored = await self._read("HMGET", centre_keys(centre).tickets, *ids)
        return [read_ticket(read_record(data)) for data in stored if data is not None]

    async def count_ahead(self, centre: Centre, ticket: Ticket) -> int:
        """People of the same line who are due before *ticket*; the formula of lua/23_lines.lua, ahead_of."""
        key = centre_keys(centre.id).waiting
        promise_ms = {cls.id: cls.promise_s * 1000 for cls in centre.policy.classes}
        due = ticket.virtual_ms + promise_ms[cast(TicketClass, ticket.cls)]
        bounds = [(f"{ticket.service}/{cls}", max(due - promise, 0)) for cls, promise in promise_ms.items()]
        counts = await self._read_together(
            [("ZLEXCOUNT", key, f"[{line}/", f"({line}/{until:013d}/{ticket.order}") for line, until in bounds]
        )
        return sum(counts)

    async def read_all(self, centre: str) -> tuple[Day, Records, Records, list[str]]:
        """
        Everything of one centre in one step.

        Returns:
            The day, counters by id, ticket records by id, and the members of the waiting set in calling order.
        """
        keys = centre_keys(centre)
        day, counters, tickets, waiting = await self._read_together(
            [
                ("HGETALL", keys.day),
                ("HGETALL", keys.counters),
                ("HGETALL", keys.tickets),
                ("ZRANGE", keys.waiting, 0, -1),
            ]
        )
        return _text_map(day), _record_map(counters), _record_map(tickets), [member.decode() for member in waiting]

    async def read_counters(self, centre: str) -> tuple[Day, Records]:
        """The day and the counters that were ever opened, by id, in one step."""
        keys = centre_keys(centre)
        day, counters = await self._read_together([("HGETALL", keys.day), ("HGETALL", keys.counters)])
        return _text_map(day), _record_map(counters)

    async def read_desk(self, centre: Centre, counter: str) -> tuple[Day, dict[str, Any], list[Head]]:
        """
        What the officer at *counter* looks at, read in one step.

        Returns:
            The day, the counter's record (empty before it was ever opened), and per line and class: service, class,
            number waiting, first member of the waiting set or None.
        """
        keys = centre_keys(centre.id)
        lines = [(line.service, cls.id) for line in centre.counter(counter).serves for cls in centre.policy.classes]
        reads: list[tuple[Any, ...]] = [("HGETALL", keys.day), ("HGET", keys.counters, counter)]
        for service, cls in lines:
            low, high = f"[{service}/{cls}/", f"({service}/{cls}0"
            reads.append(("ZLEXCOUNT", keys.waiting, low, high))
            reads.append(("ZRANGEBYLEX", keys.waiting, low, high, "LIMIT", 0, 1))
        day, record, *rest = await self._read_together(reads)
        heads: list[Head] = [
            (service, cls, count, members[0].decode() if members else None)
            for (service, cls), count, members in zip(lines, rest[0::2], rest[1::2], strict=True)
        ]
        return _text_map(day), read_record(record) if record else {}, heads

    async def read_messages(self, centre: str, counter: str | None) -> tuple[list[dict[str, Any]], Records]:
        """What *counter* (None: the control room) has not read yet, oldest first, and the calls for help by counter."""
        inbox = "supervisors" if counter is None else f"counter:{counter}"
        messages, calls = await self._read("HMGET", centre_keys(centre).messages, inbox, "help")
        return (unpack(messages) if messages else []), (unpack(calls) if calls else {})

    async def read_events(self, centre: str, after: int, limit: int) -> list[Event]:
        """Up to *limit* events with a seq greater than *after*, in order."""
        entries = await self._read("XRANGE", centre_keys(centre).events, f"({after}-0", "+", "COUNT", limit)
        return [read_event(fields[1]) for _, fields in entries]

    async def _read(self, *command: Any) -> Any:
        with telling():
            return await self._channel.call(*command)

    async def _read_together(self, commands: list[tuple[Any, ...]]) -> list[Any]:
        with telling():
            return await self._channel.transaction(commands)


def lease_key(work: str) -> str:
    """Who of an installation's processes does *work*."""
    return f"qs:{{{work}}}:lease"


_STAMPS: Final = map(f"{secrets.token_hex(8)}-{{:x}}".format, itertools.count())
"""One for each attempt to press, of all processes: by it the functions know what they remember (lua/20_hall.lua)."""


def packed_press(centre: str, command: Command, press: Press, version: str) -> bytes:
    """The Function call of one press, as it travels: all but wish and envelope is the same for a centre and command."""
    wish = pack_command(command)
    envelope = pack(
        {
            "press_id": press.press_id,
            "actor": press.actor,
            "now_ms": press.now_ms,
            "over": press.over,
            "new_ticket": press.new_ticket,
            "wait": press.wait,
            "after": press.after,
            "fingerprint": fingerprint(command.function, wish),
            "version": version,
            "stamp": next(_STAMPS),
        }
    )
    head = _call_head(centre, command.function)
    return b"%b$%d\r\n%b\r\n$%d\r\n%b\r\n" % (head, len(wish), wish, len(envelope), envelope)


@lru_cache(maxsize=16384)
def _call_head(centre: str, function: str) -> bytes:
    """A call of *function* up to its arguments."""
    keys = centre_keys(centre).as_list()
    words = [word.encode() for word in ("FCALL", function, str(len(keys)), *keys)]
    return b"*%d\r\n" % (len(words) + 2) + b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in words)


def _pairs(flat: list[bytes]) -> Iterator[tuple[str, bytes]]:
    return ((flat[i].decode(), flat[i + 1]) for i in range(0, len(flat), 2))


def _text_map(flat: list[bytes]) -> Day:
    return {name: value.decode() for name, value in _pairs(flat)}


def _record_map(flat: list[bytes]) -> Records:
    return {name: read_record(value) for name, value in _pairs(flat)}
