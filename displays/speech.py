"""
A call in words: "Mời công dân có số thứ tự | a | , | không | một | hai | , | đến quầy số | năm".

Rule 1: what a language says is data (`languages/<code>.toml`): phrases, names of letters, rules of numbers.  Rule 2:
nothing here knows a sound, a queue or a clock.  Feeds the announcements (`voice.py`), the list of words to record and
the time budget.

Numbers follow rule sets as in ICU's rule-based number format: the rule with the largest base that is not above the
number says it; its divisor is the largest power of ten that is not above that base.
"""

from __future__ import annotations

import re
import tomllib
import unicodedata
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from operator import itemgetter
from pathlib import Path
from typing import Annotated, Final, Literal, NamedTuple

import msgspec
from msgspec import Meta, Struct

from queue_service.centre import Centre, Dialect, Reading, Voice
from queue_service.centre_file import LANGUAGE, PLACEHOLDER

Form = Literal["full", "short"]
"""The whole phrase, or only number and counter."""

PAUSE: Final = ","
PACKS: Final = Path(__file__).parent / "languages"
LONGEST_NUMBER: Final = 16
"""Characters of a printed number that are read; a real one has four."""
LARGEST: Final = 999_999
"""The largest number that is read as a number; a longer one is read digit by digit."""
TRIED: Final = (*range(1_200), 1_999, 2_000, 10_000, 99_999, LARGEST)
"""Numbers that every pack must be able to say."""

# A syllable of speech at rate 1 takes about so long, a pause as well: measured over 40 calls of each language.
SYLLABLE_MS: Final = 205
PAUSE_MS: Final = 240

_RULE = re.compile(r"<|>(?:([a-z-]+)>)?|=([a-z-]+)=|[^<>=]+")
_PART = re.compile(rf"{PLACEHOLDER}|([,.;:!?…]+)")
_RUN = re.compile(r"[0-9]+|[^0-9]")


class FaultyPack(ValueError):
    """A language pack cannot be used; the text says why, and which one."""


class Call(NamedTuple):
    """One ring of one call, with all that its announcement needs."""

    seq: int
    """Of the event: TicketCalled or TicketRecalled."""
    call: int
    number: str
    counter: str
    at_ms: int
    rings: int
    language: str | None


class Said(NamedTuple):
    """One phrase in one language; PAUSE stands between its pieces where the voice rests."""

    language: str
    voice: str
    pieces: tuple[str, ...]

    @property
    def text(self) -> str:
        """As a sentence."""
        return " ".join(self.pieces).replace(f" {PAUSE}", PAUSE) + "."


class Phrases(Struct, frozen=True, forbid_unknown_fields=True):
    """What is said at a call, at a later ring of it, and when others wait to be announced."""

    call: str
    again: str
    short: str


class DialectWords(Struct, frozen=True, forbid_unknown_fields=True):
    """How one part of the country differs: the synthesiser's voice, and words of numbers."""

    voice: str
    words: dict[str, str] = {}


class Pack(Struct, frozen=True, forbid_unknown_fields=True, dict=True):
    """A language as its file says it."""

    language: Annotated[str, Meta(pattern=LANGUAGE)]
    phrases: Phrases
    dialects: dict[Dialect, DialectWords]
    letters: dict[str, str]
    numbers: dict[str, dict[str, str]]

    def number(self, value: int, rules: str = "cardinal") -> str:
        """*value* in words, by the set called *rules*."""
        return "".join(self._number(value, rules, 0)).strip()

    def _number(self, value: int, rules: str, depth: int) -> Iterator[str]:
        if depth > 12:
            raise FaultyPack(f"{self.language}: the rules for {value} in numbers.{rules} never end")
        found = self._rules.get(rules)
        if found is None:
            raise FaultyPack(f"{self.language}: there are no rules numbers.{rules}")
        place = bisect_right(found, value, key=itemgetter(0)) - 1
        if place < 0:
            raise FaultyPack(f"{self.language}: numbers.{rules} has no rule for {value}")
        base, words = found[place]
        divisor = 10 ** (len(str(base)) - 1) if base else 1
        above, rest = divmod(value, divisor)
        whole, bracket, optional = words.partition("[")
        for text in (whole, optional.rstrip("]") if bracket and rest else ""):
            for part in _RULE.finditer(text):
                if part[0] == "<":
                    yield from self._number(above, "cardinal", depth + 1)
                elif part[0].startswith(">"):
                    yield from self._number(rest, part[1] or rules, depth + 1)
                elif part[2]:
                    yield from self._number(value, part[2], depth + 1)
                else:
                    yield part[0]

    @cached_property
    def _rules(self) -> dict[str, list[tuple[int, str]]]:
        return {name: sorted((int(base), text) for base, text in rules.items()) for name, rules in self.numbers.items()}


