"""
Who is signed in, and which kiosk, board or other device holds a token: what the store of the day knows of identities.

Kept in Redis under one hash tag with plain commands, through a client that is handed in; time is handed in, too.
Tokens are kept as SHA-256.  A session carries what its owner may do, so that whoever is signed in goes on working
while the archive with the accounts (`staff.py`) is away; a change of the account ends its sessions.  It knows no HTTP:
`guard` brings it the credential of a request and `contract` asks `require`.

    sessions     HASH  SHA-256 of the token -> _Session     sessions_seen  HASH  the same -> last use, Unix ms
    generations  HASH  account -> how often all its sessions were ended
    names        HASH  account -> what its owner is called, as of the last sign-in or change
    devices      HASH  device id -> _DeviceRecord           devices_seen   HASH  device id -> last use, Unix ms
    secrets      HASH  `places`: the key under which addresses are digested for the audit

Every change is one command, or one MULTI; a record is never read, edited and written back, so two administrators cannot
undo each other and a session that was ended cannot come back.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import re
import secrets
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import Any, Final

import msgspec
from msgspec import Struct
from redis.asyncio import Redis
from redis.exceptions import ClusterError, ConnectionError, OutOfMemoryError, ReadOnlyError, ResponseError, TimeoutError

from queue_service.authority import DEVICE_ROLES, NOBODY, Identity, known_roles
from queue_service.errors import StoreAway

IDLE_LIMIT_MS: Final = 12 * 3_600_000
ABSOLUTE_LIMIT_MS: Final = 24 * 3_600_000
SEEN_EVERY_MS: Final = 60_000
TRUST_S: Final = 2.0
"""How long an answer of the store about a token is believed: revocation bites within this time (promised: 5 s)."""

_DEVICE_TOKEN = re.compile(r"qsd\.([A-Za-z0-9_-]{12})\.[A-Za-z0-9_-]{43}")
_SESSION_TOKEN = re.compile(r"qss\.[A-Za-z0-9_-]{43}")
_STORE_BUSY = ("NOREPLICAS", "MISCONF", "BUSY")  # what redis-py has no class for


class Device(Struct, frozen=True, kw_only=True):
    """A kiosk, board or other machine that holds a token: what it may do, and where."""

    id: str
    label: str
    role: str
    centre: str
    device: str | None
    created_at_ms: int

    def identity(self) -> Identity:
        """The device as it acts."""
        return Identity(
            name=f"device:{self.id}",
            roles=frozenset({self.role}),
            centres=frozenset({self.centre}),
            kind="device",
            device=self.device,
            display_name=self.label,
        )


class _DeviceRecord(Struct, frozen=True):
    device: Device
    token_hash: bytes


class _Session(Struct, frozen=True):
    identity: Identity
    created_at_ms: int
    generation: int


_pack = msgspec.msgpack.Encoder().encode
_device_record = msgspec.msgpack.Decoder(_DeviceRecord).decode
_session = msgspec.msgpack.Decoder(_Session).decode


def store_away(error: BaseException) -> StoreAway | None:
    """The refusal that a fault of the store means for a caller, or None if *error* is none."""
    is_away = isinstance(error, ConnectionError | TimeoutError | ClusterError | ReadOnlyError | OutOfMemoryError) or (
        isinstance(error, ResponseError) and str(error).startswith(_STORE_BUSY)
    )
    return StoreAway("The store does not answer. Unknown: repeat with the same key.") if is_away else None


@contextmanager
def _store_faults() -> Iterator[None]:
    try:
        yield
    except Exception as error:
        if (refusal := store_away(error)) is None:
            raise
        raise refusal from error


def hash_keys(tag: str = "identity") -> tuple[str, ...]:
    """The keys of all that is kept here, each a hash."""
    nouns = ("generations", "names", "sessions", "sessions_seen", "devices", "devices_seen", "secrets")
    return tuple(f"qs:{{{tag}}}:{noun}" for noun in nouns)


class _Hashes:
    """The hashes of one tag, and the two ways to speak of them; a fault of the store becomes StoreAway."""

    def __init__(self, client: Redis, tag: str) -> None:
        self._client = client
        keys = hash_keys(tag)
        self.generations, self.names, self.sessions, self.sessions_seen, self.devices, self.devices_seen = keys[:-1]
        self.secrets = keys[-1]

    async def do(self, *command: str | bytes | int) -> Any:
        """One command."""
        with _store_faults():
            return await self._client.execute_command(*command)  # type: ignore[no-untyped-call] # redis-py's own gap

    async def do_all(self, *commands: tuple[str | bytes, ...]) -> list[Any]:
        """Several commands as one step."""
        with _store_faults():
            async with self._client.pipeline(transaction=True) as step:
                for command in commands:
                    step.execute_command(*command)
                return await step.execute()


class Devices:
    """The tokens of kiosks, boards and integrators."""

    def __init__(self, hashes: _Hashes) -> None:
        self._hashes = hashes
        self._written: dict[str, int] = {}  # device id -> the last use that this process wrote down

    async def create(
        self, *, role: str, centre: str, now_ms: int, device: str | None = None, label: str = "", id: str | None = None
    ) -> tuple[Device, str]:
        """
        A new device and its token, which is shown this once.

        Args:
            device: the kiosk or board of the centre that it is, where the role has one.
            id: 12 characters of its own; who asks twice for one gets a new token, and the first is dead.

        Raises:
            Malformed: no device has such a role.
        """
        known_roles({role}, DEVICE_ROLES)
        made = Device(
            id=id or secrets.token_urlsafe(9),
            label=label or device or role,
            role=role,
            centre=centre,
            device=device,
            created_at_ms=now_ms,
        )
        token = f"qsd.{made.id}.{secrets.token_urlsafe(32)}"
        record = _pack(_DeviceRecord(made, hashlib.sha256(token.encode()).digest()))
        await self._hashes.do("HSET", self._hashes.devices, made.id, record)
        return made, token

    async def list(self, centre: str | None = None) -> list[Device]:
        """All devices, or those of *centre*, oldest first."""
        packed = await self._hashes.do("HVALS", self._hashes.devices)
        devices = (_device_record(one).device for one in packed)
        return sorted(
            (device for device in devices if centre is None or device.centre == centre),
            key=lambda device: (device.created_at_ms, device.id),
        )

    async def get(self, device_id: str) -> Device | None:
        """The device, or None."""
        packed = await self._hashes.do("HGET", self._hashes.devices, device_id)
        return _device_record(packed).device if packed is not None else None

    async def seen(self, device_ids: Collection[str]) -> dict[str, int]:
        """When each of *device_ids* was last used, Unix ms, to the minute; a device that never was is left out."""
        if not device_ids:
            return {}
        seen = await self._hashes.do("HMGET", self._hashes.devices_seen, *device_ids)
        return {id: int(at_ms) for id, at_ms in zip(device_ids, seen, strict=True) if at_ms is not None}

    async def revoke(self, device_id: str) -> bool:
        """Take the token's power away, everywhere within TRUST_S; False if there was no such device."""
        self._written.pop(device_id, None)
        was_there, _ = await self._hashes.do_all(
            ("HDEL", self._hashes.devices, device_id), ("HDEL", self._hashes.devices_seen, device_id)
        )
        return bool(was_there)

    async def resolve(self, token: str, now_ms: int) -> Identity:
        """
        Who holds *token*; NOBODY if no device does.

        Args:
            now_ms: Unix milliseconds; also the moment of last use, written at most once a minute.
        """
        match = _DEVICE_TOKEN.fullmatch(token)
        packed = await self._hashes.do("HGET", self._hashes.devices, match[1]) if match else None
        if packed is None:
            return NOBODY
        record = _device_record(packed)
        if not hmac.compare_digest(record.token_hash, hashlib.sha256(token.encode()).digest()):
            return NOBODY
        id = record.device.id
        if abs(now_ms - self._written.get(id, -SEEN_EVERY_MS)) >= SEEN_EVERY_MS:
            self._written[id] = now_ms
            await self._hashes.do("HSET", self._hashes.devices_seen, id, now_ms)
        return record.device.identity()


