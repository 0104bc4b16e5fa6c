"""
Sounds on request: made in a process of their own, kept on the disk, never in the way of the loop.

`Synthesis` starts that process, asks it, kills it when it does not answer and starts another; `Sounds` keeps what it
made, by the digest of what it was made of.  They know no call and no hall: `voice.py` asks for parts.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import os
import secrets
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, NamedTuple, NoReturn

from displays import metrics, sound

Part = Mapping[str, Any]
"""`{text, voice, rate}`, `{clip, digest}` or `{pause}`; what `synthesiser.render` puts together."""

COMMAND: Final = (sys.executable, "-m", "displays.synthesiser")
START_S: Final = 10.0
ANSWER_S: Final = 4.0
"""A phrase takes 30 to 100 ms; a process that is silent for longer is stuck."""
QUEUE_LIMIT: Final = 32
"""Sounds that may be wanted at once."""
REST_S: Final = (0.0, 0.5, 2.0, 10.0, 30.0)
"""After so many failures in a row the process is left alone for so long."""
KEPT_BYTES: Final = 64 * 1024 * 1024
"""About six hours of speech on the disk."""
VERSION: Final = 1
"""Counts up when the same parts would sound different."""
HEAD_BYTES: Final = 44
"""The header of our WAV files."""

log = logging.getLogger(__name__)


class NoSound(Exception):
    """The sound cannot be had; the text says why."""


class Sound(NamedTuple):
    """A finished sound: its file and how long it plays."""

    digest: str
    path: Path
    ms: int


class Synthesis:
    """
    The process that makes sounds.

    Args:
        command: what to start; it speaks the protocol of `synthesiser.py`.
        answer_s: how long one sound may take.
    """

    def __init__(self, command: Sequence[str] = COMMAND, *, answer_s: float = ANSWER_S) -> None:
        self._command = command
        self._answer_s = answer_s
        self._process: asyncio.subprocess.Process | None = None
        self._turn = asyncio.Lock()
        self._wanted = 0
        self._failures = 0
        self._has_run = False
        self._rested_s = 0.0
        self.engine: str | None = None
        """What speaks, once the process has started; None when nothing does."""
        self.why_silent = "its process has not started"

    @property
    def is_mute(self) -> bool:
        """The process runs, and nothing in it speaks: there are recordings only."""
        return self.engine is None and self._process is not None

    async def start(self) -> None:
        """Start the process; should it not start, say so in the log and try again when a sound is wanted."""
        async with self._turn:
            with suppress(NoSound):
                await self._started()

    async def stop(self) -> None:
        """End the process."""
        async with self._turn:
            await self._end()

    async def render(self, parts: Sequence[Part]) -> bytes:
        """
        A WAV file of *parts*.

        Raises:
            NoSound: the process refuses, fails, takes too long, or has too much to do.
        """
        if self._wanted >= QUEUE_LIMIT:
            raise NoSound("too many sounds are wanted at once")
        self._wanted += 1
        try:
            async with self._turn:
                process = await self._started()
                try:
                    async with asyncio.timeout(self._answer_s):
                        content = await _ask(process, parts)
                except NoSound:
                    raise
                except (OSError, EOFError, ValueError, TimeoutError) as error:
                    await self._failed(f"{type(error).__name__} {error}".strip())
                except BaseException:  # somebody has stopped waiting: its answer would be taken for the next one's
                    await self._end()
                    raise
                self._failures = 0
                return content
        finally:
            self._wanted -= 1

    async def _started(self) -> asyncio.subprocess.Process:
        if self._process is not None and self._process.returncode is None:
            return self._process
        loop = asyncio.get_running_loop()
        if loop.time() < self._rested_s:
            raise NoSound("the process of the voice failed a moment ago")
        await self._end()
        if self._has_run:
            metrics.VOICE_RESTARTS.inc()
        self._has_run = True
        try:
            pipe, null = asyncio.subprocess.PIPE, asyncio.subprocess.DEVNULL
            self._process = await asyncio.create_subprocess_exec(*self._command, stdin=pipe, stdout=pipe, stderr=null)
            assert self._process.stdout is not None
            async with asyncio.timeout(START_S):
                hello = json.loads(await self._process.stdout.readline())
            self.engine, self.why_silent = hello["engine"], hello["why"]
        except (OSError, ValueError, KeyError, TimeoutError) as error:
            await self._failed(f"it does not start: {error}")
        metrics.VOICE_READY.set(self.engine is not None)
        return self._process

    async def _failed(self, why: str) -> NoReturn:
        """
        The process is of no use any more.

        Raises:
            NoSound: always.
        """
        log.warning("the process of the voice has failed: %s", why)
        self._failures += 1
        rest_s = REST_S[min(self._failures, len(REST_S)) - 1]
        self._rested_s = asyncio.get_running_loop().time() + rest_s
        await self._end()
        raise NoSound(f"the process of the voice has failed: {why}")

    async def _end(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        with suppress(ProcessLookupError):
            if process.returncode is None:
                process.kill()
        await process.communicate()  # reads what is left and closes the pipes


async def _ask(process: asyncio.subprocess.Process, parts: Sequence[Part]) -> bytes:
    """
    One question and its answer.

    Raises:
        NoSound: the process says that it cannot.
        EOFError, OSError, ValueError: it is gone, or talks nonsense.
    """
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(json.dumps(list(parts)).encode() + b"\n")
    await process.stdin.drain()
    line = await process.stdout.readline()
    if not line:
        raise EOFError("it has ended")
    head = json.loads(line)
    if "error" in head:
        raise NoSound(head["error"])
    if not 0 < head["bytes"] <= HEAD_BYTES + sound.RATE * 2 * (sound.LONGEST_MS // 1000 + 1):
        raise ValueError("an answer of impossible length")
    return await process.stdout.readexactly(head["bytes"])


class Sounds:
    """
    Finished sounds in a folder, the least used of which go when there are too many.

    Args:
        folder: is made when the first sound is kept; several processes may share it.
    """

    def __init__(self, folder: Path, synthesis: Synthesis, *, kept_bytes: int = KEPT_BYTES) -> None:
        self._folder = folder
        self._kept_bytes = kept_bytes
        self._making: dict[str, asyncio.Task[Sound]] = {}
        self.synthesis = synthesis

    def digest(self, parts: Sequence[Part]) -> str:
        """What names the sound of *parts*; recordings are named by what they hold, not by where they lie."""
        essence = [{name: value for name, value in part.items() if name != "clip"} for part in parts]
        return hashlib.sha256(json.dumps([VERSION, essence], sort_keys=True).encode()).hexdigest()[:16]

    def find(self, digest: str) -> Sound | None:
        """The sound, if it is kept; it counts as used."""
        path = self._folder / f"{digest}.wav"
        try:
            os.utime(path)
            return Sound(digest, path, _ms(path.stat().st_size))
        except OSError:
            return None

    async def get(self, parts: Sequence[Part]) -> Sound:
        """
        The sound of *parts*, made now unless it is kept.

        Raises:
            NoSound: it cannot be made or kept.
        """
        digest = self.digest(parts)
        found = self.find(digest)
        if found is not None:
            return found
        making = self._making.get(digest)
        if making is None:
            making = self._making[digest] = asyncio.create_task(self._make(digest, parts), name="displays sound")
            making.add_done_callback(lambda made: self._made(digest, made))
        return await asyncio.shield(making)

    async def stop(self) -> None:
        """End everything that is under way."""
        for making in list(self._making.values()):
            making.cancel()
        await asyncio.gather(*self._making.values(), return_exceptions=True)
        await self.synthesis.stop()

    def _made(self, digest: str, made: asyncio.Task[Sound]) -> None:
        self._making.pop(digest, None)
        if not made.cancelled():
            made.exception()  # told to whoever waits

    async def _make(self, digest: str, parts: Sequence[Part]) -> Sound:
        content = await self.synthesis.render(parts)
        try:
            return await asyncio.to_thread(self._keep, digest, content)
        except OSError as error:
            raise NoSound(f"the sound cannot be kept: {error}") from error

    def _keep(self, digest: str, content: bytes) -> Sound:
        """Write the file whole or not at all, and make room."""
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._folder / f"{digest}.wav"
        new = path.with_suffix(f".{secrets.token_hex(4)}")
        try:
            new.write_bytes(content)
            new.replace(path)
        finally:
            new.unlink(missing_ok=True)
        self._make_room(path)
        return Sound(digest, path, _ms(len(content)))

    def _make_room(self, newest: Path) -> None:
        files = []
        for file in self._folder.iterdir():
            with suppress(OSError):  # another process has just taken it away
                known = file.stat()
                files.append((known.st_mtime_ns, known.st_size, file))
        total = sum(size for _, size, _ in files)
        for _, size, file in sorted(files):
            if total <= self._kept_bytes:
                break
            if file != newest:
                file.unlink(missing_ok=True)
                total -= size
        metrics.VOICE_KEPT_BYTES.set(total)


def _ms(file_bytes: int) -> int:
    return round((file_bytes - HEAD_BYTES) * 1000 / (2 * sound.RATE))
