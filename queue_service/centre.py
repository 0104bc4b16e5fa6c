"""
The building as a value: departments, services, counters, boards and the rules of calling, frozen.

Fed by a TOML or JSON file (``docs/centre-file.md``, read and checked by ``centre_file.py``); feeds dispatch, the store
and every page with one ``Centre``. It knows no ticket, no clock and no Redis: what changes during the day is elsewhere.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterable
from functools import cache, cached_property
from pathlib import Path
from typing import Annotated, Literal, TypeVar

import msgspec
from msgspec import Meta, Struct, field
from msgspec import inspect as shapes

from queue_service.authority import StaffRole
from queue_service.centre_file import (
    AGENCY,
    ANY_MEDIA,
    ANY_SLUG,
    DATE,
    DOSSIER_CODE,
    LANGUAGE,
    LETTER,
    MEDIA,
    MOMENT,
    SLUG,
    TIME,
    FaultyCentre,
    Problem,
    meant,
    minute_of,
    mistakes,
    parse,
    shown,
)
from queue_service.errors import NotFound, UnknownBoard, UnknownCounter, UnknownDepartment, UnknownService

__all__ = [
    "CLASSES",
    "DAYS",
    "AlarmRules",
    "Board",
    "BoardSettings",
    "CallPhrases",
    "Centre",
    "ClassPolicy",
    "Counter",
    "Day",
    "Department",
    "Desk",
    "Dialect",
    "DifferentDay",
    "DossierPolicy",
    "FaultyCentre",
    "Ground",
    "Hours",
    "Kiosk",
    "LetterName",
    "Mode",
    "Notice",
    "Outcome",
    "Policy",
    "Problem",
    "Purpose",
    "Reading",
    "Recording",
    "Serves",
    "Service",
    "Span",
    "TicketClass",
    "Voice",
    "Windows",
    "Zone",
    "build",
    "check",
    "clusters",
    "counter_label",
    "load_centre",
    "parse",
    "to_json",
]

# Bounds are part of the types, so that the check, the decoder and the documented schema cannot part.
Slug = Annotated[str, Meta(pattern=SLUG)]
Letter = Annotated[str, Meta(pattern=LETTER)]
Time = Annotated[str, Meta(pattern=TIME)]
Date = Annotated[str, Meta(pattern=DATE)]
Agency = Annotated[str, Meta(pattern=AGENCY)]
Language = Annotated[str, Meta(pattern=LANGUAGE)]
Name = Annotated[str, Meta(min_length=1, max_length=120)]
Motto = Annotated[str, Meta(max_length=200)]
AnySlug = Annotated[str, Meta(pattern=ANY_SLUG)]
Moment = Annotated[str, Meta(pattern=MOMENT)]
MediaName = Annotated[str, Meta(pattern=MEDIA)]
AnyMedia = Annotated[str, Meta(pattern=ANY_MEDIA)]
Layout = Literal["calls", "counters", "departments", "counter-top"]
MeanSeconds = Annotated[int, Meta(ge=5, le=14_400)]

Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
Mode = Literal["cluster", "counter", "department"]
TicketClass = Literal["standard", "priority", "appointment"]
Purpose = Literal["submit", "collect", "advice"]
Recording = Literal["off", "optional", "required"]
Dialect = Literal["north", "central", "south"]
Reading = Literal["digits", "number"]

DAYS: tuple[Day, ...] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
CLASSES: tuple[TicketClass, ...] = ("standard", "priority", "appointment")


class Span(Struct, frozen=True, forbid_unknown_fields=True):
    """A stretch of one day, local time; the end is not part of it."""

    start: Time = field(name="from")
    end: Time = field(name="to")

    @property
    def start_minute(self) -> int:
        """Minutes from midnight to the start."""
        return minute_of(self.start)

    @property
    def end_minute(self) -> int:
        """Minutes from midnight to the end."""
        return minute_of(self.end)

    def holds(self, minute: int) -> bool:
        """Say whether *minute* of the day lies inside."""
        return self.start_minute <= minute < self.end_minute


class DifferentDay(Struct, frozen=True, forbid_unknown_fields=True):
    """A day that is worked at other hours."""

    day: Date
    sessions: Annotated[tuple[Span, ...], Meta(min_length=1, max_length=12)]


class Hours(Struct, frozen=True, forbid_unknown_fields=True):
    """When counters work and when numbers are given, both in the centre's own time zone."""

    days: Annotated[tuple[Day, ...], Meta(min_length=1, max_length=7)]
    sessions: Annotated[tuple[Span, ...], Meta(min_length=1, max_length=12)]
    ticket_sessions: Annotated[tuple[Span, ...], Meta(min_length=1, max_length=12)]
    off: Annotated[tuple[Date, ...], Meta(max_length=400)] = ()
    """Days off beside the public holidays, which are known."""
    worked: Annotated[tuple[Date, ...], Meta(max_length=400)] = ()
    """Days worked though they are a weekend or a holiday: swapped days."""
    different: Annotated[tuple[DifferentDay, ...], Meta(max_length=400)] = ()

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
    agency: Agency = ""
    """Its own code in dossier codes; empty: the centre's."""


