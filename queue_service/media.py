"""
Pictures and films that boards may show, in the data folder: known by their content, named by their digest.

A file is what its first bytes say, and nothing that a browser could run (no SVG, no HTML).  Workers of one machine
share the folder; workers of several need it on a disk that they share.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import secrets
from collections.abc import AsyncIterable
from pathlib import Path
from typing import Final, Protocol

from queue_service.centre_file import MEDIA, SLUG
from queue_service.errors import TooLarge, UnknownMedia, UnsupportedType

MOST_PICTURE_BYTES: Final = 8 * 1024 * 1024
MOST_FILM_BYTES: Final = 256 * 1024 * 1024
MOST_FILES: Final = 200
"""Of one centre."""
BROUGHT_WITHIN_S: Final = 600.0
CHUNK_BYTES: Final = 1 << 16


class Body(Protocol):
    """The body of a request, as it comes."""

    def iter_chunked(self, n: int) -> AsyncIterable[bytes]:
        """Pieces of at most *n* bytes."""
        ...


def kind_of(head: bytes) -> str | None:
    """The ending of a file that begins with *head*; None when it is neither picture nor film."""
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "png"
    if head.startswith(b"\xff\xd8\xff"):
        return "jpg"
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "webp"
    if head[4:8] == b"ftyp":
        return "mp4"
    if head.startswith(b"\x1aE\xdf\xa3") and b"webm" in head[:64]:
        return "webm"
    return None


class Media:
    """The files of all centres below *folder*."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def files(self, centre: str) -> list[str]:
        """Names of the files of *centre*, the newest first."""
        folder = self._folder / centre
        if not folder.is_dir():
            return []
        known = [file for file in folder.iterdir() if re.search(MEDIA, file.name)]
        return [file.name for file in sorted(known, key=lambda file: file.stat().st_mtime, reverse=True)]

    def path(self, centre: str, name: str) -> Path | None:
        """Where the file is; None when there is no such file."""
        if not (re.search(SLUG, centre) and re.search(MEDIA, name)):
            return None
        file = self._folder / centre / name
        return file if file.is_file() else None

    async def keep(self, centre: str, body: Body) -> str:
        """
        Keep what *body* brings; the name under which boards know it.

        Raises:
            TooLarge: more than a picture or a film may have, or more files than a centre may have.
            UnsupportedType: neither picture nor film.
        """
        if len(self.files(centre)) >= MOST_FILES:
            raise TooLarge(f"A centre has {MOST_FILES} files at most; remove one first.")
        folder = self._folder / centre
        folder.mkdir(parents=True, exist_ok=True)
        draft = folder / f".{secrets.token_hex(8)}"
        digest, size, ending, most = hashlib.sha256(), 0, "", MOST_PICTURE_BYTES
        try:
            async with asyncio.timeout(BROUGHT_WITHIN_S):
                with draft.open("xb") as file:
                    head = b""
                    async for chunk in body.iter_chunked(CHUNK_BYTES):
                        size += len(chunk)
                        head = (head + chunk)[:64] if len(head) < 64 else head
                        if not ending and len(head) >= 12:
                            ending = _known(head)
                            most = MOST_FILM_BYTES if ending in ("mp4", "webm") else MOST_PICTURE_BYTES
                        if size > most:
                            raise TooLarge(f"A file of this kind has at most {most // 1024 // 1024} MB.")
                        digest.update(chunk)
                        await asyncio.to_thread(file.write, chunk)
            name = f"{digest.hexdigest()[:32]}.{ending or _known(head)}"
            draft.replace(folder / name)
        finally:
            draft.unlink(missing_ok=True)
        return name

    async def remove(self, centre: str, name: str) -> None:
        """
        Forget the file for good.

        Raises:
            UnknownMedia: there is no such file.
        """
        try:
            await asyncio.to_thread((self._folder / centre / name).unlink)
        except FileNotFoundError:
            raise UnknownMedia(f"There is no file {name} here.") from None


def _known(head: bytes) -> str:
    if (ending := kind_of(head)) is None:
        raise UnsupportedType("Bring a PNG, JPEG or WebP picture, or an MP4 or WebM film.")
    return ending