class Sessions:
    """Who is signed in, until when."""

    def __init__(self, hashes: _Hashes) -> None:
        self._hashes = hashes

    async def generation(self, name: str) -> int:
        """
        How often all sessions of *name* were ended.

        Read it before the account: what ends sessions between the two also ends the one that is made of them.
        """
        return int(await self._hashes.do("HGET", self._hashes.generations, name) or 0)

    async def create(self, identity: Identity, generation: int, now_ms: int) -> str:
        """A new session; the token is 256 random bits and never the same twice."""
        token = f"qss.{secrets.token_urlsafe(32)}"
        key = _digest(token)
        await self._hashes.do_all(
            ("HSET", self._hashes.sessions, key, _pack(_Session(identity, now_ms, generation))),
            ("HSET", self._hashes.sessions_seen, key, str(now_ms)),
            ("HSET", self._hashes.names, identity.name, identity.display_name or identity.name),
        )
        return token

    async def names(self, accounts: Collection[str]) -> dict[str, str]:
        """What the owners of *accounts* are called; who has not signed in yet is left out."""
        if not accounts:
            return {}
        found = await self._hashes.do("HMGET", self._hashes.names, *accounts)
        return {name: called.decode() for name, called in zip(accounts, found, strict=True) if called is not None}

    async def rename(self, name: str, display_name: str | None) -> None:
        """The owner of the account *name* is called so from now on; None: there is no such account any more."""
        if display_name is None:
            await self._hashes.do("HDEL", self._hashes.names, name)
        else:
            await self._hashes.do("HSET", self._hashes.names, name, display_name)

    async def end_all(self, name: str) -> None:
        """End all sessions of *name*."""
        await self._hashes.do("HINCRBY", self._hashes.generations, name, 1)

    async def end(self, token: str) -> None:
        """Sign out."""
        await self._forget([_digest(token)])

    async def resolve(self, token: str, now_ms: int) -> Identity:
        """
        Who is signed in with *token*; NOBODY after the idle or the absolute limit, or when it was ended.

        Args:
            now_ms: Unix milliseconds; also the moment of last use, written at most once a minute.
        """
        if not _SESSION_TOKEN.fullmatch(token):
            return NOBODY
        key = _digest(token)
        packed = await self._hashes.do("HGET", self._hashes.sessions, key)
        if packed is None:
            return NOBODY
        session = _session(packed)
        seen, generation = await self._hashes.do_all(
            ("HGET", self._hashes.sessions_seen, key),
            ("HGET", self._hashes.generations, session.identity.name),
        )
        seen_ms = int(seen or session.created_at_ms)
        if int(generation or 0) != session.generation:
            return NOBODY
        if _is_over(session.created_at_ms, seen_ms, now_ms):
            await self._forget([key])
            return NOBODY
        if now_ms - seen_ms >= SEEN_EVERY_MS:
            await self._hashes.do("HSET", self._hashes.sessions_seen, key, now_ms)
        return session.identity

    async def sweep(self, now_ms: int) -> int:
        """Delete sessions that are over, a hundred at a time; returns how many."""
        swept = 0
        cursor = 0
        while True:
            cursor, found = await self._hashes.do("HSCAN", self._hashes.sessions, cursor, "COUNT", 100)
            sessions = {key: _session(packed) for key, packed in found.items()}
            if sessions:
                seen = await self._hashes.do("HMGET", self._hashes.sessions_seen, *sessions)
                over = [
                    key
                    for (key, session), seen_at in zip(sessions.items(), seen, strict=True)
                    if _is_over(session.created_at_ms, int(seen_at or session.created_at_ms), now_ms)
                ]
                await self._forget(over)
                swept += len(over)
            if cursor == 0:
                return swept

    async def _forget(self, keys: Collection[bytes | str]) -> None:
        if not keys:
            return
        await self._hashes.do_all(("HDEL", self._hashes.sessions, *keys), ("HDEL", self._hashes.sessions_seen, *keys))


