"""
What will be pressed, by whom and when: decided before the run and the same for the same seed.

Pure.  A scenario (``scenarios/*.toml``) and a day profile give arrivals, counter rounds and screens; `drive` and
`screens` carry them out on time or late, so that a stalled service cannot slow the questions down.  Knows no service
and no clock: times are nanoseconds from the start of the run.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import msgspec

SECOND = 1_000_000_000
RESULTS = "tra-ket-qua"
"""The service of those who come to collect; the profiles count them under their departments."""


class Lognormal(msgspec.Struct, frozen=True, kw_only=True):
    """A duration as the day profiles give it."""

    mean_s: float
    cv: float

    def draw(self, rng: random.Random) -> float:
        """One duration in seconds."""
        variance = math.log(1 + self.cv**2)
        return rng.lognormvariate(math.log(self.mean_s) - variance / 2, math.sqrt(variance))


class Slot(msgspec.Struct, frozen=True, kw_only=True):
    """A stretch of the day, in seconds from midnight, and the share of the day's visitors who arrive in it."""

    from_s: int
    to_s: int
    share: float


class DayProfile(msgspec.Struct, frozen=True, kw_only=True):
    """How many come to a centre, when, for what, and how they behave."""

    visitors: dict[str, int]
    slots: tuple[Slot, ...]
    services: dict[str, float]
    """Service -> share of the visitors; those who collect a result are a service of their own."""
    service_times: dict[str, Lognormal]
    walk: Lognormal
    wrap_up: Lognormal
    priority_share: float
    no_show_share: float
    transfer_share: float
    missing_papers_share: float


def read_profile(raw: bytes, name: str) -> DayProfile:
    """
    The profile *name* of a ``day-profiles.json``.

    Raises:
        ValueError: the file has no such profile, or it is of another shape.
    """
    try:
        profile = msgspec.json.decode(raw)["profiles"][name]
        return _profile(profile)
    except (KeyError, TypeError, msgspec.DecodeError) as error:
        raise ValueError(f"day profiles: no usable profile {name!r} ({error})") from error


def _profile(profile: Mapping[str, Any]) -> DayProfile:
    collect = profile["visit_purposes"]["shares"]["collect_result"]
    slot_s = profile["arrivals"]["slot_minutes"] * 60
    starts = [(clock_s(slot["from"]), slot["share"]) for slot in profile["arrivals"]["slots"]]
    departments = {row["department"].lower(): row for row in profile["departments"]}
    return DayProfile(
        visitors={level: row["value"] for level, row in profile["visitors_per_day"].items()},
        slots=tuple(Slot(from_s=start, to_s=start + slot_s, share=share) for start, share in starts),
        services={RESULTS: collect} | {name: row["share"] * (1 - collect) for name, row in departments.items()},
        service_times={RESULTS: _lognormal(profile["results_service"])}
        | {name: _lognormal(row["service"]) for name, row in departments.items()},
        walk=_lognormal(profile["walk_to_counter"]),
        wrap_up=_lognormal(profile["wrap_up_after_service"]),
        priority_share=profile["priority_share"]["value"],
        no_show_share=profile["no_show_share"]["value"],
        transfer_share=profile["transfer_share"]["value"],
        missing_papers_share=profile["incomplete_share"]["value"],
    )


def _lognormal(row: Mapping[str, Any]) -> Lognormal:
    return Lognormal(mean_s=row["mean_minutes"] * 60, cv=row["cv"])


def clock_s(text: str) -> int:
    """``HH:MM`` as seconds from midnight."""
    hours, minutes = text.split(":")
    return int(hours) * 3600 + int(minutes) * 60


