"""
The centre's file: plain values out of TOML or JSON, and every mistake in them with its place.

It does not know the ``Centre``: ``centre.check`` hands in the shape, read from the types, so that bounds are written
once. Feeds ``centre.py``, the command line and the administration pages.
"""

from __future__ import annotations

import datetime as dt
import difflib
import itertools
import json
import re
import tomllib
import unicodedata
import zoneinfo
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Literal, NamedTuple

from msgspec import inspect as shapes

from queue_service.legible import letters, read_from_m

Raw = dict[str, Any]

SLUG = r"\A[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?\Z"
LETTER = r"\A[A-Z]\Z"
TIME = r"\A([01][0-9]|2[0-3]):[0-5][0-9]\Z"
LANGUAGE = r"\A[a-z]{2,3}\Z"
PLACEHOLDER = r"\{([a-z]*)\}"
DATE = r"\A20[0-9]{2}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])\Z"
AGENCY = r"\A([A-Za-z0-9][A-Za-z0-9.]{0,23})?\Z"
DOSSIER_CODE = r"\A([A-Za-z0-9._-]|\{(agency|department|yymmdd)\}){1,60}\{sequence\}\Z"
ANY_SLUG = r"\A([a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?)?\Z"
MOMENT = r"\A(20[0-9]{2}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01]) ([01][0-9]|2[0-3]):[0-5][0-9])?\Z"
MEDIA_NAME = r"[0-9a-f]{32}\.(?:png|jpg|webp|mp4|webm)"
MEDIA = rf"\A{MEDIA_NAME}\Z"
ANY_MEDIA = rf"\A(?:{MEDIA_NAME})?\Z"
PATTERNS = {
    SLUG: "is not an id: use 1 to 32 of a–z, 0–9 and hyphens, no hyphen at either end",
    LETTER: "is not a letter for tickets: use one capital from A to Z",
    TIME: "is not a time of day: write hours and minutes as 07:30",
    LANGUAGE: "is not a language: use its code of two or three small letters, such as vi",
    DATE: "is not a date: write year, month and day as 2026-08-22",
    AGENCY: "is not an agency's code: use letters, digits and dots, such as H15.50.05.13",
    DOSSIER_CODE: "is no template: use letters, digits, . _ - and {agency}, {department}, {yymmdd}; {sequence} ends it",
    ANY_SLUG: "is not an id: use 1 to 32 of a–z, 0–9 and hyphens, or nothing",
    MOMENT: "is not a moment: write day and time as 2026-11-22 07:30, or nothing",
    MEDIA: "is not a file of this centre: use the name that its upload was answered with",
    ANY_MEDIA: "is not a file of this centre: use the name that its upload was answered with, or nothing",
}
"""Every pattern a text of the file may have to match, and what to say when it does not."""


class Problem(NamedTuple):
    """One mistake: where in the file, what is wrong in a sentence, and whether it stops the file from being used."""

    place: str
    sentence: str
    severity: Literal["error", "warning"] = "error"

    def __str__(self) -> str:
        return f"{self.place}: {self.sentence}" if self.place else self.sentence


