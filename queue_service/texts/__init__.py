"""
Every sentence that people read, as programs in Python say it; pages read the same two files.

A catalogue is a JSON file of keys and sentences beside this one.  It knows no screen: a key and values in, a sentence
out.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Final, Literal

Language = Literal["vi", "en"]

LANGUAGES: Final[Mapping[Language, str]] = {"vi": "Tiếng Việt", "en": "English"}
"""Id -> what it calls itself."""

_PLACE = re.compile(r"\{(\w+)\}")


@cache
def catalogue(language: Language) -> Mapping[str, str]:
    """Key -> sentence."""
    sentences: dict[str, str] = json.loads((Path(__file__).parent / f"{language}.json").read_text("utf-8"))
    return sentences


def t(language: Language, key: str, **values: str | int) -> str:
    """
    The sentence of *key* with *values* in its places.

    Raises:
        KeyError: no catalogue has such a key, which is a mistake of ours.
    """
    return _PLACE.sub(lambda place: str(values.get(place[1], place[0])), catalogue(language)[key])


def refused(language: Language, code: str) -> str:
    """The sentence for a code of `errors.py`; one of a newer service shows itself."""
    key = f"shared.refused-{code.lower().replace('_', '-')}"
    return t(language, key if key in catalogue(language) else "shared.refused", code=code)


def tn(language: Language, stem: str, n: int, **values: str | int) -> str:
    """The sentence that fits a count: English says "1 person, 2 people", Vietnamese the same twice."""
    form = "one" if language == "en" and n == 1 else "other"
    return t(language, f"{stem}.{form}", n=n, **values)