@dataclass(frozen=True)
class Tongue:
    """A language as one centre speaks it: the pack with the centre's dialect, phrases and names of letters."""

    pack: Pack
    dialect: Dialect
    reading: Reading
    phrases: Phrases
    letters: Mapping[str, str]

    @property
    def voice(self) -> str:
        """The synthesiser's voice."""
        return self._dialect.voice

    @property
    def _dialect(self) -> DialectWords:
        dialects = self.pack.dialects
        return dialects.get(self.dialect) or next(iter(dialects.values()))

    def number(self, value: int, rules: str = "cardinal") -> list[str]:
        """The words of a number, one by one, as this dialect says them."""
        return [self._dialect.words.get(word, word) for word in self.pack.number(value, rules).split()]

    def spelled(self, number: str) -> list[str]:
        """
        A printed number: letters by their names, then its digits one by one or as a number.

        Characters that the language has no name for are not read.
        """
        pieces: list[str] = []
        was_letter = False
        for run in _RUN.findall(unicodedata.normalize("NFKC", number)[:LONGEST_NUMBER].upper()):
            if run in self.letters:
                pieces.append(self.letters[run])
                was_letter = True
            elif run[0] in "0123456789":
                if was_letter:
                    pieces.append(PAUSE)
                if self.reading == "number" and int(run) <= LARGEST:
                    pieces += self.number(int(run))
                else:
                    pieces += (word for digit in run for word in self.number(int(digit), "digit"))
                was_letter = False
        return pieces

    def said(self, call: Call, form: Form, counter: int, zone: str) -> Said | None:
        """The phrase of *call*; None when nothing of its number can be read."""
        number = self.spelled(call.number)
        if not number:
            return None
        template = (
            self.phrases.short if form == "short" else self.phrases.again if call.rings > 1 else self.phrases.call
        )
        fillings = {"number": number, "counter": self.number(counter), "zone": [zone]}
        if "{times}" in template:
            fillings["times"] = self.number(call.rings, "ordinal")
        pieces = list(_filled(template, fillings))
        while pieces and pieces[-1] == PAUSE:
            pieces.pop()
        return Said(self.pack.language, self.voice, tuple(pieces))


@dataclass(frozen=True)
class Speech:
    """How one centre speaks."""

    centre: Centre
    tongues: tuple[Tongue, ...]
    """The first is always spoken, the others when the ticket asks for them."""

    def said(self, call: Call, form: Form) -> tuple[Said, ...]:
        """What is said of *call*, in the order of the languages; nothing when its number cannot be read."""
        counter = self.centre.counter(call.counter)
        zone = self.centre.zone(counter.zone)
        phrases = []
        for place, tongue in enumerate(self.tongues):
            language = tongue.pack.language
            if place == 0 or language == call.language:
                name = zone.name_en if language == "en" else zone.name
                said = tongue.said(call, form, counter.number, clean(name))
                if said is not None:
                    phrases.append(said)
        return tuple(phrases)

    def words(self) -> dict[str, list[str]]:
        """Language -> every piece that a recording needs, in the order in which somebody would read them."""
        return {tongue.pack.language: list(dict.fromkeys(self._words(tongue))) for tongue in self.tongues}

    def _words(self, tongue: Tongue) -> Iterator[str]:
        centre = self.centre
        zones = [clean(zone.name_en if tongue.pack.language == "en" else zone.name) for zone in centre.zones]
        for template in (tongue.phrases.call, tongue.phrases.again, tongue.phrases.short):
            for piece in _filled(template, {"number": [], "counter": [], "times": [], "zone": zones}):
                if piece != PAUSE:
                    yield piece
        for department in centre.departments:
            yield from (piece for piece in tongue.spelled(department.letter) if piece != PAUSE)
        for digit in range(10):
            yield from tongue.number(digit, "digit")
        if tongue.reading == "number":
            for number in range(1, max(department.daily_cap for department in centre.departments) + 1):
                yield from tongue.number(number)
        for counter in centre.counters:
            yield from tongue.number(counter.number)
        if "{times}" in tongue.phrases.again:
            for times in range(2, centre.policy.calls_before_no_show + 1):
                yield from tongue.number(times, "ordinal")