class FaultyCentre(Exception):
    """The file does not describe a usable centre; ``problems`` holds every mistake found, warnings included."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems if problem.severity == "error"))


def parse(content: bytes, kind: Literal["toml", "json"]) -> object:
    """
    Turn the bytes of a file into plain values, without judging them; ``centre.build`` takes what it gives.

    Raises:
        FaultyCentre: the text is not UTF-8, not TOML or not JSON; the place is a line and column.
    """
    try:
        text = content.decode("utf-8-sig")  # Notepad writes a mark in front
        return tomllib.loads(text) if kind == "toml" else json.loads(text, object_pairs_hook=_without_repeats)
    except UnicodeDecodeError as error:
        fault = Problem(f"byte {error.start}", "is not UTF-8 text; save the file with the encoding UTF-8")
    except tomllib.TOMLDecodeError as error:
        sentence, _, where = str(error).partition(" (at ")
        fault = Problem(where.removesuffix(")"), f"is not TOML: {sentence}")
    except json.JSONDecodeError as error:
        fault = Problem(f"line {error.lineno}, column {error.colno}", f"is not JSON: {error.msg}")
    except ValueError as error:  # a number of thousands of digits
        fault = Problem("the file", f"cannot be read: {error}")
    except RecursionError:
        fault = Problem("the file", "is nested too deeply to be a centre")
    raise FaultyCentre([fault])


def mistakes(raw: object, shape: shapes.Type) -> Iterator[Problem]:
    """Find every mistake in plain values: first whatever differs from *shape*, then whatever makes no sense."""
    yield from _misshapen(raw, shape, "")
    if isinstance(raw, dict):
        for rule in _RULES:
            yield from rule(raw)


def misshapen(raw: object, shape: shapes.Type) -> Iterator[Problem]:
    """Find whatever differs from *shape*, in a file of another kind, too."""
    yield from _misshapen(raw, shape, "")


# --------------------------------------------------------------------------------------------------------------
# Shape: one walk along the types of a centre, so that all faults are found and not only the first.
# --------------------------------------------------------------------------------------------------------------


def _misshapen(value: object, shape: shapes.Type, place: str) -> Iterator[Problem]:
    match shape:
        case shapes.StructType():
            yield from _misshapen_table(value, shape, place)
        case shapes.VarTupleType():
            yield from _misshapen_list(value, shape, place)
        case shapes.StrType():
            yield from _misshapen_text(value, shape, place)
        case shapes.BoolType():
            if not isinstance(value, bool):
                yield Problem(place, f"must be true or false, not {_kind(value)}")
        case shapes.IntType() | shapes.FloatType():
            yield from _misshapen_number(value, shape, place)
        case shapes.LiteralType():
            if value not in shape.values:
                choices = [str(choice) for choice in shape.values]
                yield Problem(place, f"{shown(value)} is not one of {', '.join(choices)}{meant(value, choices)}")
        case _:
            raise TypeError(f"a centre has no field of type {shape}")


def _misshapen_table(value: object, shape: shapes.StructType, place: str) -> Iterator[Problem]:
    if not isinstance(value, dict):
        yield Problem(place or "the file", f"must be a table, not {_kind(value)}")
        return
    known = {entry.encode_name: entry for entry in shape.fields}
    for key in value:
        if key not in known:
            free = [name for name in known if name not in value]
            yield Problem(_join(place, shown(key, quote="")), f"is not a setting here{meant(key, free)}")
    for name, entry in known.items():
        if name in value:
            yield from _misshapen(value[name], entry.type, _join(place, name))
        elif entry.required:
            yield Problem(_join(place, name), "is missing")


def _misshapen_list(value: object, shape: shapes.VarTupleType, place: str) -> Iterator[Problem]:
    if not isinstance(value, list):
        yield Problem(place, f"must be a list, not {_kind(value)}")
        return
    if shape.min_length is not None and len(value) < shape.min_length:
        yield Problem(place, f"has {len(value)} entries; at least {shape.min_length} needed")
    if shape.max_length is not None and len(value) > shape.max_length:
        yield Problem(place, f"has {len(value)} entries; at most {shape.max_length} allowed")
        return
    for position, entry in enumerate(value):
        yield from _misshapen(entry, shape.item_type, f"{place}[{position}]")


def _misshapen_number(value: object, shape: shapes.IntType | shapes.FloatType, place: str) -> Iterator[Problem]:
    whole = isinstance(shape, shapes.IntType)
    if isinstance(value, bool) or not isinstance(value, int if whole else (int, float)):
        yield Problem(place, f"must be a {'whole ' if whole else ''}number, not {_kind(value)}")
        return
    low, high = shape.ge, shape.le
    if low is not None and high is not None and not low <= value <= high:  # also catches not-a-number
        yield Problem(place, f"is {shown(value, quote='')}; it must lie between {low} and {high}")


def _misshapen_text(value: object, shape: shapes.StrType, place: str) -> Iterator[Problem]:
    if not isinstance(value, str):
        yield Problem(place, f"must be text in quotes, not {_kind(value)}")
    elif shape.pattern is not None:
        if not re.search(shape.pattern, value):
            yield Problem(place, f"{shown(value)} {PATTERNS[shape.pattern]}{_repaired(value, shape.pattern)}")
    elif shape.max_length is not None and len(value) > shape.max_length:
        yield Problem(place, f"is {len(value)} characters long; at most {shape.max_length} fit on a board and a slip")
    elif shape.min_length and not value.strip():
        yield Problem(place, "is empty")
    else:
        yield from _hostile(value, place)


# Categories that never belong in a name: control, format (right-to-left overrides, zero-width and so on), lone
# halves of a pair, private use, unassigned, line and paragraph separators. Zero-width joiners are letters' glue
# in some scripts of this region, so they stay.
_UNSEEN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
_GLUE = {"\u200c", "\u200d"}
_STACKED = 4


def _hostile(value: str, place: str) -> Iterator[Problem]:
    unseen = sorted({letter for letter in value if unicodedata.category(letter) in _UNSEEN} - _GLUE)
    if unseen:
        named = ", ".join(f"U+{ord(letter):04X} {unicodedata.name(letter, 'control')}" for letter in unseen[:3])
        yield Problem(place, f"holds characters nobody can see ({named}); type the text again without them")
        return
    if not unicodedata.is_normalized("NFC", value):
        yield Problem(place, f"has accents typed apart from their letters; write {shown(_composed(value))} (NFC)")
    marks = "".join("m" if unicodedata.combining(letter) else " " for letter in _composed(value))
    if "m" * _STACKED in marks:
        yield Problem(place, "piles accents over one another; type the text again")
    if value != value.strip():
        yield Problem(place, "begins or ends with a space")


def _repaired(value: str, pattern: str) -> str:
    """Suggest a value that would fit: accents dropped, small letters, hyphens; or the time with its zero."""
    plain = unicodedata.normalize("NFD", value.replace("đ", "d").replace("Đ", "D"))
    plain = "".join(letter for letter in plain if not unicodedata.combining(letter))
    hour = re.fullmatch(r"\s*(\d)\s*[:hg.]\s*(\d\d)\s*", value) or re.fullmatch(r"\s*(\d\d)\s*[hg.]\s*(\d\d)\s*", value)
    candidates = [
        re.sub(r"[^a-z0-9]+", "-", plain.lower())[:32].strip("-"),
        plain.strip().upper(),
        f"{int(hour[1]):02}:{hour[2]}" if hour else "",
        plain.strip().lower(),
    ]
    return next((f"; for example {guess!r}" for guess in candidates if re.search(pattern, guess)), "")


# --------------------------------------------------------------------------------------------------------------
# Sense: rules that look at several places at once. Each takes the plain file and skips what has the wrong shape,
# because the walk above has reported that already.
# --------------------------------------------------------------------------------------------------------------

LISTS = ("zones", "departments", "services", "counters", "boards", "kiosks", "desks", "grounds")

# Left out of tickets: misread, or long to speak (docs/centre-file.md, "letters").
MISREAD = {
    "I": "1", "J": "I, and has no settled name", "O": "0", "Q": "O, and sounds like the word for counter", "W": "V",
}  # fmt: skip
# Letters whose names rhyme over a loudspeaker: bê, pê, tê, dê, vê; em-mờ, en-nờ.
ALIKE = (frozenset("BPTDV"), frozenset("MN"))


def _repeats(raw: Raw) -> Iterator[Problem]:
    """Ids, counter numbers and ticket letters are given once."""
    unique = [(part, "id") for part in LISTS] + [("counters", "number"), ("departments", "letter")]
    for part, key in unique:
        yield from _repeated((f"{place}.{key}", row.get(key)) for place, row in _rows(raw, part))
    yield from _repeated(_texts(raw.get("languages"), "languages"))
    yield from _repeated(_texts(_table(raw, "hours").get("days"), "hours.days"))
    for place, row in _rows(raw, "boards"):
        yield from _repeated(_texts(row.get("zones"), f"{place}.zones"))
    for place, row in _rows(raw, "counters"):
        yield from _repeated((f"{at}.service", line.get("service")) for at, line in _rows(row, "serves", place))
    for problem in _repeated((f"{place}.name", row.get("name")) for place, row in _rows(raw, "departments")):
        yield problem._replace(severity="warning")


def _references(raw: Raw) -> Iterator[Problem]:
    """Whatever is named elsewhere exists."""
    zones, departments, services = (_ids(raw, part) for part in ("zones", "departments", "services"))
    for place, row in _rows(raw, "services"):
        yield from _unknown("department", departments, f"{place}.department", row.get("department"))
    for part in ("counters", "kiosks"):
        for place, row in _rows(raw, part):
            yield from _unknown("zone", zones, f"{place}.zone", row.get("zone"))
    for place, row in _rows(raw, "counters"):
        for at, line in _rows(row, "serves", place):
            yield from _unknown("service", services, f"{at}.service", line.get("service"))
    for place, row in _rows(raw, "boards"):
        for at, zone in _texts(row.get("zones"), f"{place}.zones"):
            yield from _unknown("zone", zones, at, zone)


def _clusters(raw: Raw) -> Iterator[Problem]:
    """Groups of counters that stand together name counters that serve, each once."""
    serving: dict[str, list[str]] = {}
    for _, row in _rows(raw, "counters"):
        for _, line in _rows(row, "serves"):
            serving.setdefault(str(line.get("service")), []).append(str(row.get("id")))
    for place, row in _rows(raw, "services"):
        runs = row.get("clusters")
        named: list[tuple[str, object]] = []
        for n, run in enumerate(runs if isinstance(runs, list) else []):
            named += _texts(run, f"{place}.clusters[{n}]")
        yield from _repeated(named)
        for at, counter in named:
            if counter not in serving.get(str(row.get("id")), []):
                yield Problem(at, f"counter {shown(counter)} does not serve {shown(row.get('id'))}")


def _served(raw: Raw) -> Iterator[Problem]:
    """Every department and every service has a counter, every counter has work, every call a board."""
    levels: dict[str, list[int]] = {}
    for place, row in _rows(raw, "counters"):
        lines = [line for _, line in _rows(row, "serves", place)]
        own = [line for line in lines if _level(line) == 1]
        if row.get("serves") == []:
            yield Problem(f"{place}.serves", "is empty: a counter without services can call nobody")
        elif lines and not own:
            yield Problem(f"{place}.serves", "has only overflow (level 2 or more): no own work", "warning")
        for line in lines:
            levels.setdefault(str(line.get("service")), []).append(_level(line))
    owner = {str(row.get("id")): row.get("department") for _, row in _rows(raw, "services")}
    for place, row in _rows(raw, "departments"):
        id = row.get("id")
        if not isinstance(id, str):
            continue
        if owner.get(id) != id:
            yield Problem(
                place, f"has no service of its own: add a service with id {shown(id)} and department the same"
            )
        if not any(department == id and service in levels for service, department in owner.items()):
            yield Problem(place, f"nobody serves {shown(id)}: add one of its services to a counter")
    for place, row in _rows(raw, "services"):
        id = row.get("id")
        if isinstance(id, str) and id not in levels:
            yield Problem(place, f"no counter serves {shown(id)}")
        elif isinstance(id, str) and min(levels[id]) > 1:
            yield Problem(place, f"{shown(id)} is served only as overflow: no counter has it at level 1", "warning")


def _zones_used(raw: Raw) -> Iterator[Problem]:
    """A zone holds counters, and their calls are shown somewhere."""
    used = {str(row.get("zone")) for _, row in _rows(raw, "counters")}
    visible = {str(zone) for _, row in _rows(raw, "boards") for _, zone in _texts(row.get("zones"), "")}
    for place, row in _rows(raw, "zones"):
        id = str(row.get("id"))
        if id not in used:
            yield Problem(place, f"no counter stands in zone {shown(id)}", "warning")
        elif id not in visible:
            yield Problem(place, f"no board shows zone {shown(id)}: its calls would be heard only", "warning")


def _letters(raw: Raw) -> Iterator[Problem]:
    """Letters can be read on a slip."""
    for place, row in _rows(raw, "departments"):
        letter = row.get("letter")
        if isinstance(letter, str) and letter in MISREAD:
            yield Problem(f"{place}.letter", f"{letter} is not used on tickets: it is taken for {MISREAD[letter]}")
        elif letter == "Y":
            yield Problem(f"{place}.letter", "Y is spoken like I and is long to say; prefer another letter", "warning")


def _sounds(raw: Raw) -> Iterator[Problem]:
    """Letters called at one counter, or at two side by side in one zone, can be told apart by ear."""
    letters = {str(row.get("id")): str(row.get("letter")) for _, row in _rows(raw, "departments")}
    letter_of = {str(row.get("id")): letters.get(str(row.get("department"))) for _, row in _rows(raw, "services")}
    standing: dict[tuple[str, int], tuple[str, set[str]]] = {}
    for place, row in _rows(raw, "counters"):
        if isinstance(row.get("number"), int):
            own = {letter_of.get(str(line.get("service"))) for _, line in _rows(row, "serves") if _level(line) == 1}
            standing[str(row.get("zone")), row["number"]] = place, {letter for letter in own if letter}
    warned: set[tuple[str, ...]] = set()
    for (zone, number), (place, here) in sorted(standing.items()):
        _, beside = standing.get((zone, number + 1), ("", set()))
        for group in ALIKE:
            alike = tuple(sorted(group & (here | beside)))
            if len(alike) > 1 and alike not in warned:
                warned.add(alike)
                where = (
                    f"counter {shown(number)}"
                    if set(alike) <= here
                    else f"counters {shown(number)} and {shown(number + 1)}"
                )
                sentence = f"letters {' and '.join(alike)} sound alike and are called at {where}"
                yield Problem(place, f"{sentence}; give one department another letter", "warning")


def _counter_ids(raw: Raw) -> Iterator[Problem]:
    """A counter whose id holds another number than its sign is pressed by mistake sooner or later."""
    for place, row in _rows(raw, "counters"):
        id, number = row.get("id"), row.get("number")
        digits = re.fullmatch(r"[a-z-]*0*([0-9]+)", id) if isinstance(id, str) else None
        if digits and isinstance(number, int) and int(digits[1]) != number:
            yield Problem(f"{place}.number", f"is {shown(number)} but the id is {shown(id)}", "warning")


def _hours(raw: Raw) -> Iterator[Problem]:
    """Sessions run forward, in order, without overlap; numbers are given while somebody will still serve them."""
    hours = _table(raw, "hours")
    spans = {part: list(_spans(hours, part, "hours")) for part in ("sessions", "ticket_sessions")}
    for part in spans.values():
        for place, start, end in part:
            if start >= end:
                yield Problem(place, f"ends at {_clock(end)}, not after its start at {_clock(start)}")
        for (_, start, end), (place, next_start, _) in itertools.pairwise(part):
            if next_start < end:
                fault = "overlaps the session before it" if next_start >= start else "comes before the session above it"
                yield Problem(place, f"{fault} ({_clock(start)}–{_clock(end)}); list them in order of time")
    for place, start, end in spans["ticket_sessions"]:
        if start < end and spans["sessions"] and not any(s < end <= e for _, s, e in spans["sessions"]):
            yield Problem(place, f"gives numbers until {_clock(end)}, when no session is open", "warning")


def _calendar(raw: Raw) -> Iterator[Problem]:
    """Days of the calendar exist, each has one kind, and their sessions run forward."""
    hours = _table(raw, "hours")
    days = [entry for part in ("off", "worked") for entry in _texts(hours.get(part), f"hours.{part}")]
    days += [(f"{place}.day", row.get("day")) for place, row in _rows(hours, "different", "hours")]
    yield from _repeated(days)
    for place, day in days:
        if isinstance(day, str) and re.search(DATE, day):
            try:
                dt.date.fromisoformat(day)
            except ValueError:
                yield Problem(place, f"there is no {day}")
    for place, row in _rows(hours, "different", "hours"):
        for at, start, end in _spans(row, "sessions", place):
            if start >= end:
                yield Problem(at, f"ends at {_clock(end)}, not after its start at {_clock(start)}")


def _dossier_codes(raw: Raw) -> Iterator[Problem]:
    """Two days or two agencies never share a sequence of dossier codes."""
    template = _table(raw, "dossiers").get("code", "{agency}-{yymmdd}-{sequence}")
    if isinstance(template, str) and re.search(DOSSIER_CODE, template):
        for word in ("{agency}", "{yymmdd}"):
            if word not in template:
                yield Problem("dossiers.code", f"has no {word}: codes of different days or agencies would run on")
    yield from _repeated(_texts(_table(raw, "dossiers").get("days"), "dossiers.days"))


def _timezone(raw: Raw) -> Iterator[Problem]:
    """The time zone is one the machine knows."""
    name = raw.get("timezone")
    if isinstance(name, str) and name:
        try:
            zoneinfo.ZoneInfo(name)
        except (KeyError, ValueError, OSError):  # unknown, not a name, the name of a folder
            yield Problem("timezone", f"no time zone {shown(name)}{meant(name, zoneinfo.available_timezones())}")


def _policy(raw: Raw) -> Iterator[Problem]:
    """Rules agree with one another."""
    policy = _table(raw, "policy")
    classes = list(_rows(policy, "classes", "policy"))
    if classes and [row.get("id") for _, row in classes] != ["standard", "priority", "appointment"]:
        yield Problem("policy.classes", "must list standard, priority, appointment, once each and in this order")
    promises = {str(row.get("id")): row.get("promise_s") for _, row in classes}
    standard = promises.get("standard", 1800)
    if not isinstance(standard, int):
        return
    for place, row in classes:
        promise = row.get("promise_s")
        if row.get("id") != "standard" and isinstance(promise, int) and promise > standard:
            sentence = (
                f"promises {shown(promise)} s to {row.get('id')}, longer than the {shown(standard)} s of standard"
            )
            yield Problem(f"{place}.promise_s", f"{sentence}: it would be called later, not sooner")
    windows = _table(policy, "window_s")
    for mode in ("counter", "cluster"):
        window = windows.get(mode)
        if isinstance(window, int) and window > standard:
            sentence = f"is {shown(window)}, longer than the standard promise of {shown(standard)} s"
            yield Problem(f"policy.window_s.{mode}", f"{sentence}: a ticket could be passed for its whole wait")
    if isinstance(windows.get("department"), int) and windows["department"] > 0:
        sentence = "has no effect: in department mode a ticket is printed for every counter; leave it at 0"
        yield Problem("policy.window_s.department", sentence, "warning")


def board_mistakes(raw: Raw, shape: shapes.Type, zones: list[str], counters: list[str]) -> Iterator[Problem]:
    """Find every mistake in the plain settings of one board, in a centre with these *zones* and *counters*."""
    yield from _misshapen(raw, shape, "")
    for at, zone in _texts(raw.get("zones"), "zones"):
        yield from _unknown("zone", zones, at, zone)
    yield from _repeated(_texts(raw.get("zones"), "zones"))
    yield from _one_board("", raw, counters)


def _boards(raw: Raw) -> Iterator[Problem]:
    """A display above a desk names its counter; a notice ends after it begins."""
    for place, row in _rows(raw, "boards"):
        yield from _one_board(place, row, _ids(raw, "counters"))


def _one_board(place: str, row: Raw, counters: list[str]) -> Iterator[Problem]:
    at_counter = _join(place, "counter")
    if row.get("counter"):
        yield from _unknown("counter", counters, at_counter, row["counter"])
    elif row.get("layout") == "counter-top":
        yield Problem(at_counter, "is missing: a counter-top display belongs to one counter")
    for at, notice in _rows(row, "notices", place):
        start, end = notice.get("from"), notice.get("until")
        if isinstance(start, str) and isinstance(end, str) and start and end and start >= end:
            yield Problem(f"{at}.until", f"{shown(end)} is not later than {shown(start)}")


def _readable(raw: Raw) -> Iterator[Problem]:
    """A board's letters are tall enough for its farthest reader."""
    for place, row in _rows(raw, "boards"):
        inches, distance_m = row.get("inches", 55), row.get("distance_m", 12)
        layout = row.get("layout", "calls")
        if not all(isinstance(size, (int, float)) and size > 0 for size in (inches, distance_m)):
            continue
        if layout in ("calls", "counter-top"):  # the others turn pages before their letters become too small
            most_m = read_from_m(letters(layout, inches, distance_m, 1).number_mm)
            if distance_m > most_m + 0.05:
                sentence = f"a {inches:g}-inch screen is read from {most_m:.0f} m at most, not {distance_m:g} m"
                yield Problem(f"{place}.distance_m", f"{sentence}; use a larger screen or more boards", "warning")


