"""
The Function library: the files of ``lua/`` joined in name order, loaded by replacement, checked before the first press.

Feeds the store.  Knows no command and no key.
"""

from __future__ import annotations

from hashlib import sha256
from importlib.resources import files

from redis.asyncio import Redis
from redis.exceptions import ResponseError

NAME = "queue_core"


def source() -> str:
    """The library's text."""
    parts = sorted(
        (entry for entry in files("queue_service").joinpath("lua").iterdir() if entry.name.endswith(".lua")), key=str
    )
    text = "\n".join(part.read_text(encoding="utf-8") for part in parts)
    return text + f"\n-- {version_of(text)}\n"


def version_of(text: str) -> str:
    """Twelve hexadecimal digits that change with any byte of the library."""
    return sha256(text.encode()).hexdigest()[:12]


async def load(client: Redis) -> str:
    """
    Put this version of the library in force, unless it is already, and return its name and version.

    Raises:
        redis.exceptions.ResponseError: the server does not know Functions (older than 7.0) or refuses the text.
    """
    text = source()
    listed = await client.function_list(library=NAME, withcode=True)
    if not any(text in [bytes(part).decode() for part in entry if isinstance(part, bytes)] for entry in listed):
        await client.function_load(text, replace=True)
    return text.rstrip().rpartition(" ")[2]


def is_missing(error: ResponseError) -> bool:
    """Say whether *error* means that the server has forgotten (or never had) the library."""
    return "Function not found" in str(error)