class Service(Struct, frozen=True, forbid_unknown_fields=True):
    """What a visitor comes for; its waiting tickets are one line."""

    id: Slug
    department: Slug
    name: Name
    name_en: Name
    mean_service_s: MeanSeconds
    purpose: Purpose = "submit"
    clusters: Annotated[
        tuple[Annotated[tuple[Slug, ...], Meta(min_length=1, max_length=100)], ...], Meta(max_length=50)
    ] = ()
    """Counters that stand together, as the floor has them; none: the line is cut into runs of about three."""


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


class Notice(Struct, frozen=True, forbid_unknown_fields=True):
    """A sentence for the foot of a board, from one minute to another by the centre's own clock; no time: always."""

    text: Annotated[str, Meta(min_length=1, max_length=200)]
    text_en: Motto = ""
    start: Moment = field(name="from", default="")
    end: Moment = field(name="until", default="")


class BoardSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """What a board shows and how: given by the centre's file, or changed while it runs (``boards.py``)."""

    zones: Annotated[tuple[Slug, ...], Meta(min_length=1, max_length=50)]
    layout: Layout = "calls"
    counter: AnySlug = ""
    """The one counter of a ``counter-top`` display."""
    theme: Literal["day", "night", "auto"] = "day"
    motto: Motto = ""
    """Stands beside the centre's name; none: the centre's slogan."""
    logo: AnyMedia = ""
    notices: Annotated[tuple[Notice, ...], Meta(max_length=12)] = ()
    media: Annotated[tuple[MediaName, ...], Meta(max_length=20)] = ()
    """Pictures and films, one after the other, where they cover no call."""
    picture_s: Annotated[int, Meta(ge=5, le=600)] = 12
    late_s: Annotated[int, Meta(ge=5, le=600)] = 20
    """A call that reaches the board later than this is shown with its time, and not rung."""
    speaks: bool = True
    inches: Annotated[float, Meta(ge=7, le=200)] = 55.0
    distance_m: Annotated[float, Meta(ge=0.3, le=50)] = 12.0