def _voice(raw: Raw) -> Iterator[Problem]:
    """What is said names the number and the counter, in a language of the centre, where somebody hears it."""
    voice = _table(raw, "voice")
    languages = [str(code) for _, code in _texts(raw.get("languages", ["vi", "en"]), "")]
    for place, code in _texts(voice.get("languages"), "voice.languages"):
        yield from _unknown("language of this centre", languages, place, code)
    yield from _repeated(_texts(voice.get("languages"), "voice.languages"))
    pack = voice.get("clip_pack")
    if isinstance(pack, str) and pack and not re.search(SLUG, pack):
        sentence = f"{shown(pack)} {PATTERNS[SLUG]}; it names a folder in the clips of the data folder"
        yield Problem("voice.clip_pack", sentence)
    phrases = list(_rows(voice, "phrases", "voice"))
    yield from _repeated((f"{place}.language", row.get("language")) for place, row in phrases)
    for place, row in phrases:
        yield from _unknown("language of this centre", languages, f"{place}.language", row.get("language"))
        for field in ("call", "again", "short"):
            text = row.get(field)
            if not isinstance(text, str) or not text:
                continue
            places = set(re.findall(PLACEHOLDER, text))
            allowed = {"number", "counter", "zone"} | ({"times"} if field == "again" else set())
            if re.search(r"[{}]", re.sub(PLACEHOLDER, "", text)):
                yield Problem(f"{place}.{field}", "has a { or } that opens or closes nothing")
            for missing in sorted({"number", "counter"} - places):
                yield Problem(f"{place}.{field}", f"does not say the {missing}: write {{{missing}}} where it belongs")
            for unknown in sorted(places - allowed):
                yield Problem(f"{place}.{field}", f"{{{unknown}}} is no place here{meant(unknown, allowed)}")
    if voice.get("enabled", True) is True:
        heard = {
            str(zone)
            for _, row in _rows(raw, "boards")
            if row.get("speaks", True) is True and not row.get("counter")
            for _, zone in _texts(row.get("zones"), "")
        }
        shown_at = {str(zone) for _, row in _rows(raw, "boards") for _, zone in _texts(row.get("zones"), "")}
        for place, row in _rows(raw, "zones"):
            if str(row.get("id")) in shown_at - heard:
                yield Problem(place, f"no board speaks the calls of zone {shown(row.get('id'))}", "warning")


