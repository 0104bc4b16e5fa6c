"""
The key of the slips (`slips.py`), where it is kept: in the setting, or in a file that the first start makes.

Whoever loses it must print every slip again, so a backup holds the file; what a setting says stays with the settings.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from queue_service.settings import Settings
from queue_service.slips import KEY_BYTES

FILE: Final = "slip.key"


@dataclass(frozen=True)
class SlipKey:
    """
    Args:
        given: by the setting, in hexadecimal digits; it wins.
        file: else holds it, in the same form, mode 0600.
    """

    given: str | None
    file: Path

    @classmethod
    def of(cls, settings: Settings) -> SlipKey:
        """That of an installation."""
        return cls(settings.slip_key, settings.data_dir / FILE)

    def read(self) -> bytes:
        """The key in force; the file is made where nothing says which it is."""
        if self.given is not None:
            return bytes.fromhex(self.given)
        if not self.file.exists():
            with suppress(FileExistsError), self._written(secrets.token_hex(KEY_BYTES)) as made:
                os.link(made, self.file)  # of workers that start together, one makes it, and nobody reads half of it
        return bytes.fromhex(self.file.read_text("ascii"))

    def kept(self) -> str | None:
        """What a backup holds of it: the file, unless a setting says the key or nothing was ever signed with one."""
        return self.file.read_text("ascii") if self.given is None and self.file.exists() else None

    def put(self, kept: str | None) -> str | None:
        """
        Take over what a backup holds; returns a sentence when printed secrets may not fit the key in force.
        """
        if self.given is not None:
            if kept is None or kept.lower() == self.given.lower():
                return None
            return "QUEUE_SLIP_KEY is another key than the backup's: no printed secret opens its dossier until it is."
        if kept is None:
            return "The backup holds no key of slips: set QUEUE_SLIP_KEY as it was set there."
        with self._written(kept) as made:
            made.replace(self.file)
        return None

    @contextmanager
    def _written(self, key: str) -> Iterator[Path]:
        """A file beside the other one that holds *key*, for as long as nobody has moved it."""
        self.file.parent.mkdir(parents=True, exist_ok=True)
        made = self.file.with_name(f".{FILE}-{secrets.token_hex(4)}")
        try:
            made.touch(0o600)
            made.write_text(key, "ascii")
            yield made
        finally:
            made.unlink(missing_ok=True)
