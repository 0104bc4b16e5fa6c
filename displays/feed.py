"""
The events of the watched centres, read off Redis in order and without gaps: the only room of the displays that speaks
Redis.

Every change rings a bell (a sharded channel of its centre) with the event inside, and stands in the centre's numbered
log.  The bell brings an event within a millisecond and may miss one; the log misses none and is read when the bell
skips a number, whenever a link comes back, and every LOOK_S for all watched centres together.  What costs grows with
events and watched centres, never with screens or quiet centres.

One connection for each Redis node carries all its bells.  It is opened again in one place (`_Bell.run`), and so is
reading (`Feed._follow`); both are counted.
"""

from __future__ import annotations

import asyncio
import logging
import math
import random
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec
from redis.asyncio import Redis, RedisCluster
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError, ResponseError

from displays import metrics
from displays.board import snapshot
from displays.hall import ScreenState, Start
from displays.hub import Sink, Word
from queue_service.clock import Clock
from queue_service.codec import pack, read_event, read_record, unpack
from queue_service.errors import StoreAway, UnknownCentre
from queue_service.events import Event
from queue_service.keys import HEARD_S, CentreKeys, centre_keys

LOOK_S: Final = 2.0
"""
How often the log is asked whether a bell was missed; each time a tenth more or less, so that processes do not fall
into step.
"""
AUDIT_S: Final = 60.0
"""How often a centre's view is compared with the store."""
PAGE_EVENTS: Final = 512
LOOKS_PER_PIPELINE: Final = 500
START_EVENTS: Final = 128
"""
Newest events read with a centre's start, so that screens which come back after our restart need no read of their own.
"""
STATES_S: Final = 3_600
"""How long it is kept what a process said of its screens that says nothing any more."""
"""How long it is remembered that a board had a screen."""
CLAIM_S: Final = 600
BACKOFF_S: Final = (0.05, 2.0)
TIMEOUT_S: Final = 2.0

log = logging.getLogger(__name__)

Client = Redis | RedisCluster


def open_client(url: str, *, cluster: bool = False) -> Client:
    """
    A client for the feed alone: short timeouts, and no repeats behind our back, because this room repeats by itself.
    """
    options: dict[str, Any] = {
        "socket_timeout": TIMEOUT_S,
        "socket_connect_timeout": TIMEOUT_S,
        "retry": Retry(NoBackoff(), 0),
    }
    return RedisCluster.from_url(url, **options) if cluster else Redis.from_url(url, **options)


class _Backoff:
    """
    Waits that grow to a limit, each somewhere between half and the whole, so that processes do not come back
    together.
    """

    def __init__(self) -> None:
        self._next_s = BACKOFF_S[0]

    def reset(self) -> None:
        self._next_s = BACKOFF_S[0]

    async def wait(self) -> None:
        wait_s = self._next_s * random.uniform(0.5, 1)
        self._next_s = min(self._next_s * 2, BACKOFF_S[1])
        await asyncio.sleep(wait_s)


