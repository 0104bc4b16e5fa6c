"""
The building as a value: what a centre is, how its file is read, and everything that can be wrong with it.

Fed by a TOML or JSON file (``docs/centre-file.md``); feeds dispatch, the store and every page with one frozen
``Centre``. It knows no ticket, no clock and no Redis: what changes during the day is elsewhere.
"""

from __future__ import annotations

import difflib
import hashlib
import itertools
import json
import re
import tomllib
import unicodedata
import zoneinfo
from collections.abc import Callable, Iterable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, TypeVar

import msgspec
from msgspec import Meta, Struct, field
from msgspec import inspect as shapes

from queue_service.errors import NotFound, UnknownBoard, UnknownCounter, UnknownDepartment, UnknownService

# --------------------------------------------------------------------------------------------------------------
# The value. Bounds are part of the types, so that the check, the decoder and the documented schema cannot part.
# --------------------------------------------------------------------------------------------------------------

Slug = Annotated[str, Meta(pattern=r"\A[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?\Z")]
Letter = Annotated[str, Meta(pattern=r"\A[A-Z]\Z")]
Time = Annotated[str, Meta(pattern=r"\A([01][0-9]|2[0-3]):[0-5][0-9]\Z")]
Language = Annotated[str, Meta(pattern=r"\A[a-z]{2,3}\Z")]
Name = Annotated[str, Meta(min_length=1, max_length=120)]
Motto = Annotated[str, Meta(max_length=200)]
MeanSeconds = Annotated[int, Meta(ge=5, le=14_400)]

Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
Mode = Literal["cluster", "counter", "department"]
TicketClass = Literal["standard", "priority", "appointment"]
Purpose = Literal["submit", "collect", "advice"]

DAYS: tuple[Day, ...] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
CLASSES: tuple[TicketClass, ...] = ("standard", "priority", "appointment")


class Span(Struct, frozen=True, forbid_unknown_fields=True):
    """A stretch of one day, local time; the end is not part of it."""

    start: Time = field(name="from")
    end: Time = field(name="to")

    @property
    def start_minute(self) -> int:
        """Minutes from midnight to the start."""
        return _minute(self.start)

    @property
    def end_minute(self) -> int:
        """Minutes from midnight to the end."""
        return _minute(self.end)

    def holds(self, minute: int) -> bool:
        """Say whether *minute* of the day lies inside."""
        return self.start_minute <= minute < self.end_minute


class Hours(Struct, frozen=True, forbid_unknown_fields=True):
    """When counters work and when numbers are given, both in the centre's own time zone."""

    days: Annotated[tuple[Day, ...], Meta(min_length=1, max_length=7)]
    sessions: Annotated[tuple[Span, ...], Meta(min_length=1, max_length=12)]
    ticket_sessions: Annotated[tuple[Span, ...], Meta(min_length=1, max_length=12)]

    def is_open(self, weekday: int, minute: int) -> bool:
        """Say whether counters work; *weekday* is 0 for Monday, *minute* counts from midnight."""
        return DAYS[weekday] in self.days and any(span.holds(minute) for span in self.sessions)

    def is_issuing(self, weekday: int, minute: int) -> bool:
        """Say whether numbers are given; *weekday* is 0 for Monday, *minute* counts from midnight."""
        return DAYS[weekday] in self.days and any(span.holds(minute) for span in self.ticket_sessions)


class Zone(Struct, frozen=True, forbid_unknown_fields=True):
    """A part of the hall with its own loudspeaker."""

    id: Slug
    name: Name
    name_en: Name


class Department(Struct, frozen=True, forbid_unknown_fields=True):
    """Services under one roof sign, with one letter and one number sequence a day."""

    id: Slug
    name: Name
    name_en: Name
    letter: Letter
    daily_cap: Annotated[int, Meta(ge=1, le=999)] = 999
    mode: Mode = "cluster"