def speech_of(centre: Centre, packs: Mapping[str, Pack]) -> Speech:
    """How *centre* speaks, with the languages that there are packs for."""
    voice = centre.voice
    spoken = voice.languages or centre.languages
    return Speech(centre, tuple(_tongue(packs[language], voice) for language in spoken if language in packs))


def _tongue(pack: Pack, voice: Voice) -> Tongue:
    own = next((phrases for phrases in voice.phrases if phrases.language == pack.language), None)
    usual = pack.phrases
    phrases = usual if own is None else Phrases(own.call, own.again or own.call, own.short or usual.short)
    names = {name.letter: clean(name.name) for name in voice.letters if name.language == pack.language}
    return Tongue(pack, voice.dialect, voice.numbers, phrases, {**pack.letters, **names})


def _filled(template: str, fillings: Mapping[str, list[str]]) -> Iterator[str]:
    """The pieces of a phrase: its own words between places and marks, what fills the places, and pauses."""
    end = 0
    for part in _PART.finditer(template):
        if words := clean(template[end : part.start()]):
            yield words
        if part[2]:
            yield PAUSE
        else:
            yield from fillings.get(part[1], [])
        end = part.end()
    if words := clean(template[end:]):
        yield words


def clean(text: str) -> str:
    """*text* as it may be spoken: composed, on one line, without what cannot be seen."""
    composed = unicodedata.normalize("NFC", text)
    return " ".join("".join(" " if unicodedata.category(one)[0] in "CZ" else one for one in composed).split())


def estimate_ms(said: Iterable[Said], rate: float) -> int:
    """About how long *said* takes to speak, where no voice is there to measure it."""
    ms = 0.0
    for phrase in said:
        for piece in phrase.pieces:
            ms += PAUSE_MS if piece == PAUSE else SYLLABLE_MS * _syllables(piece) / rate
        ms += PAUSE_MS
    return round(ms)


def _syllables(piece: str) -> int:
    """Groups of vowels in each word, one at least: exact for Vietnamese, near enough for English."""
    plain = "".join(one for one in unicodedata.normalize("NFD", piece.lower()) if not unicodedata.combining(one))
    return sum(max(1, len(re.findall(r"[aeiouy]+", word.removesuffix("e") or word))) for word in plain.split())


# Reading packs.


@cache
def read_pack(text: str, name: str) -> Pack:
    """
    The pack in *text*, tried out.

    Raises:
        FaultyPack: it is not TOML, has another shape, or cannot say every number and letter.
    """
    try:
        pack = msgspec.convert(tomllib.loads(unicodedata.normalize("NFC", text)), Pack)
        for rules in pack.numbers.values():
            for base in rules:
                if not base.isascii() or not base.isdigit():
                    raise FaultyPack(f"{name}: {base!r} is no number a rule can begin at")
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise FaultyPack(f"{name}: {error}") from error
    if not pack.dialects:
        raise FaultyPack(f"{name}: dialects is empty; name at least one voice")
    for field in ("call", "again", "short"):
        template = getattr(pack.phrases, field)
        places = set(re.findall(PLACEHOLDER, template))
        if not {"number", "counter"} <= places <= {"number", "counter", "zone", "times"}:
            raise FaultyPack(f"{name}: phrases.{field} must say {{number}} and {{counter}}; {{zone}}, {{times}} may be")
    for value in TRIED:
        pack.number(value)
    for digit in range(10):
        pack.number(digit, "digit")
    for times in range(1, 21):
        pack.number(times, "ordinal")
    missing = [letter for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZ" if not clean(pack.letters.get(letter, ""))]
    if missing:
        raise FaultyPack(f"{name}: letters has no name for {', '.join(missing)}")
    return pack


def load_packs(*folders: Path) -> dict[str, Pack]:
    """
    Language -> its pack, from every `*.toml` of *folders*; a later folder replaces what an earlier one has.

    Raises:
        FaultyPack: one of them cannot be used.
        OSError: one of them cannot be read.
    """
    packs: dict[str, Pack] = {}
    for folder in folders:
        for file in sorted(folder.glob("*.toml")):
            pack = read_pack(file.read_text("utf-8-sig"), str(file))
            packs[pack.language] = pack
    return packs