class _Bell:
    """
    One connection that listens to the bells of all watched centres on one Redis node.

    Args:
        make: a new, unconnected connection to the node.
        heard: called with channel and event bytes.
        subscribed: called with a channel once it is heard: what happened before must be read from the log.
    """

    def __init__(
        self,
        make: Callable[[], AbstractConnection],
        heard: Callable[[str, bytes], None],
        subscribed: Callable[[str], None],
    ) -> None:
        self._make = make
        self._heard = heard
        self._subscribed = subscribed
        self._wanted: set[str] = set()
        self._confirmed: set[str] = set()
        self._connection: AbstractConnection | None = None
        self._is_pinged = False
        self._is_closing = False
        self._task = asyncio.create_task(self.run(), name="displays bell")

    async def close(self) -> None:
        """End the connection."""
        self._is_closing = True
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def want(self, channel: str) -> None:
        """Listen to *channel*; `subscribed` is called when it is heard, now or after the next connection."""
        self._wanted.add(channel)
        await self._send("SSUBSCRIBE", channel)

    async def leave(self, channel: str) -> None:
        """Listen to *channel* no longer."""
        self._wanted.discard(channel)
        self._confirmed.discard(channel)
        await self._send("SUNSUBSCRIBE", channel)

    async def check(self) -> None:
        """Cut a connection that has not answered since the last check; ask for channels the node has taken from us."""
        connection = self._connection
        if connection is None:
            return
        if self._is_pinged:
            log.warning("a bell of the displays does not answer and is connected again")
            await connection.disconnect(nowait=True)
            return
        self._is_pinged = True
        await self._send("PING")
        for channel in self._wanted - self._confirmed:
            await self._send("SSUBSCRIBE", channel)

    async def run(self) -> None:
        """Connect, subscribe, hear; and again when the connection breaks."""
        backoff = _Backoff()
        while not self._is_closing:  # the client may swallow a cancellation that meets a reply
            connection = self._make()
            try:
                await connection.connect()  # type: ignore[no-untyped-call]  # redis-py leaves it bare
                commands = [
                    ("SSUBSCRIBE", channel) for channel in self._wanted
                ]  # one each: a Cluster refuses two slots in one
                if commands:
                    await connection.send_packed_command(connection.pack_commands(commands))
                self._connection, self._is_pinged = connection, False
                while True:
                    self._take(await self._next(connection))
                    backoff.reset()
            except (RedisError, OSError) as error:
                metrics.BELL_LOST.inc()
                log.warning("a bell of the displays is lost: %s", error)
            finally:
                self._connection = None
                self._confirmed.clear()
                await connection.disconnect(nowait=True)
            await backoff.wait()

    async def _next(self, connection: AbstractConnection) -> Any:
        """
        The next thing the node says.

        A refusal is said in the log and passed over: without its bell a centre is read every LOOK_S, and asks again
        then.
        """
        try:
            return await connection.read_response(timeout=math.inf, push_request=True)
        except ResponseError as error:
            log.warning("a bell of the displays was refused: %s", error)
            return None

    def _take(self, message: Any) -> None:
        self._is_pinged = False
        if not isinstance(message, list) or len(message) != 3:
            return
        kind, channel = bytes(message[0]), bytes(message[1]).decode()
        if kind == b"smessage":
            self._heard(channel, message[2])
        elif kind == b"ssubscribe":
            self._confirmed.add(channel)
            self._subscribed(channel)
        elif kind == b"sunsubscribe":  # ours, or the slot has moved to another node
            self._confirmed.discard(channel)

    async def _send(self, *command: str) -> None:
        if self._connection is not None:
            try:
                await self._connection.send_command(*command)
            except (RedisError, OSError) as error:  # `run` sees it too and connects again
                log.info("a bell of the displays could not be told %s: %s", command[0], error)


@dataclass(eq=False, slots=True)
class _Track:
    """How far one watched centre has been delivered."""

    centre: str
    keys: CentreKeys
    epoch: str
    seq: int
    bell: _Bell
    audit_at_s: float