class Service(Struct, frozen=True, forbid_unknown_fields=True):
    """What a visitor comes for; its waiting tickets are one line."""

    id: Slug
    department: Slug
    name: Name
    name_en: Name
    mean_service_s: MeanSeconds
    purpose: Purpose = "submit"


class Serves(Struct, frozen=True, forbid_unknown_fields=True):
    """One line a counter may call from: level 1 is its own work, 2 and more is help when its own line is short."""

    service: Slug
    level: Annotated[int, Meta(ge=1, le=9)] = 1


class Counter(Struct, frozen=True, forbid_unknown_fields=True):
    """A numbered desk where staff serve."""

    id: Slug
    number: Annotated[int, Meta(ge=1, le=999)]
    name: Name
    zone: Slug
    serves: Annotated[tuple[Serves, ...], Meta(max_length=100)]

    def level(self, service: str) -> int | None:
        """Preference for *service*, or None where this counter does not serve it."""
        return next((line.level for line in self.serves if line.service == service), None)


class Board(Struct, frozen=True, forbid_unknown_fields=True):
    """A display in the hall and the zones whose calls it shows."""

    id: Slug
    name: Name
    zones: Annotated[tuple[Slug, ...], Meta(min_length=1, max_length=50)]
    layout: Literal["landscape", "portrait"] = "landscape"
    inches: Annotated[float, Meta(ge=7, le=200)] = 55.0
    distance_m: Annotated[float, Meta(ge=0.3, le=50)] = 12.0


class Kiosk(Struct, frozen=True, forbid_unknown_fields=True):
    """A machine where visitors take a number."""

    id: Slug
    name: Name
    zone: Slug


class Desk(Struct, frozen=True, forbid_unknown_fields=True):
    """A guidance desk."""

    id: Slug
    name: Name


class Ground(Struct, frozen=True, forbid_unknown_fields=True):
    """A reason to be called sooner, one tap at the kiosk; no proof is kept."""

    id: Slug
    name: Name
    name_en: Name
    cls: Literal["priority"] = "priority"


class ClassPolicy(Struct, frozen=True, forbid_unknown_fields=True):
    """The wait promised to one class; the ratio of two promises is how much faster the shorter one ages."""

    id: TicketClass
    promise_s: Annotated[int, Meta(ge=30, le=14_400)]


class Windows(Struct, frozen=True, forbid_unknown_fields=True):
    """Counted seconds by which a ticket printed for a counter may pass the oldest one, per mode of the department."""

    counter: Annotated[int, Meta(ge=0, le=3_600)] = 300
    cluster: Annotated[int, Meta(ge=0, le=3_600)] = 180
    department: Annotated[int, Meta(ge=0, le=3_600)] = 0


class Policy(Struct, frozen=True, forbid_unknown_fields=True):
    """The rules a centre may set; the defaults are the measured ones."""

    classes: Annotated[tuple[ClassPolicy, ...], Meta(min_length=3, max_length=3)] = (
        ClassPolicy("standard", 1800),
        ClassPolicy("priority", 300),
        ClassPolicy("appointment", 300),
    )
    handicap_s: Annotated[int, Meta(ge=0, le=3_600)] = 120
    kappa: Annotated[float, Meta(ge=0, le=10)] = 1.0
    window_s: Windows = Windows()
    calls_before_no_show: Annotated[int, Meta(ge=1, le=10)] = 3
    no_show_back_places: Annotated[int, Meta(ge=0, le=99)] = 3
    late_back_places: Annotated[int, Meta(ge=0, le=99)] = 3
    undo_s: Annotated[int, Meta(ge=0, le=600)] = 60
    auto_ready: bool = True
    transfer_age_cap_s: Annotated[int, Meta(ge=0, le=14_400)] = 900

    def promise_s(self, cls: TicketClass) -> int:
        """Seconds of waiting promised to *cls*."""
        return self.classes[CLASSES.index(cls)].promise_s

    def window(self, mode: Mode) -> int:
        """Counted seconds allowed to a printed ticket of a department in *mode*."""
        match mode:
            case "counter":
                return self.window_s.counter
            case "cluster":
                return self.window_s.cluster
            case "department":
                return self.window_s.department


