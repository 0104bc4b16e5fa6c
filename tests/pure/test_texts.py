"""The catalogues of texts: every language says everything, with the same placeholders; nothing missing or left over."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterator
from functools import cache
from itertools import chain
from pathlib import Path
from typing import get_args

import pytest

from queue_service.authority import STAFF_ROLES, Action, Said
from queue_service.commands import Command
from queue_service.errors import CODES

ROOT = Path(__file__).parents[2]
TEXTS = ROOT / "queue_service" / "texts"
CATALOGUES = {file.stem: json.loads(file.read_text("utf-8")) for file in TEXTS.glob("*.json")}
VIETNAMESE = CATALOGUES["vi"]
PAGES = {"shared": "queue_service/web/shared", "kiosk": "queue_service/web/kiosk", "board": "displays/web"}
PAGES |= {"console": "counters/web", "phone": "queue_service/web/phone", "start": "queue_service/web/start"}
PAGES |= {"supervisor": "queue_service/web/supervisor", "boards": "queue_service/web/boards"}
PAGES |= {"alarm": "queue_service/http_api", "docs": "queue_service/web/docs", "panel": "displays"}
PAGES |= {"admin": "queue_service/web/admin", "track": "queue_service/web/track"}
PAGES |= {"terminal": "counters", "pad": "counters"}
KEY = re.compile(rf"""["'`]((?:{"|".join(PAGES)})\.(?:[a-z0-9_.-]|\$\{{[^`]*?\}})+)["'`]""")
"""A key in quotes; one put together (`console.class-${ticket.class}`) stands for every key that fits."""
HOLE = re.compile(r"\$\{[^`]*?\}")
PLACEHOLDER = re.compile(r"\{(\w+)\}")
COUNTED = ("one", "other")


def sources() -> dict[str, str]:
    """Path -> text of every source of a page."""
    files = chain.from_iterable((ROOT / folder).rglob("*") for folder in PAGES.values())
    return {
        str(file.relative_to(ROOT)): file.read_text("utf-8")
        for file in files
        if file.suffix in {".svelte", ".ts", ".py"}
    }


def named() -> dict[str, set[str]]:
    """Key, stem of a pair of keys for a count, or key with a hole -> the files that name it."""
    found: dict[str, set[str]] = {}
    for path, text in sources().items():
        for key in KEY.findall(text):
            found.setdefault(key, set()).add(path)
    return found


@cache
def pattern(name: str) -> re.Pattern[str]:
    """The keys that a page may mean by *name*."""
    return re.compile("[a-z0-9_-]+".join(re.escape(part) for part in HOLE.split(name)))


def is_named(key: str, name: str) -> bool:
    """Say whether what a page names is *key*."""
    return any(pattern(name).fullmatch(form) for form in (key, stem(key)))


def placeholders(key: str, text: str) -> set[str]:
    """What a page fills in; the form for one may say the number as a word ("once")."""
    return set(PLACEHOLDER.findall(text)) - ({"n"} if key.endswith(".one") else set())


def stem(key: str) -> str:
    """What a page names: the key without the form of a count."""
    return key.rpartition(".")[0] if key.endswith(tuple(f".{form}" for form in COUNTED)) else key


@pytest.mark.parametrize("language", sorted(CATALOGUES))
def test_every_language_says_everything(language):
    """The same keys in every catalogue, in order, so that two people's changes meet in different lines."""
    assert list(CATALOGUES[language]) == sorted(VIETNAMESE)


@pytest.mark.parametrize("language", sorted(CATALOGUES))
def test_placeholders_are_the_same_in_every_language(language):
    """What a page fills in has its place in every language."""
    expected = {key: placeholders(key, text) for key, text in VIETNAMESE.items()}

    assert {key: placeholders(key, text) for key, text in CATALOGUES[language].items()} == expected


@pytest.mark.parametrize("language", sorted(CATALOGUES))
def test_no_text_is_empty_or_padded(language):
    """A text is a text."""
    assert [key for key, text in CATALOGUES[language].items() if not text or text != text.strip()] == []


def test_counts_have_both_forms():
    """A key for one has a sibling for many, and the other way round."""
    pairs = {stem(key) for key in VIETNAMESE if stem(key) != key}

    assert [name for name in pairs if not all(f"{name}.{form}" in VIETNAMESE for form in COUNTED)] == []


def test_every_key_a_page_names_has_a_text():
    """No page shows a key instead of words."""
    unknown = {name: files for name, files in named().items() if not any(is_named(key, name) for key in VIETNAMESE)}

    assert unknown == {}


def test_every_text_is_named_by_a_page():
    """No text is left over."""
    names = list(named())

    assert [key for key in VIETNAMESE if not any(is_named(key, name) for name in names)] == []


def test_vietnamese_is_composed():
    """One letter is one character (NFC), so that fonts, searches and widths agree."""
    assert [key for key, text in VIETNAMESE.items() if unicodedata.normalize("NFC", text) != text] == []


def presses(kind: type[Command]) -> Iterator[str]:
    """What the wishes of *kind* are called; one that others are kinds of is none itself."""
    kinds = kind.__subclasses__()
    for one in kinds:
        yield from presses(one)
    if not kinds:
        yield kind.press_name()


@pytest.mark.parametrize(
    ("stem", "words"),
    [
        ("shared.refused-", {code.lower().replace("_", "-") for code in CODES}),
        ("admin.action-", {*presses(Command), *get_args(Action)}),
        ("admin.said-", {*Said.__annotations__, "closed"}),
        ("admin.role-", STAFF_ROLES),
    ],
)
def test_every_word_of_the_service_that_a_page_shows_has_a_text(stem, words):
    """Refusals, what the audit tells and roles: what the code may say, no more and no less."""
    assert {key.removeprefix(stem) for key in VIETNAMESE if key.startswith(stem)} == set(words)
