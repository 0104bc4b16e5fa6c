"""
Who is asking: staff accounts, their sessions, and the tokens of kiosks, boards and other devices.

Kept in Redis under one hash tag with plain commands, through a client that is handed in; time is handed in, too.
Secrets are never stored: passwords as argon2id, tokens as SHA-256.  It knows no HTTP: `guard` brings it the credential
of a request and `contract` asks `require`.

    accounts     HASH  name -> Account (msgpack)            passwords    HASH  name -> argon2id
    generations  HASH  name -> how often all sessions of the account were ended
    sessions     HASH  SHA-256 of the token -> _Session     sessions_seen  HASH  the same -> last use, Unix ms
    devices      HASH  device id -> _DeviceRecord

Every change is one command, or one MULTI; a record is never read, edited and written back, so two administrators cannot
undo each other and a session that was ended cannot come back.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import math
import re
import secrets
import time
import unicodedata
from base64 import b64encode
from collections.abc import Callable, Collection, Hashable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, Final, Literal

import msgspec
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from msgspec import Struct
from redis.asyncio import Redis
from redis.exceptions import ClusterError, ConnectionError, OutOfMemoryError, ReadOnlyError, ResponseError, TimeoutError

from queue_service.errors import (
    Conflict,
    Malformed,
    NotAllowed,
    NotFound,
    SignInRequired,
    StoreAway,
    TooMany,
    WrongPassword,
)

Role = Literal["kiosk", "board", "officer", "desk", "supervisor", "admin", "integrator"]

ROLES: Final[frozenset[str]] = frozenset({"kiosk", "board", "officer", "desk", "supervisor", "admin", "integrator"})
DEVICE_ROLES: Final[frozenset[str]] = frozenset({"kiosk", "board", "integrator"})
EVERYWHERE: Final = "*"
"""Stands among the centres of an identity that may act in every centre of the installation."""

IDLE_LIMIT_MS: Final = 12 * 3_600_000
ABSOLUTE_LIMIT_MS: Final = 24 * 3_600_000
SEEN_EVERY_MS: Final = 60_000
TRUST_S: Final = 2.0
"""How long an answer of the store about a token is believed: revocation bites within this time (promised: 5 s)."""

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_DEVICE_TOKEN = re.compile(r"qsd\.([A-Za-z0-9_-]{12})\.[A-Za-z0-9_-]{43}")
_SESSION_TOKEN = re.compile(r"qss\.[A-Za-z0-9_-]{43}")
_STORE_BUSY = ("NOREPLICAS", "MISCONF", "BUSY")  # what redis-py has no class for

# OWASP's first choice: 60 ms and 19 MiB a try on one core.
_MEMORY_KIB, _TIME_COST, _PARALLELISM = 19_456, 2, 1


class Identity(Struct, frozen=True, kw_only=True):
    """
    Whoever makes a request, as far as rules are concerned.

    Args:
        name: the account, or `device:<id>`; the actor that press ids are scoped by.
        centres: slugs, or EVERYWHERE.
        device: what a device token is for: the kiosk, board or desk of the centre.
    """

    name: str
    roles: frozenset[str] = frozenset()
    centres: frozenset[str] = frozenset()
    kind: Literal["staff", "device", "nobody"] = "nobody"
    device: str | None = None
    display_name: str = ""


NOBODY: Final = Identity(name="nobody")


def allow(identity: Identity, roles: Collection[str], centre: str | None = None) -> bool:
    """Whether *identity* has one of *roles*, in *centre* if the question is about one; no roles means everybody."""
    if not roles:
        return True
    if identity.roles.isdisjoint(roles):
        return False
    return centre is None or centre in identity.centres or EVERYWHERE in identity.centres


def require(identity: Identity, roles: Collection[str], centre: str | None = None) -> None:
    """
    Do nothing if `allow` says yes.

    Raises:
        SignInRequired: nobody is signed in.
        NotAllowed: the role or the centre does not cover this; whether the centre exists is not said.
    """
    if allow(identity, roles, centre):
        return
    if identity.kind == "nobody":
        raise SignInRequired("Sign in, or send the token of a device.")
    raise NotAllowed("This sign-in or device may not do this here.")


class Account(Struct, frozen=True, kw_only=True):
    """A person of the staff."""

    name: str
    display_name: str
    roles: frozenset[str]
    centres: frozenset[str]
    created_at_ms: int
    is_disabled: bool = False

    def identity(self) -> Identity:
        """The account as it acts."""
        return Identity(
            name=self.name, roles=self.roles, centres=self.centres, kind="staff", display_name=self.display_name
        )


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
    name: str
    created_at_ms: int
    generation: int


_pack = msgspec.msgpack.Encoder().encode
_account = msgspec.msgpack.Decoder(Account).decode
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


class _Hashes:
    """The hashes of one tag, and the two ways to speak of them; a fault of the store becomes StoreAway."""

    def __init__(self, client: Redis, tag: str) -> None:
        self._client = client
        self.accounts, self.passwords, self.generations, self.sessions, self.sessions_seen, self.devices = (
            f"qs:{{{tag}}}:{noun}"
            for noun in ("accounts", "passwords", "generations", "sessions", "sessions_seen", "devices")
        )

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


class Brake:
    """
    Makes each further wrong try wait longer, and forgets after a quiet time: a delay, never a lock-out.

    Args:
        free: wrong tries that cost nothing.
        first_s: the wait after the next one; it doubles up to `most_s`.
    """

    FORGET_S: Final = 900.0
    MOST_KEYS: Final = 20_000

    def __init__(self, free: int, first_s: float, most_s: float, monotonic: Callable[[], float]) -> None:
        self._free, self._first_s, self._most_s, self._monotonic = free, first_s, most_s, monotonic
        self._tries: dict[Hashable, tuple[int, float]] = {}  # key -> wrong tries, when the next is welcome

    def wait_s(self, key: Hashable) -> float:
        """Seconds until a try of *key* is welcome; 0 means now."""
        return max(0.0, self._tries.get(key, (0, 0.0))[1] - self._monotonic())

    def wrong(self, key: Hashable) -> None:
        """Count a wrong try of *key*."""
        now = self._monotonic()
        tries, welcome_at = self._tries.pop(key, (0, now))
        tries = 1 if now - welcome_at > self.FORGET_S else tries + 1
        over = tries - self._free
        wait_s = min(self._most_s, self._first_s * 2.0 ** min(over - 1, 32)) if over > 0 else 0.0
        if len(self._tries) >= self.MOST_KEYS:
            del self._tries[next(iter(self._tries))]  # the one that was quiet longest: `pop` above keeps that order
        self._tries[key] = (tries, now + wait_s)

    def right(self, key: Hashable) -> None:
        """Forget the wrong tries of *key*."""
        self._tries.pop(key, None)


class Accounts:
    """The staff, and their passwords."""

    MOST_WAITING: Final = 32
    SHORTEST, LONGEST = 8, 128

    def __init__(self, hashes: _Hashes, monotonic: Callable[[], float]) -> None:
        self._hashes = hashes
        self._hasher = PasswordHasher(time_cost=_TIME_COST, memory_cost=_MEMORY_KIB, parallelism=_PARALLELISM)
        zeros = (b64encode(bytes(size)).decode().rstrip("=") for size in (16, 32))
        self._nobodys_hash = f"$argon2id$v=19$m={_MEMORY_KIB},t={_TIME_COST},p={_PARALLELISM}${'$'.join(zeros)}"
        # Two threads: a flood of sign-ins costs two tries at a time, never the event loop.
        self._threads = ThreadPoolExecutor(2, thread_name_prefix="argon2")
        self._waiting = 0
        # One person at one place waits up to a minute, a whole address (a hall behind one router) up to five seconds; a
        # name that is tried from many places is only slowed down, so that its owner gets in from elsewhere.
        self._pairs = Brake(free=3, first_s=0.5, most_s=60.0, monotonic=monotonic)
        self._addresses = Brake(free=20, first_s=0.5, most_s=5.0, monotonic=monotonic)
        self._names = Brake(free=10, first_s=0.25, most_s=2.0, monotonic=monotonic)

    async def create(
        self,
        name: str,
        password: str,
        *,
        roles: Collection[str],
        centres: Collection[str],
        now_ms: int,
        display_name: str = "",
    ) -> Account:
        """
        A new account.

        Raises:
            Conflict: the name is taken.
            Malformed: name, password or a role is not of the documented shape.
        """
        if not _NAME.fullmatch(name):
            raise Malformed("An account name is 1 to 64 of a-z, 0-9, dot, hyphen and underscore.")
        account = Account(
            name=name,
            display_name=display_name or name,
            roles=_known_roles(roles, ROLES),
            centres=frozenset(centres),
            created_at_ms=now_ms,
        )
        hashed = await self._hash(password)
        is_new, _ = await self._hashes.do_all(
            ("HSETNX", self._hashes.accounts, name, _pack(account)),
            ("HSETNX", self._hashes.passwords, name, hashed),
        )
        if not is_new:
            raise Conflict(f"The account {name} exists already.")
        return account

    async def get(self, name: str) -> Account | None:
        """The account, or None."""
        packed = await self._hashes.do("HGET", self._hashes.accounts, name)
        return _account(packed) if packed is not None else None

    async def list(self) -> list[Account]:
        """All accounts, by name."""
        packed = await self._hashes.do("HVALS", self._hashes.accounts)
        return sorted((_account(one) for one in packed), key=lambda account: account.name)

    async def replace(self, account: Account) -> None:
        """Write roles, centres, display name and whether it is disabled; takes effect within TRUST_S everywhere."""
        _known_roles(account.roles, ROLES)
        if await self.get(account.name) is None:
            raise NotFound(f"There is no account {account.name}.")
        await self._hashes.do("HSET", self._hashes.accounts, account.name, _pack(account))

    async def set_password(self, name: str, password: str) -> None:
        """Give *name* a new password and end all its sessions."""
        if await self.get(name) is None:
            raise NotFound(f"There is no account {name}.")
        hashed = await self._hash(password)
        await self._hashes.do_all(
            ("HSET", self._hashes.passwords, name, hashed),
            ("HINCRBY", self._hashes.generations, name, "1"),
        )

    async def end_sessions(self, name: str) -> None:
        """End all sessions of *name*."""
        await self._hashes.do("HINCRBY", self._hashes.generations, name, 1)

    async def remove(self, name: str) -> None:
        """Delete the account and end its sessions; its generation stays, so that no session outlives a namesake."""
        await self._hashes.do_all(
            ("HDEL", self._hashes.accounts, name),
            ("HDEL", self._hashes.passwords, name),
            ("HINCRBY", self._hashes.generations, name, "1"),
        )

    async def verify(self, name: str, password: str, address: str) -> Account:
        """
        The account whose name and password these are.

        Unknown name, wrong password and disabled account get the same answer after the same work.

        Args:
            address: where the try comes from; wrong tries make the next one from there wait longer.

        Raises:
            WrongPassword: name or password is wrong.
            TooMany: too many wrong tries from *address*; nothing was checked.
        """
        pair = (name, address)
        wait_s = max(self._pairs.wait_s(pair), self._addresses.wait_s(address))
        if wait_s > 0:
            raise TooMany(f"Too many wrong tries. Wait {math.ceil(wait_s)} s, then try again.", wait_s)
        if self._waiting >= self.MOST_WAITING:
            raise TooMany("Many people sign in at this moment. Try again in a second.", 1.0)
        slow_down_s = self._names.wait_s(name)
        self._pairs.wrong(pair)  # until proven right, so that a volley at once is no way around the delay
        self._waiting += 1
        try:
            if slow_down_s > 0:
                await asyncio.sleep(slow_down_s)
            packed, hashed = await self._hashes.do_all(
                ("HGET", self._hashes.accounts, name), ("HGET", self._hashes.passwords, name)
            )
            is_right = await self._matches(hashed.decode() if hashed is not None else self._nobodys_hash, password)
        except StoreAway:
            self._pairs.right(pair)
            raise
        finally:
            self._waiting -= 1
        account = _account(packed) if packed is not None else None
        if not is_right or account is None or account.is_disabled:
            self._addresses.wrong(address)
            self._names.wrong(name)
            raise WrongPassword("Name or password is wrong.")
        self._pairs.right(pair)
        return account

    def close(self) -> None:
        """End the threads; no password is checked afterwards."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _hash(self, password: str) -> str:
        password = unicodedata.normalize("NFC", password)
        if not self.SHORTEST <= len(password) <= self.LONGEST:
            raise Malformed(f"A password has {self.SHORTEST} to {self.LONGEST} characters.")
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._hasher.hash, password)

    async def _matches(self, hashed: str, password: str) -> bool:
        password = unicodedata.normalize("NFC", password[: 4 * self.LONGEST])

        def check() -> bool:
            try:
                return self._hasher.verify(hashed, password)
            except (VerificationError, InvalidHashError):
                return False

        return await asyncio.get_running_loop().run_in_executor(self._threads, check)