class Centre(Struct, frozen=True, forbid_unknown_fields=True, dict=True):
    """
    One building and its rules; a change makes a new value with a new version.

    Lookups by id refuse an id that is not here: UnknownDepartment, UnknownService, UnknownCounter, UnknownBoard, else
    NotFound.
    """

    id: Slug
    name: Name
    name_en: Name
    level: Literal["province", "commune"]
    hours: Hours
    zones: Annotated[tuple[Zone, ...], Meta(min_length=1, max_length=50)]
    departments: Annotated[tuple[Department, ...], Meta(min_length=1, max_length=26)]
    services: Annotated[tuple[Service, ...], Meta(min_length=1, max_length=500)]
    counters: Annotated[tuple[Counter, ...], Meta(min_length=1, max_length=500)]
    fictional: bool = False
    slogan: Motto = ""
    timezone: Name = "Asia/Ho_Chi_Minh"
    languages: Annotated[tuple[Language, ...], Meta(min_length=1, max_length=12)] = ("vi", "en")
    boards: Annotated[tuple[Board, ...], Meta(max_length=200)] = ()
    kiosks: Annotated[tuple[Kiosk, ...], Meta(max_length=200)] = ()
    desks: Annotated[tuple[Desk, ...], Meta(max_length=200)] = ()
    grounds: Annotated[tuple[Ground, ...], Meta(max_length=50)] = ()
    policy: Policy = Policy()

    @cached_property
    def version(self) -> str:
        """Twelve hexadecimal digits that change whenever anything in the file's meaning changes."""
        return hashlib.sha256(to_json(self)).hexdigest()[:12]

    def zone(self, id: str) -> Zone:
        """Return the zone."""
        return _found(self._zones, NotFound, "zone", id)

    def department(self, id: str) -> Department:
        """Return the department."""
        return _found(self._departments, UnknownDepartment, "department", id)

    def service(self, id: str) -> Service:
        """Return the service."""
        return _found(self._services, UnknownService, "service", id)

    def counter(self, id: str) -> Counter:
        """Return the counter."""
        return _found(self._counters, UnknownCounter, "counter", id)

    def board(self, id: str) -> Board:
        """Return the board."""
        return _found(self._boards, UnknownBoard, "board", id)

    def kiosk(self, id: str) -> Kiosk:
        """Return the kiosk."""
        return _found(self._kiosks, NotFound, "kiosk", id)

    def desk(self, id: str) -> Desk:
        """Return the guidance desk."""
        return _found(self._desks, NotFound, "desk", id)

    def ground(self, id: str) -> Ground:
        """Return the priority ground."""
        return _found(self._grounds, NotFound, "ground", id)

    def department_of(self, service: str) -> Department:
        """Return the department whose letter and sequence a ticket of *service* gets."""
        return self.department(self.service(service).department)

    def services_in(self, department: str) -> tuple[Service, ...]:
        """Services of a department, in the order of the file."""
        return _found(self._services_in, UnknownDepartment, "department", department)

    def services_of(self, counter: str) -> tuple[Service, ...]:
        """Services a counter may call from: its own work first, then overflow, each in its own order."""
        return _found(self._services_of, UnknownCounter, "counter", counter)

    def counters_of(self, service: str) -> tuple[Counter, ...]:
        """Counters that may call a line, ordered by (level, number of lines, place in the file)."""
        return _found(self._counters_of, UnknownService, "service", service)

    @cached_property
    def _zones(self) -> dict[str, Zone]:
        return {zone.id: zone for zone in self.zones}

    @cached_property
    def _departments(self) -> dict[str, Department]:
        return {department.id: department for department in self.departments}

    @cached_property
    def _services(self) -> dict[str, Service]:
        return {service.id: service for service in self.services}

    @cached_property
    def _counters(self) -> dict[str, Counter]:
        return {counter.id: counter for counter in self.counters}

    @cached_property
    def _boards(self) -> dict[str, Board]:
        return {board.id: board for board in self.boards}

    @cached_property
    def _kiosks(self) -> dict[str, Kiosk]:
        return {kiosk.id: kiosk for kiosk in self.kiosks}

    @cached_property
    def _desks(self) -> dict[str, Desk]:
        return {desk.id: desk for desk in self.desks}

    @cached_property
    def _grounds(self) -> dict[str, Ground]:
        return {ground.id: ground for ground in self.grounds}

    @cached_property
    def _services_in(self) -> dict[str, tuple[Service, ...]]:
        return {
            department.id: tuple(service for service in self.services if service.department == department.id)
            for department in self.departments
        }

    @cached_property
    def _services_of(self) -> dict[str, tuple[Service, ...]]:
        return {
            counter.id: tuple(
                self.service(line.service) for line in sorted(counter.serves, key=lambda line: line.level)
            )
            for counter in self.counters
        }

    @cached_property
    def _counters_of(self) -> dict[str, tuple[Counter, ...]]:
        ranked: dict[str, list[tuple[int, int, int]]] = {service.id: [] for service in self.services}
        for place, counter in enumerate(self.counters):
            for line in counter.serves:
                ranked[line.service].append((line.level, len(counter.serves), place))
        return {
            service: tuple(self.counters[place] for _, _, place in sorted(ranks)) for service, ranks in ranked.items()
        }