class Feed:
    """Follows the watched centres and delivers their events to a sink, each once and in order."""

    def __init__(self, client: Client, clock: Clock) -> None:
        self._client = client
        self._clock = clock
        self._tracks: dict[str, _Track] = {}
        self._by_channel: dict[str, _Track] = {}
        self._bells: dict[str, _Bell] = {}
        self._suspects: dict[_Track, None] = {}
        self._suspects_signal = asyncio.Event()
        self._follower: asyncio.Task[None] | None = None
        self._leaving: set[asyncio.Task[None]] = set()
        self._swept: set[str] = set()
        self._stale_since_ms: int | None = None
        self._is_stopping = False

    # ── what the hub calls ───────────────────────────────────────────────────────────────────────────────────────────

    async def start(self, sink: Sink) -> None:
        """Begin to deliver to *sink*."""
        self._sink = sink
        self._follower = asyncio.create_task(self._follow(), name="displays feed")

    async def stop(self) -> None:
        """End all tasks and connections."""
        self._is_stopping = True
        if self._follower is not None:
            self._follower.cancel()
            await asyncio.gather(self._follower, *self._leaving, return_exceptions=True)
        await asyncio.gather(*(bell.close() for bell in self._bells.values()))
        await self._client.aclose()

    @property
    def stale_since_ms(self) -> int | None:
        """Since when the store cannot be read; None while it can, or while nobody watches."""
        return self._stale_since_ms

    async def watch(self, centre: str) -> None:
        """
        Follow *centre*: listen to its bell first, then read its start, then whatever the bell has brought or missed
        since.

        Raises:
            StoreAway: Redis does not answer.
            UnknownCentre: Redis knows no such centre.
        """
        keys = centre_keys(centre)
        try:
            bell = await self._bell_of(keys)
            await bell.want(keys.bell)
            await bell.want(keys.aside)
            start = await self._read_start(keys, START_EVENTS)
        except (RedisError, OSError) as error:
            raise StoreAway("the events of this centre cannot be read now; try again", retry_after_s=2) from error
        if start is None:
            await self._leave(bell, keys)
            raise UnknownCentre(f"there is no centre {centre} here")
        track = _Track(centre, keys, start.epoch, start.seq, bell, self._now_s() + random.uniform(0.5, 1) * AUDIT_S)
        self._tracks[centre] = self._by_channel[keys.bell] = self._by_channel[keys.aside] = track
        metrics.FEED_CENTRES.set(len(self._tracks))
        self._sink.reset(centre, start)
        self._suspect(track)

    def unwatch(self, centre: str) -> None:
        """Follow *centre* no longer."""
        track = self._tracks.pop(centre, None)
        if track is None:
            return
        del self._by_channel[track.keys.bell], self._by_channel[track.keys.aside]
        self._suspects.pop(track, None)
        metrics.FEED_CENTRES.set(len(self._tracks))
        leaving = asyncio.create_task(self._leave(track.bell, track.keys))
        self._leaving.add(leaving)
        leaving.add_done_callback(self._leaving.discard)

    async def read(self, centre: str, after: int, limit: int) -> list[bytes]:
        """
        The first *limit* events after *after* that the log still has.

        Raises:
            StoreAway: Redis does not answer.
        """
        try:
            return await self._read_log(centre_keys(centre), after, limit)
        except (RedisError, OSError) as error:
            raise StoreAway("the events of this centre cannot be read now; try again", retry_after_s=2) from error

    # ── what processes tell each other ───────────────────────────────────────────────────────────────────────────────

    async def tell(self, centre: str, word: Word) -> None:
        """
        Say *word* to every process that follows *centre*, this one included.

        Raises:
            StoreAway: Redis does not answer.
        """
        await self._do(("SPUBLISH", centre_keys(centre).aside, pack(word)))

    async def note_screens(self, centre: str, process: str, boards: Mapping[str, ScreenState]) -> None:
        """
        Remember which of *boards* have screens now, for as long as a working day, and how these are doing on *process*.

        Raises:
            StoreAway: Redis does not answer.
        """
        keys, now_ms = centre_keys(centre), self._clock.now_ms()
        seen = [word for board, state in boards.items() if state.screens for word in (board, now_ms)]
        own = pack({"at_ms": now_ms, "boards": msgspec.to_builtins(boards)})
        await self._do(
            *([("HSET", keys.screens, *seen), ("EXPIRE", keys.screens, HEARD_S)] if seen else ()),
            ("HSET", keys.screen_states, process, own),
            ("EXPIRE", keys.screen_states, HEARD_S),
        )
        if centre not in self._swept:
            self._swept.add(centre)
            await self._forget_processes(keys.screen_states, now_ms)

    async def _forget_processes(self, key: str, now_ms: int) -> None:
        """Leave out what processes said that are gone since; once for each centre: restarts leave little."""
        (told,) = await self._do(("HGETALL", key))
        pairs = told.items() if isinstance(told, dict) else zip(told[::2], told[1::2], strict=True)
        old = [name for name, said in pairs if now_ms - unpack(said)["at_ms"] > STATES_S * 1000]
        if old:
            await self._do(("HDEL", key, *old))

    async def claim(self, centre: str, seq: int) -> bool:
        """
        Whether this process is the one that counts who did not confirm the call numbered *seq*.

        Raises:
            StoreAway: Redis does not answer.
        """
        (is_ours,) = await self._do(("SET", centre_keys(centre).missing(seq), 1, "NX", "EX", CLAIM_S))
        return bool(is_ours)

    async def _do(self, *commands: tuple[Any, ...]) -> list[Any]:
        try:
            pipeline: Any = self._client.pipeline(transaction=False)
            for command in commands:
                pipeline.execute_command(*command)
            return list(await pipeline.execute())
        except (RedisError, OSError) as error:
            raise StoreAway("the store does not answer; try again", retry_after_s=2) from error

    @staticmethod
    async def _leave(bell: _Bell, keys: CentreKeys) -> None:
        await bell.leave(keys.bell)
        await bell.leave(keys.aside)

    # ── the bell ─────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _bell_of(self, keys: CentreKeys) -> _Bell:
        """The bell of the node that holds *keys*: on a Cluster that of its slot, else the only one."""
        client = self._client
        if isinstance(client, RedisCluster):
            _ = await client.initialize()
            node = client.get_node_from_key(keys.bell)
            assert node is not None  # only a replica may be missing
            name, make = str(node.name), lambda: node.connection_class(**node.connection_kwargs)
        else:
            name, make = "", client.connection_pool.make_connection
        if name not in self._bells:
            self._bells[name] = _Bell(make, self._hear, self._subscribed)
        return self._bells[name]

    def _hear(self, channel: str, raw: bytes) -> None:
        track = self._by_channel.get(channel)
        if track is None:
            return
        if channel == track.keys.aside:
            self._sink.hear(track.centre, unpack(raw))
            return
        event = read_event(raw)
        if event["epoch"] != track.epoch or event["seq"] > track.seq + 1:
            self._suspect(track)
        elif event["seq"] == track.seq + 1:
            metrics.FROM_BELL.inc()
            self._deliver(track, raw, event)

    def _subscribed(self, channel: str) -> None:
        track = self._by_channel.get(channel)
        if track is None:
            return
        self._suspect(track)
        if channel == track.keys.aside:
            self._sink.hear(track.centre, {"kind": "unheard"})

    # ── the log ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def _suspect(self, track: _Track) -> None:
        """An event of *track* may have been missed: look soon."""
        self._suspects[track] = None
        self._suspects_signal.set()

    def _deliver(self, track: _Track, raw: bytes, event: Event) -> None:
        track.seq = event["seq"]
        self._sink.publish(track.centre, raw, event)

    async def _follow(self) -> None:
        """
        Look at suspected centres at once and at all of them every LOOK_S; on an error, count it, wait and look at all
        again.
        """
        backoff = _Backoff()
        while not self._is_stopping:  # the client may swallow a cancellation that meets a reply
            try:
                async with asyncio.timeout(LOOK_S * random.uniform(0.9, 1.1)):
                    await self._suspects_signal.wait()
            except TimeoutError:
                tracks = list(self._tracks.values())
                is_round = True
            else:
                tracks = list(self._suspects)
                is_round = False
            self._suspects_signal.clear()
            self._suspects.clear()
            try:
                if is_round:
                    await self._place(tracks)
                await self._look(tracks)
                if is_round:
                    await self._audit(tracks)
            except (RedisError, OSError) as error:
                metrics.READ_LOST.inc()
                if self._stale_since_ms is None:
                    self._stale_since_ms = self._clock.now_ms()
                    metrics.FEED_STALE.set(1)
                    log.warning("the events of %d centres cannot be read: %s", len(self._tracks), error)
                self._suspects.update(dict.fromkeys(self._tracks.values()))
                self._suspects_signal.set()
                await backoff.wait()
            else:
                backoff.reset()
                if self._stale_since_ms is not None:
                    self._stale_since_ms = None
                    metrics.FEED_STALE.set(0)
                    log.info("the events of %d centres can be read again", len(self._tracks))

    async def _place(self, tracks: Iterable[_Track]) -> None:
        """Are all bells alive, and is every centre heard where its slot is now?"""
        for bell in self._bells.values():
            await bell.check()
        for track in tracks:
            bell = await self._bell_of(track.keys)
            if bell is not track.bell:
                await self._leave(track.bell, track.keys)
                track.bell = bell
                await bell.want(track.keys.bell)
                await bell.want(track.keys.aside)

    async def _look(self, tracks: list[_Track]) -> None:
        """Compare how far each centre is with how far it was delivered, in one round trip, and read what is missing."""
        for at in range(0, len(tracks), LOOKS_PER_PIPELINE):
            some = tracks[at : at + LOOKS_PER_PIPELINE]
            delivered = [track.seq for track in some]  # the bell may bring more before the answer is here
            pipeline: Any = self._client.pipeline(transaction=False)
            for track in some:
                pipeline.hmget(track.keys.day, ["epoch", "seq"])
            heads = await pipeline.execute()
            for track, seen, (epoch, seq) in zip(some, delivered, heads, strict=True):
                if epoch is None or epoch.decode() != track.epoch or int(seq) < seen:
                    await self._begin_anew(track)
                elif int(seq) > track.seq:
                    await self._fill(track, int(seq))

    async def _fill(self, track: _Track, upto: int) -> None:
        """Deliver what the log has up to *upto*."""
        while track.seq < upto and self._tracks.get(track.centre) is track:
            raws = await self._read_log(track.keys, track.seq, PAGE_EVENTS)
            events = [(raw, event) for raw in raws if (event := read_event(raw))["seq"] > track.seq]
            if raws and not events:  # the bell was faster
                continue
            if not events or events[0][1]["seq"] != track.seq + 1 or events[0][1]["epoch"] != track.epoch:
                await self._begin_anew(track)
                return
            for raw, event in events:
                if event["epoch"] != track.epoch:
                    await self._begin_anew(track)
                    return
                metrics.FROM_LOG.inc()
                self._deliver(track, raw, event)

    async def _begin_anew(self, track: _Track) -> None:
        """Another order of events, or a hole in it: take the store's word for everything."""
        start = await self._read_start(track.keys, START_EVENTS)
        if self._tracks.get(track.centre) is not track:
            return
        if start is None:
            raise ResponseError(f"the store has lost the centre {track.centre}")
        track.epoch, track.seq = start.epoch, start.seq
        metrics.FEED_RESETS.inc()
        log.warning("the events of %s begin anew at %s:%d", track.centre, start.epoch, start.seq)
        self._sink.reset(track.centre, start)
        self._suspect(track)

    async def _audit(self, tracks: list[_Track]) -> None:
        """
        Compare views that are due with the store: a mistake in folding, or a type of event that only a newer service
        knows, mends itself.

        A centre in which something happens at that very moment is compared in the next round.
        """
        for track in tracks:
            if self._now_s() < track.audit_at_s:
                continue
            start = await self._read_start(track.keys, 0)
            if (
                start is not None
                and (start.epoch, start.seq) == (track.epoch, track.seq)
                and self._tracks.get(track.centre) is track
            ):
                track.audit_at_s = self._now_s() + random.uniform(0.9, 1.1) * AUDIT_S
                if not self._sink.agrees(track.centre, start):
                    metrics.FEED_REPAIRS.inc()
                    log.error("the view of %s differs from the store at %s:%d", track.centre, start.epoch, start.seq)
                    await self._begin_anew(track)

    # ── reading ──────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _read_start(self, keys: CentreKeys, events: int) -> Start | None:
        """
        Everything of a centre that boards show, in one step, with its *events* newest events; None when there is no
        such centre.
        """
        pipeline: Any = self._client.pipeline(transaction=True)
        pipeline.hgetall(keys.day)
        pipeline.hgetall(keys.counters)
        if events:
            pipeline.execute_command("XREVRANGE", keys.events, "+", "-", "COUNT", events)
        day, counters, *newest = await pipeline.execute()
        if not day:
            return None
        fields = {name.decode(): value.decode() for name, value in day.items()}
        records = {id_.decode(): read_record(record) for id_, record in counters.items()}
        recent = [entry[b"e"] for _, entry in reversed(newest[0])] if newest else []
        return Start(
            fields["epoch"],
            int(fields["seq"]),
            snapshot(fields, records),
            _dense(recent, fields["epoch"], int(fields["seq"])),
        )

    async def _read_log(self, keys: CentreKeys, after: int, limit: int) -> list[bytes]:
        entries: Any = await self._client.xrange(keys.events, min=f"({after}-0", count=limit)
        return [entry[b"e"] for _, entry in entries]

    @staticmethod
    def _now_s() -> float:
        return asyncio.get_running_loop().time()


def _dense(raws: list[bytes], epoch: str, seq: int) -> list[bytes]:
    """The longest end of *raws* that is numbered without gaps, in *epoch*, up to *seq*."""
    kept: list[bytes] = []
    for raw in reversed(raws):
        event = read_event(raw)
        if event["epoch"] != epoch or event["seq"] != seq - len(kept):
            break
        kept.append(raw)
    return kept[::-1]
