"""
The procedures a centre receives: what they are, finding one by a few typed words, and their texts for people.

Fed by ``<centre>-procedures.json``; feeds kiosk, guidance desk and look-up. It knows no ticket and no dossier. Search
takes what people type at a kiosk: no accents, the beginning of a word, a misspelling, an abbreviation.
"""

from __future__ import annotations

import itertools
import math
import re
import unicodedata
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal, NamedTuple

import msgspec
from msgspec import Struct


class Field(Struct, frozen=True, forbid_unknown_fields=True):
    """A field of work (lĩnh vực), with the code the national portal gives it."""

    code: str
    name: str


class TimeLimit(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """How long one case may take; ``value`` is None where only the note says."""

    unit: Literal["working_day", "calendar_day", "hour", "month", "other"]
    value: int | None = None
    note: str | None = None


class Fee(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One entry of the fee list: phí or lệ phí; both amounts are None where only the note says."""

    kind: Literal["fee", "service_fee"]
    vnd: int | None = None
    usd: int | None = None
    note: str | None = None


class Document(Struct, frozen=True, forbid_unknown_fields=True):
    """A paper to bring; a line can be a heading or an alternative, so the list is not a checklist."""

    name: str
    originals: int
    copies: int


class Procedure(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One administrative procedure (thủ tục hành chính) as the national portal records it."""

    code: str
    name: str
    department: str
    field: Field
    fee_status: Literal["free", "fixed", "several", "see_note", "unknown"]
    online: Literal["full", "partial", "none"]
    channels: tuple[Literal["direct", "online", "postal"], ...]
    source_url: str
    confirmed: bool
    documents_total: int = 0
    also_departments: tuple[str, ...] = ()
    working_days: int | None = None
    calendar_days: int | None = None
    hours: int | None = None
    times: tuple[TimeLimit, ...] = ()
    fee_vnd: int | None = None
    fees: tuple[Fee, ...] = ()
    documents: tuple[Document, ...] = ()
    agency: str | None = None
    legal_basis: tuple[str, ...] = ()
    decision: str | None = None


class FaultyCatalogue(ValueError):
    """The file of procedures cannot be used; the sentence says where and why."""


class Found(NamedTuple):
    """The best procedures for a search, best first, and how many there are in all."""

    procedures: tuple[Procedure, ...]
    total: int


class FieldCount(Struct, frozen=True):
    """A field of work and how many procedures it has."""

    code: str
    name: str
    count: int


class _File(Struct, frozen=True, forbid_unknown_fields=True):
    schema: Literal["procedures/1"]
    centre: str
    source: str
    taken: str
    procedures: tuple[Procedure, ...]


# --------------------------------------------------------------------------------------------------------------
# Words: how a typed text and an official name become comparable.
# --------------------------------------------------------------------------------------------------------------

# Abbreviations stand in official names, too, so they are written out on both sides.
ABBREVIATIONS = {
    "atgt": "an toàn giao thông",
    "attp": "an toàn thực phẩm",
    "atvstp": "an toàn vệ sinh thực phẩm",
    "bhtn": "bảo hiểm thất nghiệp",
    "bhxh": "bảo hiểm xã hội",
    "bhyt": "bảo hiểm y tế",
    "cccd": "căn cước",
    "cmnd": "căn cước",
    "cmt": "căn cước",
    "dkkd": "đăng ký kinh doanh",
    "dtnn": "đầu tư nước ngoài",
    "gcn": "giấy chứng nhận",
    "gp": "giấy phép",
    "gplx": "giấy phép lái xe",
    "gpxd": "giấy phép xây dựng",
    "gtvt": "giao thông vận tải",
    "hkd": "hộ kinh doanh",
    "htx": "hợp tác xã",
    "lltp": "lý lịch tư pháp",
    "nvqs": "nghĩa vụ quân sự",
    "pccc": "phòng cháy chữa cháy",
    "qsdd": "quyền sử dụng đất",
    "tnhh": "trách nhiệm hữu hạn",
    "tnld": "tai nạn lao động",
    "ubnd": "ủy ban nhân dân",
}
# What people say for what the law calls otherwise; written out in what is typed only.
SAYINGS = {
    "bằng lái": "giấy phép lái xe",
    "chứng minh nhân dân": "căn cước",
    "căn cước công dân": "căn cước",
    "cưới": "kết hôn",
    "độc thân": "tình trạng hôn nhân",
    "hộ khẩu": "đăng ký thường trú",
    "làm lại": "cấp lại",
    "passport": "hộ chiếu",
    "sao y": "chứng thực bản sao",
    "sổ đỏ": "giấy chứng nhận quyền sử dụng đất",
    "sổ hồng": "giấy chứng nhận quyền sử dụng đất",
    "visa": "thị thực",
}
# Said around the matter; they may match but never decide.
IDLE = frozenset({"toi", "muon", "xin", "lam", "thu", "tuc"})

_WORD = re.compile(r"[^\W_]+")
_CODE = re.compile(r"\d[\d.]+")


def fold(text: str) -> str:
    """Drop case and accents, so that ``Đăng ký`` and ``dang ky`` compare equal."""
    plain = unicodedata.normalize("NFD", text.lower().replace("đ", "d"))
    return "".join(letter for letter in plain if not unicodedata.combining(letter))


def words(text: str) -> list[str]:
    """Cut a text into folded words; ``ký`` and ``kí`` are one, abbreviations are written out."""
    cut: list[str] = []
    for word in _WORD.findall(fold(text)):
        cut += _WRITTEN_OUT.get(word, [_spelling(word)])
    return cut


def _spelling(word: str) -> str:
    """Vietnamese writes a final i after a consonant either way: ký and kí, lý and lí, mỹ and mĩ."""
    return f"{word[:-1]}i" if len(word) > 1 and word[-1] == "y" and word[-2] not in "aeiou" else word


def _plain(text: str) -> list[str]:
    return [_spelling(word) for word in _WORD.findall(fold(text))]


_WRITTEN_OUT = {short: _plain(long) for short, long in ABBREVIATIONS.items()}
_MEANT = sorted(((_plain(said), _plain(meant)) for said, meant in SAYINGS.items()), key=lambda pair: -len(pair[0]))


def _typed(text: str) -> list[str]:
    """Words of what somebody typed, with sayings replaced by the law's words."""
    typed = words(text[:200])[:16]
    place = 0
    while place < len(typed):
        for said, meant in _MEANT:
            if typed[place : place + len(said)] == said:
                typed[place : place + len(said)] = meant
                place += len(meant) - 1
                break
        place += 1
    return typed


def _shorter(word: str) -> set[str]:
    """Give the word and every form with one letter dropped: two words one slip apart share such a form."""
    return {word} | {word[:gap] + word[gap + 1 :] for gap in range(len(word))}


def one_slip_apart(first: str, second: str) -> bool:
    """Say whether one letter dropped, added, changed, or two neighbours swapped, turn one word into the other."""
    if len(first) > len(second):
        first, second = second, first
    if len(second) - len(first) > 1 or first == second:
        return False
    same = next((at for at in range(len(first)) if first[at] != second[at]), len(first))
    if len(first) < len(second):
        return first[same:] == second[same + 1 :]
    rest, other = first[same:], second[same:]
    return rest[1:] == other[1:] or (rest[:2] == other[1::-1] and rest[2:] == other[2:])


# --------------------------------------------------------------------------------------------------------------
# The catalogue.
# --------------------------------------------------------------------------------------------------------------

# How much a word counts: typed in full, as a beginning, with one slip; in the name or only in the field of work.
_EXACT, _PREFIX, _SLIP = 1.0, 0.75, 0.5
_IN_FIELD = 0.6
_IDLE = 0.1
# Small advantages that settle the order among procedures with the same words.
_SIDE_BY_SIDE, _ACCENTS, _BRIEF, _FIRST = 0.35, 0.25, 0.3, 0.1
# What falls this far behind the best is another matter.
_KEPT = 0.62


class Catalogue:
    """The procedures of one centre, in the order of their file, ready to be searched."""

    def __init__(self, procedures: Iterable[Procedure]) -> None:
        self.procedures = tuple(procedures)
        self._by_code = {procedure.code: procedure for procedure in self.procedures}
        if len(self._by_code) < len(self.procedures):
            code, times = Counter(procedure.code for procedure in self.procedures).most_common(1)[0]
            raise FaultyCatalogue(f"procedure {code} is listed {times} times")
        names = [words(procedure.name) for procedure in self.procedures]
        self._lines = [f" {' '.join(name)} ".removeprefix(" thu tuc") for name in names]
        self._accented = [frozenset(_WORD.findall(_composed(procedure.name))) for procedure in self.procedures]
        self._places: dict[str, dict[int, float]] = {}
        for place, procedure in enumerate(self.procedures):
            for word in words(procedure.field.name):
                self._places.setdefault(word, {})[place] = _IN_FIELD
            for word in names[place]:
                self._places.setdefault(word, {})[place] = 1.0
        self._vocabulary = sorted(self._places)
        self._slips: dict[str, list[str]] = {}
        for word in self._vocabulary:
            if len(word) > 2:
                for form in _shorter(word):
                    self._slips.setdefault(form, []).append(word)

    @classmethod
    def load(cls, path: str | Path) -> Catalogue:
        """
        Read the procedures of a centre.

        Raises:
            FaultyCatalogue: the file does not have the documented shape, or lists a code twice.
            OSError: the file cannot be read.
        """
        try:
            return cls(msgspec.json.decode(Path(path).read_bytes(), type=_File).procedures)
        except msgspec.DecodeError as error:
            raise FaultyCatalogue(f"{path}: {error}") from error

    def get(self, code: str) -> Procedure | None:
        """Return the procedure with that national code, or None."""
        return self._by_code.get(code)

    def fields(self, department: str | None = None) -> tuple[FieldCount, ...]:
        """Fields of work, of one department or of all, those with most procedures first."""
        counts = Counter(p.field for p in self.procedures if department is None or _receives(p, department))
        ordered = sorted(counts.items(), key=lambda entry: (-entry[1], entry[0].name))
        return tuple(FieldCount(field.code, field.name, count) for field, count in ordered)

    def search(self, text: str, department: str | None = None, field: str | None = None, limit: int = 20) -> Found:
        """
        Find procedures by typed words, or by the beginning of a code; best first.

        Args:
            text: as typed; only the first 200 characters and 16 words count. Empty lists everything, in file order.
            department: only what this department receives, alone or beside another.
            field: only this field of work, by its code.
        """
        allowed = [
            (department is None or _receives(p, department)) and (field is None or p.field.code == field)
            for p in self.procedures
        ]
        ranked = [place for place in self._ranked(text) if allowed[place]]
        return Found(tuple(self.procedures[place] for place in ranked[:limit]), len(ranked))

    def _ranked(self, text: str) -> list[int]:
        if _CODE.fullmatch(text.strip()):
            return [place for place, p in enumerate(self.procedures) if p.code.startswith(text.strip())]
        typed = _typed(text)
        if not typed:
            return list(range(len(self.procedures)))
        matches = [self._matching(word, alone=len(typed) == 1) for word in typed]
        weights = [self._weight(word, match) for word, match in zip(typed, matches, strict=True)]
        quality: dict[int, float] = {}
        for match, weight in zip(matches, weights, strict=True):
            for place, (value, _) in match.items():
                quality[place] = quality.get(place, 0.0) + value * weight
        least = _KEPT * max(quality.values(), default=0.0)
        whole = sum(weights)
        accented = [word for word in _WORD.findall(_composed(text)) if not word.isascii()]
        score = {
            place: value / whole + self._advantage(place, matches, accented)
            for place, value in quality.items()
            if value >= least
        }
        least = _KEPT * max(score.values(), default=0.0)
        kept = ((-value, place) for place, value in score.items() if value >= least)
        return [place for _, place in sorted(kept)]

    def _matching(self, word: str, alone: bool) -> dict[int, tuple[float, str]]:
        """Find where a typed word stands, how well it matches there, and as which word."""
        match: dict[int, tuple[float, str]] = {}
        for known, value in self._alike(word, alone):  # best first, so the first in a name stays
            for place, here in self._places[known].items():
                if place not in match or match[place][0] < value * here:
                    match[place] = (value * here, known)
        return match

    def _alike(self, word: str, alone: bool) -> Iterator[tuple[str, float]]:
        if word in self._places:
            yield word, _EXACT
        if alone or len(word) > 1:  # a lone letter after other words is a word just begun: it says nothing yet
            for known in self._vocabulary[bisect_left(self._vocabulary, word) :]:
                if not known.startswith(word):
                    break
                if known != word:
                    yield known, _PREFIX
        if len(word) > 2:
            near = {known for form in _shorter(word) for known in self._slips.get(form, ())}
            yield from ((known, _SLIP) for known in sorted(near) if one_slip_apart(word, known))

    def _weight(self, word: str, match: dict[int, tuple[float, str]]) -> float:
        """Rare words say more about the matter than common ones."""
        rarity = math.log(1 + len(self.procedures) / max(1, len(self._places.get(word, match))))
        return rarity * (_IDLE if word in IDLE else 1.0)

    def _advantage(self, place: int, matches: list[dict[int, tuple[float, str]]], accented: list[str]) -> float:
        here = [match[place][1] if place in match else "" for match in matches]
        line = self._lines[place]
        advantage = _BRIEF * min(1.0, len(here) / line.count(" "))
        if line.startswith(f" {here[0]} "):
            advantage += _FIRST
        if len(here) > 1:
            pairs = sum(f" {first} {second} " in line for first, second in itertools.pairwise(here) if first and second)
            advantage += _SIDE_BY_SIDE * pairs / (len(here) - 1)
        if accented:
            advantage += _ACCENTS * sum(word in self._accented[place] for word in accented) / len(accented)
        return advantage


def _receives(procedure: Procedure, department: str) -> bool:
    return department == procedure.department or department in procedure.also_departments


def _composed(text: str) -> str:
    return unicodedata.normalize("NFC", text.lower())


# --------------------------------------------------------------------------------------------------------------
# Texts for people.
# --------------------------------------------------------------------------------------------------------------


def time_limits(procedure: Procedure) -> tuple[tuple[str, int], ...]:
    """The time limits of its cases, each once, as unit and value; a note alone is none."""
    limits = (
        (limit.unit, limit.value) for limit in procedure.times if limit.unit != "other" and limit.value is not None
    )
    return tuple(dict.fromkeys(limits))


_UNITS = {
    "vi": {"working_day": "ngày làm việc", "calendar_day": "ngày", "hour": "giờ", "month": "tháng"},
    "en": {"working_day": "working day", "calendar_day": "day", "hour": "hour", "month": "month"},
}
_SHORTEST_FIRST = ("hour", "working_day", "calendar_day", "month")


def time_text(procedure: Procedure, language: str = "vi") -> str:
    """Say how long it may take: ``3–15 ngày làm việc, tùy trường hợp``; Vietnamese unless *language* is en."""
    english = language == "en"
    parts = []
    for unit in _SHORTEST_FIRST:
        values = sorted({limit.value for limit in procedure.times if limit.unit == unit and limit.value is not None})
        if values:
            span = f"{values[0]}–{values[-1]}" if len(values) > 1 else f"{values[0]}"
            plural = "s" if english and span != "1" else ""
            parts.append(f"{span} {_UNITS['en' if english else 'vi'][unit]}{plural}")
    if not parts:
        return "Ask at the counter" if english else "Hỏi tại quầy"
    text = (" or " if english else " hoặc ").join(parts)
    if len(parts) > 1 or "–" in text:
        text += ", depending on the case" if english else ", tùy trường hợp"
    return text


def fee_text(procedure: Procedure, language: str = "vi") -> str:
    """Say what it costs: ``200.000 đồng``; Vietnamese unless *language* is en."""
    english = language == "en"
    amounts = sorted({fee.vnd for fee in procedure.fees if fee.vnd})
    dollars = sorted({fee.usd for fee in procedure.fees if fee.usd})
    match procedure.fee_status:
        case "free":
            return "No fee" if english else "Không thu phí"
        case "fixed" if procedure.fee_vnd is not None:
            return f"VND {procedure.fee_vnd:,}" if english else f"{_grouped(procedure.fee_vnd)} đồng"
        case "several" if len(amounts) > 1:
            low, high = amounts[0], amounts[-1]
            if english:
                return f"Several fees, VND {low:,} to {high:,} each"
            return f"Nhiều khoản, mỗi khoản từ {_grouped(low)} đến {_grouped(high)} đồng"
        case "unknown":
            return "Not stated; ask at the counter" if english else "Chưa có thông tin, hỏi tại quầy"
    if dollars and not amounts:
        return f"USD {'–'.join(str(sum_) for sum_ in dict.fromkeys((dollars[0], dollars[-1])))}"
    return "Set by a separate rule; ask at the counter" if english else "Theo quy định riêng, hỏi tại quầy"


def _grouped(amount: int) -> str:
    return f"{amount:,}".replace(",", ".")