def clusters(centre: Centre, service: str) -> tuple[tuple[Counter, ...], ...]:
    """
    Cut the counters of a line into the neighbourhoods a ticket may name, of about three counters each.

    The counters keep the order of ``counters_of``; there are ``max(1, floor(n/3 + 1/2))`` runs whose sizes differ
    by one at most, the longer runs first. A line nobody serves has no cluster.
    """
    counters = centre.counters_of(service)
    if not counters:
        return ()
    runs = max(1, (2 * len(counters) + 3) // 6)
    size, longer = divmod(len(counters), runs)
    ends = [run * size + min(run, longer) for run in range(runs + 1)]
    return tuple(counters[start:end] for start, end in itertools.pairwise(ends))


def counter_label(numbers: Iterable[int]) -> str:
    """Write a set of counter numbers as people read it: ``5``, ``5–7``, ``5, 8``, ``1–3, 7``."""
    runs: list[list[int]] = []
    for number in sorted(set(numbers)):
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ", ".join(str(run[0]) if len(run) == 1 else f"{run[0]}–{run[-1]}" for run in runs)


# --------------------------------------------------------------------------------------------------------------
# Reading a file.
# --------------------------------------------------------------------------------------------------------------


class Problem(NamedTuple):
    """One mistake: where in the file, what is wrong in a sentence, and whether it stops the file from being used."""

    place: str
    sentence: str
    severity: Literal["error", "warning"] = "error"

    def __str__(self) -> str:
        return f"{self.place}: {self.sentence}" if self.place else self.sentence


class FaultyCentre(ValueError):
    """The file does not describe a usable centre; ``problems`` holds every mistake found, warnings included."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems if problem.severity == "error"))


def load_centre(path: str | Path) -> Centre:
    """
    Read, check and freeze a centre; a name ending in ``.json`` is JSON, anything else is TOML.

    Raises:
        FaultyCentre: with every mistake and its place in the file.
        OSError: the file cannot be read.
    """
    path = Path(path)
    return build(parse(path.read_bytes(), "json" if path.suffix == ".json" else "toml"))


def parse(content: bytes, kind: Literal["toml", "json"]) -> object:
    """
    Turn the bytes of a file into plain values, without judging them; ``check`` and ``build`` take what it gives.

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
        fault = Problem(where.rstrip(")") or "the file", f"is not TOML: {sentence}")
    except json.JSONDecodeError as error:
        fault = Problem(f"line {error.lineno}, column {error.colno}", f"is not JSON: {error.msg}")
    except RecursionError:
        fault = Problem("the file", "is nested too deeply to be a centre")
    raise FaultyCentre([fault])


def build(raw: object) -> Centre:
    """
    Freeze plain values into a Centre; warnings do not stop it.

    Raises:
        FaultyCentre: ``check`` found at least one error.
    """
    problems = check(raw)
    if any(problem.severity == "error" for problem in problems):
        raise FaultyCentre(problems)
    return msgspec.convert(raw, Centre)


def to_json(centre: Centre) -> bytes:
    """Write a centre as canonical JSON: the same shape as the file, equal bytes for equal centres."""
    return msgspec.json.encode(centre, order="deterministic")


def check(raw: object) -> list[Problem]:
    """Find every mistake in the plain values of a file: first what has the wrong shape, then what makes no sense."""
    problems = list(_misshapen(raw, shapes.type_info(Centre), ""))
    if isinstance(raw, dict):
        for rule in _RULES:
            problems += rule(raw)
    return problems


# --------------------------------------------------------------------------------------------------------------
# Shape: one walk along the types above, so that all faults are found and not only the first.
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
                yield Problem(place, f"{_shown(value)} is not one of {', '.join(choices)}{_meant(value, choices)}")
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
            yield Problem(_join(place, _shown(key, quote="")), f"is not a setting here{_meant(key, free)}")
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
        yield Problem(place, f"is {_shown(value, quote='')}; it must lie between {low} and {high}")


_PATTERNS = {
    shapes.type_info(Slug): "is not an id: use 1 to 32 of a–z, 0–9 and hyphens, no hyphen at either end",
    shapes.type_info(Letter): "is not a letter for tickets: use one capital from A to Z",
    shapes.type_info(Time): "is not a time of day: write hours and minutes as 07:30",
    shapes.type_info(Language): "is not a language: use its code of two or three small letters, such as vi",
}


def _misshapen_text(value: object, shape: shapes.StrType, place: str) -> Iterator[Problem]:
    if not isinstance(value, str):
        yield Problem(place, f"must be text in quotes, not {_kind(value)}")
    elif shape.pattern is not None:
        if not re.search(shape.pattern, value):
            yield Problem(place, f"{_shown(value)} {_PATTERNS[shape]}{_repaired(value, shape.pattern)}")
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
        yield Problem(place, f"has accents typed apart from their letters; write {_shown(_composed(value))} (NFC)")
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

Raw = dict[str, Any]
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
                place, f"has no service of its own: add a service with id {_shown(id)} and department the same"
            )
        if not any(department == id and service in levels for service, department in owner.items()):
            yield Problem(place, f"nobody serves {_shown(id)}: add one of its services to a counter")
    for place, row in _rows(raw, "services"):
        id = row.get("id")
        if isinstance(id, str) and id not in levels:
            yield Problem(place, f"no counter serves {_shown(id)}")
        elif isinstance(id, str) and min(levels[id]) > 1:
            yield Problem(place, f"{_shown(id)} is served only as overflow: no counter has it at level 1", "warning")