class Board(BoardSettings, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A display in the hall, and what it shows."""

    id: Slug
    name: Name


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


class Outcome(Struct, frozen=True, forbid_unknown_fields=True):
    """How a service at a counter may end."""

    id: Slug
    name: Name
    name_en: Name


class AlarmRules(Struct, frozen=True, forbid_unknown_fields=True):
    """From when on supervisors are told that something should be looked at."""

    warn_share: Annotated[float, Meta(ge=0.1, le=1)] = 0.8
    """Of the wait promised to a class."""
    idle_s: Annotated[int, Meta(ge=10, le=3_600)] = 120
    ready_s: Annotated[int, Meta(ge=60, le=14_400)] = 900
    paused_s: Annotated[int, Meta(ge=60, le=14_400)] = 1_200
    means: Annotated[float, Meta(ge=1, le=20)] = 3.0
    """Times the mean that one visitor may take."""
    silent_s: Annotated[int, Meta(ge=120, le=14_400)] = 180


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
    no_show_returns: Annotated[int, Meta(ge=0, le=9)] = 1
    late_back_places: Annotated[int, Meta(ge=0, le=99)] = 3
    undo_s: Annotated[int, Meta(ge=0, le=600)] = 60
    auto_ready: bool = True
    enforce_hours: bool = False
    second_factor: Annotated[tuple[StaffRole, ...], Meta(max_length=8)] = ()
    """The roles that sign in with an authenticator only."""
    transfer_age_cap_s: Annotated[int, Meta(ge=0, le=14_400)] = 900
    alarms: AlarmRules = AlarmRules()
    record: Recording = "optional"
    """Whether officers say what was done when they complete."""
    outcomes: Annotated[tuple[Outcome, ...], Meta(min_length=1, max_length=12)] = (
        Outcome("done", "Đã giải quyết", "Done"),
        Outcome("incomplete", "Hồ sơ chưa đủ", "Papers incomplete"),
        Outcome("referred", "Hướng dẫn nơi khác", "Referred elsewhere"),
        Outcome("declined", "Không tiếp nhận", "Not accepted"),
    )

    def promise_s(self, cls: TicketClass) -> int:
        """Seconds of waiting promised to *cls*."""
        return self.classes[CLASSES.index(cls)].promise_s

    def window(self, mode: Mode) -> int:
        """Counted seconds allowed to a printed ticket of a department in *mode*."""
        windows = self.window_s
        return {"counter": windows.counter, "cluster": windows.cluster, "department": windows.department}[mode]


class CallPhrases(Struct, frozen=True, forbid_unknown_fields=True):
    """What the voice says in one language, instead of what the language's pack says."""

    language: Language
    call: Motto
    again: Motto = ""
    short: Motto = ""


class LetterName(Struct, frozen=True, forbid_unknown_fields=True):
    """What the voice calls a letter of the tickets, instead of what the language's pack says."""

    letter: Letter
    name: Name
    language: Language = "vi"


class Voice(Struct, frozen=True, forbid_unknown_fields=True):
    """How calls are spoken in the hall."""

    enabled: bool = True
    languages: Annotated[tuple[Language, ...], Meta(max_length=12)] = ()
    """The first is always spoken, the others when the ticket asks; none: the languages of the centre."""
    dialect: Dialect = "north"
    numbers: Reading = "digits"
    rate: Annotated[float, Meta(ge=0.5, le=2)] = 0.9
    volume: Annotated[int, Meta(ge=0, le=100)] = 80
    repeats: Annotated[int, Meta(ge=1, le=3)] = 2
    chime: bool = True
    max_lag_s: Annotated[int, Meta(ge=5, le=300)] = 45
    late_s: Annotated[int, Meta(ge=5, le=300)] = 20
    clip_pack: Motto = ""
    phrases: Annotated[tuple[CallPhrases, ...], Meta(max_length=12)] = ()
    letters: Annotated[tuple[LetterName, ...], Meta(max_length=100)] = ()


class DossierPolicy(Struct, frozen=True, forbid_unknown_fields=True):
    """How dossiers are numbered and how their time limits run."""

    agency: Agency = ""
    """The centre's code in dossier codes; empty: its id in capitals, which no real code looks like."""
    code: Annotated[str, Meta(pattern=DOSSIER_CODE)] = "{agency}-{yymmdd}-{sequence}"
    digits: Annotated[int, Meta(ge=3, le=9)] = 4
    days: Annotated[tuple[Day, ...], Meta(min_length=1, max_length=7)] = DAYS[:5]
    """Weekdays that count towards a limit; a hall may be open on more."""
    cut_off: Time = "15:00"
    """Limits shorter than a day begin the next working day for what comes at this time or later."""
    extensions: Annotated[int, Meta(ge=0, le=9)] = 1
    """How often a dossier may be promised for a later day."""


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
    voice: Voice = Voice()
    dossiers: DossierPolicy = DossierPolicy()

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
    by one at most, the longer runs first. A line nobody serves has no cluster. Where the file groups the counters of a
    service, those groups hold; a counter outside them helps, and no slip names it.
    """
    if grouped := centre.service(service).clusters:
        return tuple(tuple(centre.counter(id) for id in run) for run in grouped)
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


# Reading a file.


def load_centre(path: str | Path) -> Centre:
    """
    Read, check and freeze a centre; a name ending in ``.json`` is JSON, anything else is TOML.

    Raises:
        FaultyCentre: with every mistake and its place in the file.
        OSError: the file cannot be read.
    """
    path = Path(path)
    return build(parse(path.read_bytes(), "json" if path.suffix == ".json" else "toml"))


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
    """Find every mistake in the plain values of a file, errors and warnings, each with its place."""
    return list(mistakes(raw, _shape()))


@cache
def _shape() -> shapes.Type:
    return shapes.type_info(Centre)


T = TypeVar("T")


def _found(known: dict[str, T], refusal: type[NotFound], kind: str, id: str) -> T:
    try:
        return known[id]
    except KeyError:
        raise refusal(f"this centre has no {kind} {shown(id)}{meant(id, known)}") from None
