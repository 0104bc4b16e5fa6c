"""
Passwords: hashing them with argon2id in a bounded pool, and making guesses slow.

It knows no account and no store.  `staff` brings names and hashes.
"""

from __future__ import annotations

import asyncio
import math
import secrets
import time
import unicodedata
from base64 import b64encode
from collections.abc import Awaitable, Callable, Hashable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from queue_service.errors import Malformed, TooMany, WrongPassword

# OWASP's first choice: 60 ms and 19 MiB a try on one core.
_MEMORY_KIB, _TIME_COST, _PARALLELISM = 19_456, 2, 1

T = TypeVar("T")

_CLEAR_LETTERS = "abcdefghjkmnpqrstuvwxyz23456789"


def one_time_password() -> str:
    """Twelve letters and digits that nobody mistakes for others, about 59 bits, in groups to read out."""
    return "-".join("".join(secrets.choice(_CLEAR_LETTERS) for _ in range(4)) for _ in range(3))


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

    def take_back(self, key: Hashable) -> None:
        """Uncount the last wrong try of *key*: there was no verdict."""
        tries, welcome_at = self._tries.get(key, (0, 0.0))
        if tries > 1:
            self._tries[key] = (tries - 1, min(welcome_at, self._monotonic()))
        else:
            self._tries.pop(key, None)

    def right(self, key: Hashable) -> None:
        """Forget the wrong tries of *key*."""
        self._tries.pop(key, None)


class Passwords:
    """
    Makes and checks hashes, two at a time, and keeps guessers waiting.

    Args:
        monotonic: seconds of a clock that never goes back.
    """

    MOST_WAITING: Final = 32
    SHORTEST, LONGEST = 8, 128

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
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

    async def attempt(self, name: str, address: str, prove: Callable[[], Awaitable[T]]) -> T:
        """
        One try to be *name* from *address*.

        Args:
            prove: raises WrongPassword, or gives what the proof is good for.  Any other exception is no verdict and
                changes nothing, so that half a sign-in cannot wipe out wrong ones.

        Raises:
            TooMany: too many wrong tries from there, or too many people at once; nothing was checked.
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
            proven = await prove()
        except WrongPassword:
            self._addresses.wrong(address)
            self._names.wrong(name)
            raise
        except BaseException:
            self._pairs.take_back(pair)
            raise
        finally:
            self._waiting -= 1
        self._pairs.right(pair)
        return proven

    async def hash(self, password: str) -> str:
        """
        What is kept of *password*.

        Raises:
            Malformed: it is too short or too long.
        """
        password = unicodedata.normalize("NFC", password)
        if not self.SHORTEST <= len(password) <= self.LONGEST:
            raise Malformed(f"A password has {self.SHORTEST} to {self.LONGEST} characters.")
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._hasher.hash, password)

    async def matches(self, hashed: str | None, password: str) -> bool:
        """Whether *hashed* was made of *password*; None, where there is no account, costs the same work."""
        password = unicodedata.normalize("NFC", password[: 4 * self.LONGEST])

        def check() -> bool:
            try:
                return self._hasher.verify(hashed or self._nobodys_hash, password)
            except (VerificationError, InvalidHashError):
                return False

        return await asyncio.get_running_loop().run_in_executor(self._threads, check)

    def close(self) -> None:
        """End the threads; no password is checked afterwards."""
        self._threads.shutdown(wait=False, cancel_futures=True)