def _zones_used(raw: Raw) -> Iterator[Problem]:
    """A zone holds counters, and their calls are shown somewhere."""
    used = {str(row.get("zone")) for _, row in _rows(raw, "counters")}
    shown = {str(zone) for _, row in _rows(raw, "boards") for _, zone in _texts(row.get("zones"), "")}
    for place, row in _rows(raw, "zones"):
        id = str(row.get("id"))
        if id not in used:
            yield Problem(place, f"no counter stands in zone {_shown(id)}", "warning")
        elif id not in shown:
            yield Problem(place, f"no board shows zone {_shown(id)}: its calls would be heard only", "warning")


def _letters(raw: Raw) -> Iterator[Problem]:
    """Letters can be read, and neighbours can be told apart by ear."""
    letter_of: dict[str, str] = {}
    for place, row in _rows(raw, "departments"):
        letter = row.get("letter")
        if not isinstance(letter, str):
            continue
        letter_of[str(row.get("id"))] = letter
        if letter in MISREAD:
            yield Problem(f"{place}.letter", f"{letter} is not used on tickets: it is taken for {MISREAD[letter]}")
        if letter == "Y":
            yield Problem(f"{place}.letter", "Y is spoken like I and is long to say; prefer another letter", "warning")
    owner = {str(row.get("id")): str(row.get("department")) for _, row in _rows(raw, "services")}
    warned: set[frozenset[str]] = set()
    for place, numbers, letters in _neighbours(raw, owner, letter_of):
        for first in sorted(letters):
            for second in sorted(letters):
                pair = frozenset((first, second))
                if first < second and pair not in warned and any(pair <= group for group in ALIKE):
                    warned.add(pair)
                    where = f"counter {numbers}" if len(numbers) == 1 else f"counters {counter_label(numbers)}"
                    sentence = f"letters {first} and {second} sound alike and are both called at {where}"
                    yield Problem(place, f"{sentence}; give one department another letter", "warning")


