"""
A terminal for tests: a program in a pseudo-terminal of its own, the glass it writes on, and fingers.

``Glass`` understands as much of a terminal (ECMA-48) as full-screen programs use: text, cursor, erasing.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import re
import signal
import struct
import sys
import termios
import unicodedata
from collections.abc import Mapping
from pathlib import Path

from service_world import until

DEADLINE_S = 60.0

FINGERS = {
    "enter": "\r",
    "tab": "\t",
    "escape": "\x1b",
    "backspace": "\x7f",
    "up": "\x1b[A",
    "down": "\x1b[B",
    "f2": "\x1bOQ",
    "f4": "\x1bOS",
    "f8": "\x1b[19~",
    "f9": "\x1b[20~",
    "f10": "\x1b[21~",
    "f13": "\x1b[25~",
    "insert": "\x1b[2~",
    "delete": "\x1b[3~",
    "home": "\x1b[H",
    "pagedown": "\x1b[6~",
    "ctrl-c": "\x03",
}
"""Key -> what a terminal of the kind xterm sends for it."""

_SEQUENCE = re.compile(r"\x1b(?:\[([0-9;?>]*)([@-~])|\][^\x07\x1b]*(?:\x07|\x1b\\)|[()#][0-9A-B]|[=>78cDEHM])")
_UNFINISHED = re.compile(r"\x1b(?:\[[0-9;?>]*|\][^\x07\x1b]*|[()#]?)?\Z")


class Glass:
    """What can be read on the terminal."""

    def __init__(self, columns: int, rows: int) -> None:
        self.columns, self.rows = columns, rows
        self.cells = [[" "] * columns for _ in range(rows)]
        self.row = self.column = 0
        self.bells = 0
        self.wiped = 0
        """How often the whole glass was wiped: each time, it flickers."""
        self.colours: set[str] = set()
        """Every colour that was asked for."""
        self._held = ""

    def write(self, text: str) -> None:
        """What the program wrote."""
        text, self._held = self._held + text, ""
        at = 0
        while at < len(text):
            if text[at] == "\x1b":
                found = _SEQUENCE.match(text, at)
                if found is None:
                    if _UNFINISHED.match(text, at):
                        self._held = text[at:]
                        return
                    raise AssertionError(f"the terminal does not know {text[at : at + 12]!r}")
                if found[2]:
                    self._obey(found[1], found[2])
                at = found.end()
                continue
            self._put(text[at])
            at += 1

    def _put(self, letter: str) -> None:
        if letter == "\r":
            self.column = 0
        elif letter == "\n":
            self._feed()
        elif letter == "\b":
            self.column = max(0, self.column - 1)
        elif letter == "\x07":
            self.bells += 1
        elif unicodedata.combining(letter):
            self.cells[self.row][max(0, self.column - 1)] += letter
        elif letter >= " ":
            wide = unicodedata.east_asian_width(letter) in "WF"
            if self.column + wide >= self.columns:  # the last cell may be written; the next letter goes to a new line
                self.column = 0
                self._feed()
            self.cells[self.row][self.column] = letter
            if wide:
                self.cells[self.row][self.column + 1] = ""
            self.column += 1 + wide

    def _feed(self) -> None:
        self.row += 1
        if self.row == self.rows:
            self.row -= 1
            self.cells = [*self.cells[1:], [" "] * self.columns]

    def _obey(self, given: str, command: str) -> None:
        numbers = [int(number) for number in re.findall(r"\d+", given)]
        n = numbers[0] if numbers else 0
        match command:
            case "A":
                self.row = max(0, self.row - (n or 1))
            case "B":
                self.row = min(self.rows - 1, self.row + (n or 1))
            case "C":
                self.column = min(self.columns - 1, self.column + (n or 1))
            case "D":
                self.column = max(0, self.column - (n or 1))
            case "H":
                self.row, self.column = (n or 1) - 1, (numbers[1] if len(numbers) > 1 else 1) - 1
            case "J":
                self.wiped += n == 2
                self._erase(self.row, self.column if n == 0 else 0)
                for row in range(0 if n == 2 else self.row + 1, self.rows):
                    self._erase(row, 0)
            case "K":
                self._erase(self.row, self.column)
            case "m":
                self.colours |= {number for number in re.findall(r"\d+", given) if 30 <= int(number) <= 49}

    def _erase(self, row: int, column: int) -> None:
        self.cells[row][column:] = [" "] * (self.columns - column)

    @property
    def lines(self) -> list[str]:
        return ["".join(row).rstrip() for row in self.cells]

    @property
    def text(self) -> str:
        """Everything, with runs of spaces as one."""
        return re.sub(r"[ ]+", " ", "\n".join(self.lines))


class Terminal:
    """A program at a terminal."""

    def __init__(self, columns: int = 80, rows: int = 24) -> None:
        self.glass = Glass(columns, rows)
        self.process: asyncio.subprocess.Process | None = None

    async def start(self, *words: str, environ: Mapping[str, str] | None = None) -> None:
        """Run ``python`` with *words*."""
        self._ours, theirs = os.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", self.glass.rows, self.glass.columns, 0, 0))
        os.set_blocking(self._ours, False)
        asyncio.get_running_loop().add_reader(self._ours, self._read)
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("QUEUE_", "COUNTERS_"))}
        self.process = await asyncio.create_subprocess_exec(
            sys.executable,
            *words,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
            preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL),  # a run without a terminal may ignore it
            env=kept | {"TERM": "xterm-256color", "PYTHONUTF8": "1", **(environ or {})},
        )
        os.close(theirs)
        self._held = b""

    def _read(self) -> None:
        try:
            self._held += os.read(self._ours, 1 << 16)
        except OSError:  # the program has ended
            asyncio.get_running_loop().remove_reader(self._ours)
            return
        whole = self._held.decode("utf-8", "ignore")
        self._held = self._held[len(whole.encode()) :]
        self.glass.write(whole)

    def press(self, *keys: str) -> None:
        """Fingers: names of FINGERS, or what is typed."""
        for key in keys:
            os.write(self._ours, FINGERS.get(key, key).encode())

    async def shows(self, *texts: str, deadline_s: float = DEADLINE_S) -> None:
        """Every one of *texts* can be read."""

        def is_there() -> bool:
            return all(text in self.glass.text for text in texts)

        try:
            await until(is_there, "", deadline_s)
        except AssertionError:
            missing = [text for text in texts if text not in self.glass.text]
            raise AssertionError(f"not on the glass: {missing}\n" + "\n".join(self.glass.lines)) from None

    async def ends(self) -> int:
        """The program has ended by itself; its exit code."""
        assert self.process is not None
        return await asyncio.wait_for(self.process.wait(), DEADLINE_S)

    async def stop(self, how: signal.Signals = signal.SIGHUP) -> None:
        """The window is closed."""
        if self.process is not None and self.process.returncode is None:
            self.process.send_signal(how)
            await asyncio.wait_for(self.process.wait(), DEADLINE_S)
        asyncio.get_running_loop().remove_reader(self._ours)
        os.close(self._ours)
        self.process = None


def a_home(folder: Path) -> dict[str, str]:
    """An environment whose memories lie in *folder*."""
    return {"XDG_STATE_HOME": str(folder), "PYTHONPATH": str(Path(__file__).parents[1])}