_RULES: tuple[Callable[[Raw], Iterator[Problem]], ...] = (
    _repeats,
    _references,
    _clusters,
    _served,
    _zones_used,
    _boards,
    _letters,
    _sounds,
    _counter_ids,
    _hours,
    _calendar,
    _dossier_codes,
    _timezone,
    _policy,
    _readable,
    _voice,
)


# --------------------------------------------------------------------------------------------------------------
# Small helpers.
# --------------------------------------------------------------------------------------------------------------


def minute_of(time: str) -> int:
    """Minutes from midnight of a time written as 07:30."""
    return int(time[:2]) * 60 + int(time[3:])


def _clock(minute: int) -> str:
    return f"{minute // 60:02}:{minute % 60:02}"


def _rows(table: Raw, part: str, inside: str = "") -> Iterator[tuple[str, Raw]]:
    rows = table.get(part)
    for position, row in enumerate(rows if isinstance(rows, list) else []):
        if isinstance(row, dict):
            yield f"{_join(inside, part)}[{position}]", row


def _texts(values: object, place: str) -> Iterator[tuple[str, object]]:
    for position, value in enumerate(values if isinstance(values, list) else []):
        yield f"{place}[{position}]", value


def _table(raw: Raw, part: str) -> Raw:
    table = raw.get(part)
    return table if isinstance(table, dict) else {}


