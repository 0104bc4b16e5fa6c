"""
Small devices for tests: a pair of wires that ends in pseudo-terminals, and what hangs on it.

``Wires`` is a port whose path stays the same while it is unplugged and comes back; ``APanel`` answers as a panel of the
text protocol does, or corrupts, refuses and falls silent when told to.
"""

from __future__ import annotations

import asyncio
import os
import tty
from collections.abc import Callable
from pathlib import Path

from queue_service.device_frames import Frame, answer, read_question


class Wires:
    """A serial line: the agent opens `path`, devices hear and speak at the other end."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.heard: list[bytes] = []
        """Every line the agent sent."""
        self.devices: list[Callable[[Frame], bytes | None]] = []
        self._held = b""
        self._ends: tuple[int, int] | None = None

    def plug(self) -> None:
        """The converter is there, perhaps again; its path leads to it."""
        ours, theirs = os.openpty()
        tty.setraw(theirs)
        os.set_blocking(ours, False)
        self._ends = ours, theirs
        self.path.unlink(missing_ok=True)
        self.path.symlink_to(os.ttyname(theirs))
        asyncio.get_running_loop().add_reader(ours, self._read)

    def unplug(self) -> None:
        """The converter is gone, and its path with it."""
        if self._ends is not None:
            asyncio.get_running_loop().remove_reader(self._ends[0])
            for end in self._ends:
                os.close(end)
            self._ends = None
            self.path.unlink()

    def say(self, line: bytes) -> None:
        """A device speaks unasked, or the wires pick something up."""
        assert self._ends is not None
        os.write(self._ends[0], line)

    def _read(self) -> None:
        assert self._ends is not None
        try:
            self._held += os.read(self._ends[0], 4096)
        except OSError:  # nobody has the other end open just now
            return
        while b"\n" in self._held:
            line, _, self._held = self._held.partition(b"\n")
            self.heard.append(line + b"\n")
            question = read_question(line + b"\n")
            for device in self.devices:
                if question is not None and (said := device(question)) is not None:
                    self.say(said)


class APanel:
    """A panel with an address; `rows` is what can be read on it."""

    def __init__(self, address: int) -> None:
        self.address = address
        self.rows: list[str] = []
        self.history: list[str] = []
        """Every first row it was told to show."""
        self.blink_s = 0
        self.level = 9
        self.asked = 0
        self.is_silent = False
        self.corrupts = self.refuses = 0
        """So many of the coming answers arrive broken; are refusals."""

    def __call__(self, question: Frame) -> bytes | None:
        if question.address != self.address:
            return None
        self.asked += 1
        if self.is_silent:
            return None
        if self.refuses:
            self.refuses -= 1
            return answer(question._replace(command="N", text="3"))
        match question.command:
            case "D":
                self.blink_s, self.rows = int(question.text[:2]), question.text[2:].split("|")
                self.history.append(self.rows[0])
            case "C":
                self.rows, self.blink_s = [], 0
                self.history.append("")
            case "L":
                self.level = int(question.text)
        said = answer(question._replace(command="A", text=""))
        if self.corrupts:
            self.corrupts -= 1
            return said.replace(b"A*", b"B*")
        return said


class Relay:
    """What stands between an agent or a console and the service: passes everything on until it is cut."""

    def __init__(self, base: str) -> None:
        self._host, _, port = base.removeprefix("http://").rpartition(":")
        self._port = int(port)
        self.base = ""
        self.is_cut = False
        self.loses_answers = False
        """What is asked arrives, and what is answered does not."""
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> str:
        """Listen; the address to use instead of the service's."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.base = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self.base

    def cut(self) -> None:
        """End every connection and let nobody in."""
        self.is_cut = True
        for writer in self._writers:
            writer.transport.abort()

    def mend(self) -> None:
        """Let everybody in again."""
        self.is_cut = self.loses_answers = False

    async def stop(self) -> None:
        self.cut()
        self._server.close()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=5)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.is_cut:
            return writer.transport.abort()
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        there, upstream = await asyncio.open_connection(self._host, self._port)
        self._writers |= {writer, upstream}
        answering = asyncio.create_task(self._pass_on(there, writer))
        try:
            while data := await reader.read(1 << 16):
                upstream.write(data)
        except ConnectionError:
            pass
        finally:
            answering.cancel()
            await asyncio.gather(answering, return_exceptions=True)
            for end in (writer, upstream):
                self._writers.discard(end)
                end.transport.abort()
        return None

    async def _pass_on(self, there: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await there.read(1 << 16):
            if self.loses_answers:
                break
            writer.write(data)
        writer.transport.abort()


class APad:
    """A pad of five keys with two rows of letters; `rows` and `lamp` are what the officer sees."""

    def __init__(self, address: int, number: int = 0x20) -> None:
        self.address = address
        self.rows: list[str] = []
        self.lamp = ""
        self.said: list[str] = []
        """Every second row it was told to show."""
        self.is_silent = False
        self.loses_answers = 0
        """So many of the coming answers to "any key?" are lost on the wires."""
        self._number = number
        self._pressed: list[tuple[int, int]] = []

    def press(self, *keys: int) -> None:
        """Fingers come down."""
        for key in keys:
            self._number = (self._number + 1) % 256
            self._pressed.append((self._number, key))

    @property
    def is_heard(self) -> bool:
        """Whether every key was taken."""
        return not self._pressed

    def __call__(self, question: Frame) -> bytes | None:
        if question.address != self.address or self.is_silent:
            return None
        said = question._replace(command="A", text="")
        match question.command:
            case "P":
                if self._pressed and question.text == f"{self._pressed[0][0]:02X}":
                    del self._pressed[0]
                if self._pressed:
                    number, key = self._pressed[0]
                    said = question._replace(command="K", text=f"{number:02X}{key}")
                if self.loses_answers:
                    self.loses_answers -= 1
                    return None
            case "D":
                self.rows = question.text[2:].split("|")
                self.said.append(self.rows[1])
            case "G":
                self.lamp = question.text
        return answer(said)
