"""
What a slip proves: the second secret of a dossier, and hashes of what a person would not have us keep.

One key of the installation makes and checks everything here, so that nothing in the database alone lets anybody look
up a dossier or find a person: twelve structured digits, or a dated code with a number, are quickly enumerated.  It
knows no dossier's state and no storage.
"""

from __future__ import annotations

import hmac
import re
from typing import Final

LETTERS: Final = "34679ACDEFGHJKMNPQRTUWXY"
"""Without look-alikes: no 0 O, 1 I L, 2 Z, 5 S, 8 B, U and V, and nothing that depends on case."""
LENGTH: Final = 8
"""24**8 is 1.1e11; a code that is tried twice a minute falls in a hundred thousand years."""
KEY_BYTES: Final = 32

_SPACED = re.compile(r"[\s-]+")


class Slips:
    """
    Makes and checks secrets.

    Args:
        key: at least 32 bytes that only the installation knows; with another key, printed secrets no longer fit.
    """

    def __init__(self, key: bytes) -> None:
        if len(key) < KEY_BYTES:
            raise ValueError(f"the key of the slips has {len(key)} bytes; {KEY_BYTES} at least")
        self._key = key

    def secret(self, code: str, press_id: str) -> str:
        """
        The secret that the slip of *code* shows; the same press gives the same one again, so nobody has to keep it.
        """
        number = int.from_bytes(self._hash(b"secret", code, press_id))
        letters = []
        for _ in range(LENGTH):
            number, letter = divmod(number, len(LETTERS))
            letters.append(LETTERS[letter])
        return "".join(letters)

    def digest(self, code: str, secret: str) -> bytes:
        """What is kept of the secret of *code*; typed with spaces, hyphens or small letters, it is the same."""
        return self._hash(b"digest", code, _SPACED.sub("", secret).upper())

    def is_right(self, kept: bytes | None, code: str, secret: str) -> bool:
        """Whether *secret* is that of *code*; takes the same time where there is no such dossier (None)."""
        is_same = hmac.compare_digest(kept or bytes(32), self.digest(code, secret))
        return is_same and kept is not None

    def identity_digest(self, identity: str) -> bytes:
        """What is kept of an identity number, to find its owner's dossiers again."""
        return self._hash(b"identity", identity)

    def _hash(self, purpose: bytes, *words: str) -> bytes:
        message = b"\0".join((purpose, *(word.encode("utf-8", "replace") for word in words)))
        return hmac.digest(self._key, message, "sha256")


def payload(public_url: str, code: str, secret: str) -> str:
    """What the QR of the slip holds: a link whose fragment no server, proxy or log ever sees."""
    return f"{public_url}/track#{code}.{secret}"
