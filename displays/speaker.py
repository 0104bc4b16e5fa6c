"""
A loudspeaker without a screen: the hall's amplifier on the sound output of a small computer.

It follows a board like every screen, plays what the voice says through a program of the system, and confirms it.  It
knows the protocol (docs/protocol.md, "feed") and no rule of the hall.
"""

from __future__ import annotations

import asyncio
import logging
import shutil
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import aiohttp

from displays import sound
from displays.announcer import CHIME_MS
from queue_service.follower import Follower, Message

PLAYERS: Final = (("paplay",), ("aplay", "-q"), ("afplay", "/dev/stdin"))
"""Programs that play a WAV file from their standard input, the first that is there."""
FETCH_S: Final = 3.0
GRACE_S: Final = 5.0
"""A player that takes so much longer than the sound is stopped."""

log = logging.getLogger(__name__)

Play = Callable[[Message, bytes], Awaitable[None]]
"""Play a WAV file for a turn, to its end.  Raises OSError when it cannot."""


def find_player() -> tuple[str, ...] | None:
    """The player of this machine, or None when it has none."""
    return next((player for player in PLAYERS if shutil.which(player[0])), None)


def by_program(command: Sequence[str]) -> Play:
    """Play through *command*, which takes the file on its standard input."""

    async def play(turn: Message, content: bytes) -> None:
        pipe, null = asyncio.subprocess.PIPE, asyncio.subprocess.DEVNULL
        process = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=null, stderr=null)
        try:
            async with asyncio.timeout(turn["ms"] / 1000 + GRACE_S):
                await process.communicate(content)
        except TimeoutError:
            process.kill()
            await process.communicate()
            raise OSError(f"{command[0]} does not come to an end") from None
        if process.returncode:
            raise OSError(f"{command[0]} ended with {process.returncode}")

    return play


def into_folder(folder: Path) -> Play:
    """Write every file to *folder* instead of playing it, named by its ring and turn."""

    async def write(turn: Message, content: bytes) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        await asyncio.to_thread((folder / f"{turn['seq']:08}-{turn['turn']}.wav").write_bytes, content)

    return write


class Speaker:
    """
    Plays what the voice of a board says.

    Args:
        service: address of the service, without a slash at the end.
        token: of the board's device.
    """

    def __init__(
        self, session: aiohttp.ClientSession, service: str, centre: str, board: str, token: str, play: Play
    ) -> None:
        self._session, self._token, self._play = session, token, play
        self._board = f"{service}/api/v1/centres/{quote(centre, safe='')}/boards/{quote(board, safe='')}"
        self._follower = Follower(
            session, f"{self._board}/stream", token=lambda: token, screen=f"{board} loudspeaker", speaks=True
        )
        self._chime = sound.chime()
        self._epoch = ""
        self._last = (0, 0)
        self._turns: asyncio.Queue[tuple[Message, asyncio.Task[bytes | None]]] = asyncio.Queue()

    async def run(self) -> None:
        """Follow and play, until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._say())
            async for message in self._follower.messages():
                match message["type"]:
                    case "snapshot" | "resumed":
                        if message["epoch"] != self._epoch:
                            self._epoch, self._last = message["epoch"], (0, 0)
                    case "speak" if (message["seq"], message["turn"]) > self._last:
                        self._last = message["seq"], message["turn"]
                        self._turns.put_nowait((message, group.create_task(self._fetch(message["sound"]))))
                    case "lost":
                        log.warning("link lost%s", ": the token is refused" if message["refused"] else "")

    async def _say(self) -> None:
        """One turn after another."""
        while True:
            turn, fetching = await self._turns.get()
            content = await fetching
            why = "away" if turn["sound"] and content is None else None
            try:
                file = await asyncio.to_thread(self._file, turn, content)
                if file is not None:
                    await self._play(turn, file)
            except (OSError, sound.FaultySound) as error:
                log.warning("a call was not heard: %s", error)
                why = "broken"
            if turn["sound"] and (why or turn["turn"] == 1):
                await self._follower.heard(turn["seq"], why)

    def _file(self, turn: Message, content: bytes | None) -> bytes | None:
        """The whole turn, chime included, as loud as the centre wants it; None when there is nothing to hear."""
        samples = sound.read_wav(content) if content is not None else sound.silence(0)
        if turn["chime"]:
            samples = sound.mixed(self._chime, samples, CHIME_MS) if samples else self._chime
        return sound.wav(sound.scaled(samples, turn["volume"])) if samples else None

    async def _fetch(self, name: str | None) -> bytes | None:
        if name is None:
            return None
        headers: dict[str, Any] = {"Authorization": f"Bearer {self._token}"}
        try:
            async with asyncio.timeout(FETCH_S), self._session.get(f"{self._board}/{name}", headers=headers) as answer:
                return await answer.read() if answer.status == 200 else None
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            log.warning("a sound does not come: %s", error)
            return None