class Devices:
    """The tokens of kiosks, boards and integrators."""

    def __init__(self, hashes: _Hashes) -> None:
        self._hashes = hashes

    async def create(
        self, *, role: str, centre: str, now_ms: int, device: str | None = None, label: str = ""
    ) -> tuple[Device, str]:
        """
        A new device and its token, which is shown this once.

        Args:
            device: the kiosk or board of the centre that it is, where the role has one.

        Raises:
            Malformed: no device has such a role.
        """
        _known_roles({role}, DEVICE_ROLES)
        made = Device(
            id=secrets.token_urlsafe(9),
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

    async def revoke(self, device_id: str) -> bool:
        """Take the token's power away, everywhere within TRUST_S; False if there was no such device."""
        return bool(await self._hashes.do("HDEL", self._hashes.devices, device_id))

    async def resolve(self, token: str) -> Identity:
        """Who holds *token*; NOBODY if no device does."""
        match = _DEVICE_TOKEN.fullmatch(token)
        packed = await self._hashes.do("HGET", self._hashes.devices, match[1]) if match else None
        if packed is None:
            return NOBODY
        record = _device_record(packed)
        is_right = hmac.compare_digest(record.token_hash, hashlib.sha256(token.encode()).digest())
        return record.device.identity() if is_right else NOBODY


class Sessions:
    """Who is signed in, until when."""

    def __init__(self, hashes: _Hashes) -> None:
        self._hashes = hashes

    async def create(self, name: str, now_ms: int) -> str:
        """A new session of *name*; the token is 256 random bits and never the same twice."""
        token = f"qss.{secrets.token_urlsafe(32)}"
        key = _digest(token)
        generation = await self._hashes.do("HGET", self._hashes.generations, name)
        record = _Session(name, now_ms, int(generation or 0))
        await self._hashes.do_all(
            ("HSET", self._hashes.sessions, key, _pack(record)),
            ("HSET", self._hashes.sessions_seen, key, str(now_ms)),
        )
        return token

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
        seen, account_packed, generation = await self._hashes.do_all(
            ("HGET", self._hashes.sessions_seen, key),
            ("HGET", self._hashes.accounts, session.name),
            ("HGET", self._hashes.generations, session.name),
        )
        account = _account(account_packed) if account_packed is not None else None
        seen_ms = int(seen or session.created_at_ms)
        if account is None or account.is_disabled or int(generation or 0) != session.generation:
            return NOBODY
        if _is_over(session.created_at_ms, seen_ms, now_ms):
            await self._forget([key])
            return NOBODY
        if now_ms - seen_ms >= SEEN_EVERY_MS:
            await self._hashes.do("HSET", self._hashes.sessions_seen, key, now_ms)
        return account.identity()

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
        self.accounts = Accounts(hashes, monotonic)
        self.devices = Devices(hashes)
        self.sessions = Sessions(hashes)
        self._monotonic = monotonic
        self._trusted: dict[str, tuple[float, Identity]] = {}  # token -> believed until, who; real tokens only
        self._clean_at = 1024
        self._asking: dict[str, asyncio.Task[Identity]] = {}

    async def sign_in(self, name: str, password: str, address: str, now_ms: int) -> tuple[str, Identity]:
        """
        A new session for the right name and password.

        Raises:
            WrongPassword, TooMany: see `Accounts.verify`.
        """
        account = await self.accounts.verify(name, password, address)
        return await self.sessions.create(account.name, now_ms), account.identity()

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

    def close(self) -> None:
        """End the threads that check passwords."""
        self.accounts.close()

    async def _ask(self, token: str, now_ms: int) -> Identity:
        asked_at = self._monotonic()
        identity = await (
            self.devices.resolve(token) if token.startswith("qsd.") else self.sessions.resolve(token, now_ms)
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


def _known_roles(roles: Collection[str], known: frozenset[str]) -> frozenset[str]:
    if not roles or not known.issuperset(roles):
        raise Malformed(f"Roles are one or more of {', '.join(sorted(known))}.")
    return frozenset(roles)