def _spans(table: Raw, part: str, inside: str) -> Iterator[tuple[str, int, int]]:
    for place, row in _rows(table, part, inside):
        start, end = row.get("from"), row.get("to")
        pattern = r"([01][0-9]|2[0-3]):[0-5][0-9]"
        if (
            isinstance(start, str)
            and isinstance(end, str)
            and all(re.fullmatch(pattern, time) for time in (start, end))
        ):
            yield place, minute_of(start), minute_of(end)


def _level(line: Raw) -> int:
    level = line.get("level", 1)
    return level if isinstance(level, int) else 1


def _ids(raw: Raw, part: str) -> list[str]:
    return [row["id"] for _, row in _rows(raw, part) if isinstance(row.get("id"), str)]


def _repeated(entries: Iterable[tuple[str, object]]) -> Iterator[Problem]:
    first: dict[object, str] = {}
    for place, value in entries:
        if isinstance(value, (str, int)):
            if value in first:
                yield Problem(place, f"{shown(value)} is taken already by {first[value]}")
            else:
                first[value] = place


def _unknown(kind: str, known: list[str], place: str, value: object) -> Iterator[Problem]:
    if isinstance(value, str) and value not in known:
        yield Problem(place, f"no {kind} {shown(value)}{meant(value, known)}")


