"""
The second factor: six digits that an authenticator on a phone shows for half a minute (RFC 6238, as all of them do).

Pure: a secret, a moment, a code.  Who has a secret, and which codes were used, is known by `staff`.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import struct
from typing import Final
from urllib.parse import quote, urlencode

STEP_MS: Final = 30_000
DIGITS: Final = 6
SECRET: Final = r"[A-Z2-7]{32}"  # noqa: S105 - the shape of one
"""A secret as people may type it: 160 bits in base 32."""


def new_secret() -> str:
    """A secret that nobody has."""
    return base64.b32encode(secrets.token_bytes(20)).decode()


def code_at(secret: str, step: int) -> str:
    """The code of the *step*-th half minute since 1970."""
    digest = hmac.digest(base64.b32decode(secret), struct.pack(">Q", step), hashlib.sha1)
    (number,) = struct.unpack_from(">I", digest, digest[-1] & 0xF)
    return str((number & 0x7FFF_FFFF) % 10**DIGITS).zfill(DIGITS)


def step_of(secret: str, code: str, now_ms: int, used: int = -1) -> int | None:
    """
    The half minute that *code* is of, if that is this one or a neighbour, because clocks differ; None if of none.

    Args:
        used: the latest step whose code was used; it and those before are worth nothing any more.
    """
    now = now_ms // STEP_MS
    for step in (now, now - 1, now + 1):
        if step > used and step >= 0 and hmac.compare_digest(code_at(secret, step).encode(), code.encode()):
            return step
    return None


def address(secret: str, name: str, issuer: str) -> str:
    """What the picture says that an authenticator scans."""
    label = f"{quote(issuer, safe='')}:{quote(name, safe='')}"
    return f"otpauth://totp/{label}?{urlencode({'secret': secret, 'issuer': issuer}, quote_via=quote)}"
