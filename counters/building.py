"""
The centre as its counters know it: names, numbers and letters, read from the document that the service hands out.

Pure.  Fields that nobody at a counter needs are passed over.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Literal
from zoneinfo import ZoneInfo

import msgspec

from queue_service.texts import Language


class Named(msgspec.Struct, frozen=True, kw_only=True):
    """Something of the centre that has a name."""

    id: str
    name: str
    name_en: str | None = None

    def says(self, language: Language) -> str:
        """The name in *language*; what has no English name keeps its own."""
        return self.name_en if language == "en" and self.name_en else self.name


class Department(Named, frozen=True, kw_only=True):
    """A department and the letter of its numbers."""

    letter: str = ""


class Service(Named, frozen=True, kw_only=True):
    """What a visitor comes for."""

    department: str
    mean_service_s: float = 600


class Serves(msgspec.Struct, frozen=True, kw_only=True):
    """One line that a counter serves, and how directly."""

    service: str
    level: int = 1


class Counter(msgspec.Struct, frozen=True, kw_only=True):
    """A desk."""

    id: str
    number: int
    zone: str = ""
    serves: tuple[Serves, ...] = ()


class PromisedClass(msgspec.Struct, frozen=True, kw_only=True):
    """How long nobody of a class should wait."""

    id: str
    promise_s: int


class Procedure(msgspec.Struct, frozen=True, kw_only=True):
    """A procedure of the catalogue, as lists show it."""

    code: str
    name: str


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """Rules that a counter shows before it is refused by them."""

    calls_before_no_show: int = 1
    classes: tuple[PromisedClass, ...] = ()
    record: Literal["off", "optional", "required"] = "optional"
    """Whether officers say what was done when they complete."""
    outcomes: tuple[Named, ...] = ()


class Building(Named, frozen=True, kw_only=True):
    """The whole centre."""

    timezone: str
    departments: tuple[Department, ...] = ()
    services: tuple[Service, ...] = ()
    counters: tuple[Counter, ...] = ()
    zones: tuple[Named, ...] = ()
    grounds: tuple[Named, ...] = ()
    policy: Policy = Policy()

    def service(self, id: str) -> Service:
        """The service *id*; one that has just been taken out of the centre is known by its id."""
        return next((one for one in self.services if one.id == id), Service(id=id, name=id, department=""))

    def department(self, id: str) -> Department:
        """The department *id*."""
        return next((one for one in self.departments if one.id == id), Department(id=id, name=id))

    def counter(self, id: str) -> Counter | None:
        """The counter *id*, if the centre has one."""
        return next((one for one in self.counters if one.id == id), None)

    def ground(self, id: str | None) -> Named | None:
        """Why somebody has priority."""
        return next((one for one in self.grounds if one.id == id), None)

    def letters(self, counter: str) -> tuple[str, ...]:
        """The letters of the numbers that *counter* calls, its own work first."""
        place = self.counter(counter)
        lines = sorted(place.serves, key=lambda line: line.level) if place else ()
        letters = (self.department(self.service(line.service).department).letter for line in lines)
        return tuple(dict.fromkeys(letter for letter in letters if letter))

    @property
    def limit_s(self) -> int:
        """How long nobody of the standard class should wait."""
        return next((one.promise_s for one in self.policy.classes if one.id == "standard"), 1800)

    def clock(self, ms: int | None) -> str:
        """10:42, in the centre's own time."""
        if ms is None:
            return ""
        return datetime.fromtimestamp(ms / 1000, UTC).astimezone(ZoneInfo(self.timezone)).strftime("%H:%M")