def _neighbours(
    raw: Raw, owner: dict[str, str], letter_of: dict[str, str]
) -> Iterator[tuple[str, tuple[int, ...], set[str]]]:
    """Letters called at one counter, then at two that stand side by side in one zone; own work only."""
    standing: dict[tuple[str, int], set[str]] = {}
    places: dict[tuple[str, int], str] = {}
    for place, row in _rows(raw, "counters"):
        number = row.get("number")
        if isinstance(number, int):
            own = [owner.get(str(line.get("service")), "") for _, line in _rows(row, "serves") if _level(line) == 1]
            standing[str(row.get("zone")), number] = {letter_of[id] for id in own if id in letter_of}
            places[str(row.get("zone")), number] = place
    for (zone, number), letters in standing.items():
        yield places[zone, number], (number,), letters
        beside = standing.get((zone, number + 1), set())
        yield places[zone, number], (number, number + 1), letters | beside


def _counter_ids(raw: Raw) -> Iterator[Problem]:
    """A counter whose id holds another number than its sign is pressed by mistake sooner or later."""
    for place, row in _rows(raw, "counters"):
        id, number = row.get("id"), row.get("number")
        digits = re.fullmatch(r"[a-z-]*0*([0-9]+)", id) if isinstance(id, str) else None
        if digits and isinstance(number, int) and int(digits[1]) != number:
            yield Problem(f"{place}.number", f"is {number} but the id is {_shown(id)}", "warning")


def _hours(raw: Raw) -> Iterator[Problem]:
    """Sessions run forward, in order, without overlap; numbers are given while somebody will still serve them."""
    hours = _table(raw, "hours")
    spans = {part: list(_spans(hours, part)) for part in ("sessions", "ticket_sessions")}
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


def _timezone(raw: Raw) -> Iterator[Problem]:
    """The time zone is one the machine knows."""
    name = raw.get("timezone")
    if isinstance(name, str) and name and name not in zoneinfo.available_timezones():
        yield Problem("timezone", f"no time zone {_shown(name)}{_meant(name, zoneinfo.available_timezones())}")