class Scenario(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """
    One run, as its TOML file says it.

    ``pace = "profile"`` follows the day profile, sped up; ``pace = "flood"`` presses as soon as the last press was
    answered.
    """

    name: str
    centre: str = "demo-tinh"
    profile: str = "province"
    level: str = "peak"
    pace: Literal["profile", "flood"] = "profile"
    start: str = "07:30"
    speed: float = 60.0
    seconds: float = 60.0
    seed: int = 1
    kiosks: int = 4
    counters: int = 40
    screens: int = 60
    late_screens: float = 0.1
    """Share of the screens that join in the middle of the run."""
    screen_cuts: float = 0.5
    """Cuts per screen and run."""
    screen_reloads: float = 0.3
    """Share of the cuts after which the screen has forgotten its place."""
    double_share: float = 0.05
    """Presses sent twice at once under one key."""
    cut_share: float = 0.05
    """Presses whose connection is cut before the answer and which are then repeated."""
    no_show_share: float | None = None
    park_share: float | None = None
    transfer_share: float | None = None
    priority_share: float | None = None
    flood_tickets: int = 150
    """
    Tickets of a flood; the service hands out no more than one a second at a kiosk, so visitors are sent on and on.
    """
    most_presses: int = 200_000
    """The plan ends there, whatever the seconds say."""


def read_scenario(raw: bytes) -> Scenario:
    """
    A scenario file.

    Raises:
        ValueError: with the place in the file.
    """
    return msgspec.toml.decode(raw, type=Scenario)


class Seat(msgspec.Struct, frozen=True, kw_only=True):
    """A counter that somebody of ours will sit at, and the services it calls first."""

    counter: str
    own: tuple[str, ...]


class Hall(msgspec.Struct, frozen=True, kw_only=True):
    """What the plan needs to know of a centre; `drive` reads it from the service."""

    services: tuple[str, ...]
    seats: tuple[Seat, ...]
    kiosks: tuple[str, ...]
    boards: tuple[str, ...]
    grounds: tuple[str, ...] = ()
    """Those of the class `priority`."""
    calls_before_no_show: int = 3


class Planned(msgspec.Struct, frozen=True, kw_only=True):
    """One press: who does what, when; sent ``twice`` at once, or ``cut`` off before its answer and then repeated."""

    at_ns: int
    press: str
    body: dict[str, str]
    twice: bool = False
    cut: bool = False


class Round(msgspec.Struct, frozen=True, kw_only=True):
    """One visitor at one counter.  When the first press brings nobody, the rest is dropped."""

    presses: tuple[Planned, ...]


class ScreenPlan(msgspec.Struct, frozen=True, kw_only=True):
    """One screen: when it joins, when its line is cut, and whether it then has forgotten its place."""

    name: str
    board: str
    joins_ns: int
    cuts: tuple[tuple[int, bool], ...] = ()


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that will happen from outside."""

    arrivals: dict[str, tuple[Planned, ...]]
    """Kiosk -> the tickets asked for there."""
    rounds: dict[str, tuple[Round, ...]]
    """Counter -> its visitors."""
    screens: tuple[ScreenPlan, ...]
    length_ns: int

    def count(self) -> int:
        """How many presses are planned."""
        return sum(map(len, self.arrivals.values())) + sum(
            len(r.presses) for seat in self.rounds.values() for r in seat
        )


def make_plan(scenario: Scenario, profile: DayProfile, hall: Hall) -> Plan:
    """
    The plan of *scenario*: each kiosk, counter and screen draws from a generator of its own, so that one more screen
    does not change who arrives.
    """
    length_ns = round(scenario.seconds * SECOND)
    if scenario.pace == "flood":
        arrivals = _flood_arrivals(scenario, profile, hall)
    else:
        arrivals = _profile_arrivals(scenario, profile, hall)
    return Plan(
        arrivals=arrivals,
        rounds={
            seat.counter: tuple(_rounds(scenario, profile, hall, seat)) for seat in hall.seats[: scenario.counters]
        },
        screens=tuple(_screen(scenario, hall, index) for index in range(scenario.screens)),
        length_ns=length_ns,
    )


def arrival_times(profile: DayProfile, visitors: int, from_s: float, rng: random.Random) -> Iterator[float]:
    """Seconds from midnight at which visitors arrive from *from_s* to the end of the day: Poisson within each slot."""
    for slot in profile.slots:
        rate = visitors * slot.share / (slot.to_s - slot.from_s)
        at_s = max(from_s, slot.from_s)
        if rate <= 0 or at_s >= slot.to_s:
            continue
        while (at_s := at_s + rng.expovariate(rate)) < slot.to_s:
            yield at_s


def choose_service(profile: DayProfile, offered: Sequence[str], rng: random.Random) -> str:
    """What one visitor comes for, among the services *offered*, by the shares of the profile."""
    weights = [profile.services.get(service, 0.0) for service in offered]
    if not any(weights):
        return rng.choice(list(offered))
    return rng.choices(offered, weights)[0]


def _profile_arrivals(scenario: Scenario, profile: DayProfile, hall: Hall) -> dict[str, tuple[Planned, ...]]:
    rng = _generator(scenario, "arrivals")
    from_s = clock_s(scenario.start)
    planned: dict[str, list[Planned]] = {kiosk: [] for kiosk in hall.kiosks[: scenario.kiosks]}
    kiosks = list(planned)
    for count, at_s in enumerate(arrival_times(profile, profile.visitors[scenario.level], from_s, rng)):
        at_ns = round((at_s - from_s) / scenario.speed * SECOND)
        if at_ns >= scenario.seconds * SECOND or count >= scenario.most_presses:
            break
        planned[rng.choice(kiosks)].append(
            _issue(scenario, profile, hall, choose_service(profile, hall.services, rng), at_ns, rng)
        )
    return {kiosk: tuple(presses) for kiosk, presses in planned.items()}


def _flood_arrivals(scenario: Scenario, profile: DayProfile, hall: Hall) -> dict[str, tuple[Planned, ...]]:
    """Tickets without a time, spread evenly over the counters."""
    kiosks = hall.kiosks[: scenario.kiosks]
    each = scenario.flood_tickets // len(kiosks)
    planned = {}
    for kiosk in kiosks:
        rng = _generator(scenario, f"kiosk {kiosk}")
        planned[kiosk] = tuple(
            _issue(scenario, profile, hall, _where_somebody_sits(scenario, hall, rng), 0, rng) for _ in range(each)
        )
    return planned


def _where_somebody_sits(scenario: Scenario, hall: Hall, rng: random.Random) -> str:
    """A service by the number of counters that call it first."""
    seat = rng.choice(hall.seats[: scenario.counters])
    return rng.choice(seat.own or hall.services)


def _issue(
    scenario: Scenario, profile: DayProfile, hall: Hall, service: str, at_ns: int, rng: random.Random
) -> Planned:
    body = {"service": service}
    if rng.random() < _share(scenario.priority_share, profile.priority_share):
        body["class"] = "priority"
        if hall.grounds:
            body["ground"] = rng.choice(hall.grounds)
    return _press(scenario, rng, at_ns, "issue", body)


def _rounds(scenario: Scenario, profile: DayProfile, hall: Hall, seat: Seat) -> Iterator[Round]:
    """Visitor after visitor at one counter, each as long as the profile says, until the run is over."""
    rng = _generator(scenario, f"counter {seat.counter}")
    flood = scenario.pace == "flood"
    most = scenario.most_presses // max(1, len(hall.seats[: scenario.counters]))
    end_s = scenario.seconds * scenario.speed
    at_s = rng.uniform(0, profile.walk.mean_s)
    count = visits = 0
    come_back: list[int] = []
    while at_s < end_s and count < most:
        service = choose_service(profile, seat.own or hall.services, rng)
        steps, length_s = _steps(scenario, profile, hall, service, rng)
        if come_back and come_back[0] <= visits:
            come_back.pop(0)
            steps[0] = (0.0, "resume", {})
        if steps[-1][1] == "park":
            come_back.append(visits + 2)
        visits += 1
        yield Round(
            presses=tuple(
                _press(scenario, rng, 0 if flood else round((at_s + after_s) / scenario.speed * SECOND), press, body)
                for after_s, press, body in steps
            )
        )
        count += len(steps)
        # A flood has no durations: it ends by its number of presses, or when the driver's time is over.
        at_s += 0 if flood else length_s


Step = tuple[float, str, dict[str, str]]


def _steps(
    scenario: Scenario, profile: DayProfile, hall: Hall, service: str, rng: random.Random
) -> tuple[list[Step], float]:
    """What the officer presses for one visitor, in seconds after the call, and how long the counter is taken."""
    steps: list[Step] = [(0.0, "call-next", {})]
    walk_s = profile.walk.draw(rng)
    end_s = walk_s + profile.service_times[service].draw(rng) if service in profile.service_times else walk_s + 600.0
    fate = rng.random()
    no_show = _share(scenario.no_show_share, profile.no_show_share)
    park = no_show + _share(scenario.park_share, profile.missing_papers_share)
    transfer = park + _share(scenario.transfer_share, profile.transfer_share)
    if fate < no_show:
        rings: list[Step] = [(45.0 * ring, "recall", {}) for ring in range(1, hall.calls_before_no_show)]
        end_s = 45.0 * hall.calls_before_no_show
        return [*steps, *rings, (end_s, "no-show", {})], end_s
    steps.append((walk_s, "start", {}))
    if fate < park:
        steps.append((end_s, "park", {"reason": "papers"}))
    elif fate < transfer:
        steps.append((end_s, "transfer", {"service": _where_somebody_sits(scenario, hall, rng)}))
    else:
        steps.append((end_s, "complete", {}))
    return steps, end_s + profile.wrap_up.draw(rng)


def _screen(scenario: Scenario, hall: Hall, index: int) -> ScreenPlan:
    rng = _generator(scenario, f"screen {index}")
    length_ns = scenario.seconds * SECOND
    joins_ns = round(rng.uniform(0.2, 0.6) * length_ns) if rng.random() < scenario.late_screens else 0
    # Cuts leave the last tenth of the run in peace, so that the end shows whether everybody has caught up.
    cuts = int(scenario.screen_cuts) + (rng.random() < scenario.screen_cuts % 1)
    times = sorted(rng.uniform(joins_ns + 0.05 * length_ns, 0.9 * length_ns) for _ in range(cuts))
    return ScreenPlan(
        name=f"screen-{index:03}",
        board=hall.boards[index % len(hall.boards)],
        joins_ns=joins_ns,
        cuts=tuple((round(at_ns), rng.random() < scenario.screen_reloads) for at_ns in times),
    )


def _press(scenario: Scenario, rng: random.Random, at_ns: int, press: str, body: dict[str, str]) -> Planned:
    chance = rng.random()
    is_double = chance < scenario.double_share
    is_cut = not is_double and chance < scenario.double_share + scenario.cut_share
    return Planned(at_ns=at_ns, press=press, body=body, twice=is_double, cut=is_cut)


def _share(asked: float | None, usual: float) -> float:
    return usual if asked is None else asked


def _generator(scenario: Scenario, purpose: str) -> random.Random:
    return random.Random(f"{scenario.seed}/{scenario.name}/{purpose}")