def meant(value: object, known: Iterable[str]) -> str:
    """End a sentence with the known name closest to *value*, or with nothing."""
    close = difflib.get_close_matches(str(value)[:64], known, n=1, cutoff=0.5)
    return f"; did you mean {close[0]!r}?" if close else ""


def shown(value: object, quote: str = "'") -> str:
    """Print a value from the file: quoted, shortened, and with unseen characters spelt out."""
    text = "a huge number" if isinstance(value, int) and value.bit_length() > 1_000 else str(value)
    text = text if len(text) <= 60 else f"{text[:59]}…"
    text = "".join(letter if letter.isprintable() else f"\\u{ord(letter):04x}" for letter in text)
    return f"{quote}{text}{quote}" if isinstance(value, str) else text


def _kind(value: object) -> str:
    if isinstance(value, str):
        return f"the text {shown(value)}"
    if isinstance(value, (bool, int, float)):
        return f"the value {shown(value).lower()}"
    return {dict: "a table", list: "a list", type(None): "nothing"}.get(type(value), f"a {type(value).__name__}")


def _composed(value: str) -> str:
    return unicodedata.normalize("NFC", value)


def _join(place: str, name: str) -> str:
    return f"{place}.{name}" if place else name


def _without_repeats(pairs: list[tuple[str, object]]) -> Raw:
    table = dict(pairs)
    if len(table) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise FaultyCentre([Problem(shown(twice, quote=""), "is written twice in one table")])
    return table