def _policy(raw: Raw) -> Iterator[Problem]:
    """Rules agree with one another."""
    policy = _table(raw, "policy")
    classes = [(place, row) for place, row in _rows(policy, "classes", "policy")]
    ids = [row.get("id") for _, row in classes]
    if ids and ids != list(CLASSES):
        yield Problem("policy.classes", f"must list {', '.join(CLASSES)}, once each and in this order")
    promises = {str(row.get("id")): row.get("promise_s") for _, row in classes}
    standard = promises.get("standard", 1800)
    if not isinstance(standard, int):
        return
    for place, row in classes:
        promise = row.get("promise_s")
        if row.get("id") != "standard" and isinstance(promise, int) and promise > standard:
            sentence = f"promises {promise} s to {row.get('id')}, longer than the {standard} s of standard"
            yield Problem(f"{place}.promise_s", f"{sentence}: it would be called later, not sooner")
    windows = _table(policy, "window_s")
    for mode in ("counter", "cluster"):
        window = windows.get(mode)
        if isinstance(window, int) and window > standard:
            sentence = f"is {window}, longer than the standard promise of {standard} s"
            yield Problem(f"policy.window_s.{mode}", f"{sentence}: a ticket could be passed for its whole wait")
    if isinstance(windows.get("department"), int) and windows["department"] > 0:
        sentence = "has no effect: in department mode a ticket is printed for every counter; leave it at 0"
        yield Problem("policy.window_s.department", sentence, "warning")


def _readable(raw: Raw) -> Iterator[Problem]:
    """A board's letters are tall enough for its farthest reader: cap height at least the distance / 200."""
    for place, row in _rows(raw, "boards"):
        inches, distance_m = row.get("inches", 55), row.get("distance_m", 12)
        if isinstance(inches, (int, float)) and isinstance(distance_m, (int, float)) and inches > 0:
            # One call and five rows need a row of 12 % of the shorter side (16:9), of which 8.9 % is cap height.
            most_m = inches * 25.4 * 0.4903 * 0.089 * 200 / 1000
            if distance_m > most_m:
                sentence = f"a {inches:g}-inch screen is read from {most_m:.0f} m at most, not {distance_m:g} m"
                yield Problem(f"{place}.distance_m", f"{sentence}; use a larger screen or more boards", "warning")


_RULES: tuple[Callable[[Raw], Iterator[Problem]], ...] = (
    _repeats,
    _references,
    _served,
    _zones_used,
    _letters,
    _counter_ids,
    _hours,
    _timezone,
    _policy,
    _readable,
)


# --------------------------------------------------------------------------------------------------------------
# Small helpers.
# --------------------------------------------------------------------------------------------------------------

T = TypeVar("T")


def _found(known: dict[str, T], refusal: type[NotFound], kind: str, id: str) -> T:
    try:
        return known[id]
    except KeyError:
        raise refusal(f"this centre has no {kind} {_shown(id)}{_meant(id, known)}") from None


def _minute(time: str) -> int:
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


def _spans(hours: Raw, part: str) -> Iterator[tuple[str, int, int]]:
    for place, row in _rows(hours, part, "hours"):
        start, end = row.get("from"), row.get("to")
        pattern = r"([01][0-9]|2[0-3]):[0-5][0-9]"
        if (
            isinstance(start, str)
            and isinstance(end, str)
            and all(re.fullmatch(pattern, time) for time in (start, end))
        ):
            yield place, _minute(start), _minute(end)


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
                yield Problem(place, f"{_shown(value)} is taken already by {first[value]}")
            else:
                first[value] = place


def _unknown(kind: str, known: list[str], place: str, value: object) -> Iterator[Problem]:
    if isinstance(value, str) and value not in known:
        yield Problem(place, f"no {kind} {_shown(value)}{_meant(value, known)}")


def _meant(value: object, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(str(value)[:64], known, n=1, cutoff=0.5)
    return f"; did you mean {close[0]!r}?" if close else ""


def _shown(value: object, quote: str = "'") -> str:
    """Print a value from the file: quoted, shortened, and with unseen characters spelt out."""
    text = str(value)
    text = text if len(text) <= 60 else f"{text[:59]}…"
    text = "".join(letter if letter.isprintable() else f"\\u{ord(letter):04x}" for letter in text)
    return f"{quote}{text}{quote}" if isinstance(value, str) else text


def _kind(value: object) -> str:
    if isinstance(value, str):
        return f"the text {_shown(value)}"
    if isinstance(value, (bool, int, float)):
        return f"the value {str(value).lower()}"
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
        raise FaultyCentre([Problem(_shown(twice, quote=""), "is written twice in one table")])
    return table