class Identities:
    """
    All of the above behind one question, `authenticate`, whose answers are believed for TRUST_S.

    Args:
        client: gives bytes (no `decode_responses`), does not repeat commands by itself.
        tag: the hash tag of all keys.
        monotonic: seconds of a clock that never goes back.
    """

    def __init__(self, client: Redis, tag: str = "identity", monotonic: Callable[[], float] = time.monotonic) -> None:
        hashes = _Hashes(client, tag)
        self.devices = Devices(hashes)
        self.sessions = Sessions(hashes)
        self._hashes = hashes
        self._monotonic = monotonic
        self._trusted: dict[str, tuple[float, Identity]] = {}  # token -> believed until, who; real tokens only
        self._clean_at = 1024
        self._asking: dict[str, asyncio.Task[Identity]] = {}

    async def key_of_places(self) -> bytes:
        """The installation's key for digests of addresses: made once, and never where the digests are kept."""
        await self._hashes.do("HSETNX", self._hashes.secrets, "places", secrets.token_bytes(32))
        key: bytes = await self._hashes.do("HGET", self._hashes.secrets, "places")
        return key

    async def sign_out(self, token: str) -> None:
        """End the session; this process forgets it at once, others within TRUST_S."""
        self._trusted.pop(token, None)
        await self.sessions.end(token)

    async def authenticate(self, token: str, now_ms: int) -> Identity:
        """Who sends *token*, be it a session's or a device's; NOBODY if we know no such token."""
        trusted = self.trusted(token)
        if trusted is not None:
            return trusted
        asking = self._asking.get(token)
        if asking is None:  # one question to the store, however many requests wait for its answer
            asking = self._asking[token] = asyncio.create_task(self._ask(token, now_ms))
            asking.add_done_callback(lambda _: self._asking.pop(token, None))
        return await asyncio.shield(asking)

    def trusted(self, token: str) -> Identity | None:
        """Who sends *token*, if that was asked within TRUST_S; None means: `authenticate` will ask."""
        trusted = self._trusted.get(token)
        return trusted[1] if trusted is not None and self._monotonic() < trusted[0] else None

    def remembered(self, token: str) -> Identity | None:
        """Who sent *token* lately: good for order of service, not for authority."""
        trusted = self._trusted.get(token)
        return trusted[1] if trusted is not None else None

    async def _ask(self, token: str, now_ms: int) -> Identity:
        asked_at = self._monotonic()
        identity = await (
            self.devices.resolve(token, now_ms) if token.startswith("qsd.") else self.sessions.resolve(token, now_ms)
        )
        if identity is NOBODY:
            self._trusted.pop(token, None)
            return NOBODY
        if len(self._trusted) >= self._clean_at:
            self._trusted = {known: entry for known, entry in self._trusted.items() if entry[0] > asked_at}
            self._clean_at = max(1024, 2 * len(self._trusted))
        self._trusted[token] = (asked_at + TRUST_S, identity)
        return identity


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def _is_over(created_at_ms: int, seen_at_ms: int, now_ms: int) -> bool:
    return now_ms - created_at_ms >= ABSOLUTE_LIMIT_MS or now_ms - seen_at_ms >= IDLE_LIMIT_MS
