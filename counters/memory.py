"""
What a console or a pad remembers between two starts: the language, the counter of last time, and the press that nobody
has answered yet.

One small file for each service and centre, mode 0600, replaced as a whole; never a password or a token.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

import msgspec

from queue_service.texts import Language


class Held(msgspec.Struct, frozen=True, kw_only=True):
    """The press under the finger: its key was made when the finger came down and is kept until it is answered."""

    key: str
    button: str
    counter: str
    officer: str
    body: dict[str, Any] = {}
    at_ms: int = 0


class Memory(msgspec.Struct, frozen=True, kw_only=True):
    """What is remembered."""

    name: str = ""
    counter: str = ""
    language: Language | None = None
    held: Held | None = None
    taken: int | None = None
    """Of a pad: the number of the last key that was taken."""


def folder(environ: dict[str, str]) -> Path:
    """Where such files lie: the XDG base directory for state."""
    home = environ.get("XDG_STATE_HOME") or str(Path(environ.get("HOME", "/")) / ".local/state")
    return Path(home) / "queue-counters"


class Keep:
    """
    The file of one place of work.

    Args:
        folder: made when something is to be remembered.
        place: what tells places apart, such as the service's address, the centre and the kind of device.
    """

    def __init__(self, folder: Path, *place: str) -> None:
        self._file = folder / f"{hashlib.sha256(' '.join(place).encode()).hexdigest()[:16]}.json"

    def read(self) -> Memory:
        """What was remembered; nothing when the file is not there or not ours."""
        try:
            return msgspec.json.decode(self._file.read_bytes(), type=Memory)
        except (OSError, msgspec.MsgspecError):
            return Memory()

    def change(self, **changed: Any) -> None:
        """Remember *changed* instead; on the disk before this returns, so that a killed console knows it."""
        self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        fresh = self._file.with_suffix(".new")
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(msgspec.json.encode(msgspec.structs.replace(self.read(), **changed)))
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(self._file)
