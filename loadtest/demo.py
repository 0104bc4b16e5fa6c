"""
The living hall: invented citizens and officers who use the service's public interface as people do, for as long as it
is shown.

Visitors come by the day profile, sped up, beginning in the middle of the morning and around again when the day is
over.  Officers sit at most counters, call, serve, and sometimes wait for somebody in vain, send them for a paper, or
send them on.  A counter where a human sits is left alone, and in every department with more than one counter one is
left free, so that a newcomer can take it.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

import aiohttp
import msgspec

from counters.client import CounterClient, KioskClient, Link, Unanswered
from counters.press import TicketView
from loadtest.access import CentreAccess, Device, Staff, loopback, read_access
from loadtest.plan import DayProfile, arrival_times, choose_service, clock_s, read_profile
from queue_service.errors import Later, NobodyServes, NotYourSeat, NumbersExhausted, QueueError, SeatTaken

BEGINS = "08:30"
DAY_BEGINS = "07:00"
LOOK_EVERY_S = 2.0
PAPER_S = 2.0
RING_S = 45.0
LEAVE_FREE = 1
"""Counters of a department with more than one that are left to newcomers."""
MOST_AHEAD = 6
"""Visitors turn round at the door when this many wait for each counter of their service."""
SHORTEST_STEP_S = 0.5
"""However fast the day runs, nobody stands up before having sat down."""
KIOSK_GAP_S = 1.25
"""Between two tickets of ours at one kiosk: the service allows one a second, and a newcomer wants some of that."""
PATIENCE_S = 10.0
"""Visitors who would stand before a kiosk longer than that turn round."""
LEAVE_S = 1.0

_AWAY = (Unanswered, Later, aiohttp.ClientError, TimeoutError)


async def run_demo(base: str, demo_json: Path, speed: float, stop: asyncio.Event, *, seed: int | None = None) -> None:
    """
    Keep the halls of ``demo.json`` alive until *stop* is set.

    Args:
        base: address of the service, on this machine.
        speed: how many times faster than people; 60 makes a minute of service a second.
        seed: for a demonstration that can be repeated; by default every one is different.

    Raises:
        Refused: *base* is not on this machine, or there is no usable ``demo.json``.
    """
    access = read_access(demo_json)
    profiles = (files("queue_service") / "examples" / "day-profiles.json").read_bytes()
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session, asyncio.TaskGroup() as halls:
        for centre, who in access.centres.items():
            hall = _Hall(loopback(base), centre, who, profiles, speed, session, random.Random(seed))
            tasks = [halls.create_task(hall.live())]
            halls.create_task(_end(stop, tasks))


async def _end(stop: asyncio.Event, tasks: list[asyncio.Task[None]]) -> None:
    await stop.wait()
    for task in tasks:
        task.cancel()


class _Hall:
    """One centre and the people we have invented for it."""

    def __init__(
        self,
        base: str,
        centre: str,
        access: CentreAccess,
        profiles: bytes,
        speed: float,
        session: aiohttp.ClientSession,
        rng: random.Random,
    ) -> None:
        self._base = base
        self._centre = centre
        self._access = access
        self._profiles = profiles
        self._speed = speed
        self._session = session
        self._random = rng
        self._reader = Link(base, session=session)
        self._config: dict[str, Any] = {}
        self._waiting: Mapping[str, int] = {}
        self._manned: set[str] = set()
        self._used_up: set[str] = set()
        self._day = ""
        self._kiosk_free_s = dict.fromkeys(access.kiosks, 0.0)

    async def live(self) -> None:
        """Everybody at once, until cancelled; a service that is away for a while finds them again when it is back."""
        self._config = await self._read_centre()
        profile = read_profile(self._profiles, self._config["level"])
        async with asyncio.TaskGroup() as people:
            people.create_task(self._look_around())
            people.create_task(self._visitors(profile))
            for counter, officer in seats(self._config, self._access.with_role("officer")).items():
                people.create_task(self._officer(profile, counter, officer))

    async def _read_centre(self) -> dict[str, Any]:
        while True:
            try:
                return msgspec.json.decode(await self._reader.read(f"/centres/{self._centre}"), type=dict[str, Any])
            except _AWAY:
                await asyncio.sleep(LOOK_EVERY_S)

    async def _look_around(self) -> None:
        """What a visitor sees at the door: how many wait, and where somebody sits."""
        link = Link(self._base, token=self._access.boards[0].token, session=self._session)
        path = f"/centres/{self._centre}/boards/{self._access.boards[0].id}"
        while True:
            try:
                view = msgspec.json.decode(await link.read(path))["view"]
                if view["day"] != self._day:
                    self._day = view["day"]
                    self._used_up.clear()
                self._waiting = view["waiting"]
                self._manned = {id for id, seat in view["counters"].items() if seat["state"] == "open"}
            except (*_AWAY, QueueError):
                pass  # the last view stays, as on the boards
            await asyncio.sleep(LOOK_EVERY_S)

    # ── visitors ──────────────────────────────────────────────────────────────────────────────────────────────────

    async def _visitors(self, profile: DayProfile) -> None:
        """Day after day of the profile; each visitor is a task of their own."""
        from_s = float(clock_s(BEGINS))
        async with asyncio.TaskGroup() as visitors:
            while True:
                for at_s in arrival_times(profile, profile.visitors["high"], from_s, self._random):
                    await asyncio.sleep((at_s - from_s) / self._speed)
                    from_s = at_s
                    visitors.create_task(self._visitor(profile))
                from_s = clock_s(DAY_BEGINS)

    async def _visitor(self, profile: DayProfile) -> None:
        """Take a number, or turn round when the line is long; now and then give the place up."""
        open_services = [s["id"] for s in self._config["services"] if s["id"] not in self._used_up]
        if not open_services:
            return
        service = choose_service(profile, open_services, self._random)
        counters = sum(self._serves(counter, service) for counter in self._config["counters"])
        if counters == 0 or self._waiting.get(service, 0) >= MOST_AHEAD * counters:
            return
        device = await self._stand_before_a_kiosk()
        if device is None:
            return
        kiosk = KioskClient(self._base, self._centre, token=device.token, session=self._session)
        cls, ground = self._class(profile)
        try:
            ticket = await kiosk.issue(service, cls=cls, ground=ground)
            await self._pause(PAPER_S)
            await kiosk.printed(ticket.id)
        except (NumbersExhausted, NobodyServes):
            self._used_up.add(service)
        except (*_AWAY, QueueError):
            return

    async def _stand_before_a_kiosk(self) -> Device | None:
        """The kiosk that is free first, when it is our turn there; None when that would take too long."""
        now_s = asyncio.get_running_loop().time()
        device = min(self._kiosk_free_s, key=self._kiosk_free_s.__getitem__)
        at_s = max(now_s, self._kiosk_free_s[device])
        if at_s - now_s > PATIENCE_S:
            return None
        self._kiosk_free_s[device] = at_s + KIOSK_GAP_S
        await asyncio.sleep(at_s - now_s)
        return device

    def _serves(self, counter: dict[str, Any], service: str) -> bool:
        return counter["id"] in self._manned and any(row["service"] == service for row in counter["serves"])

    def _class(self, profile: DayProfile) -> tuple[str | None, str | None]:
        if self._random.random() >= profile.priority_share:
            return None, None
        grounds = self._config["grounds"]
        return "priority", self._random.choice(grounds)["id"] if grounds else None

    # ── officers ──────────────────────────────────────────────────────────────────────────────────────────────────

    async def _officer(self, profile: DayProfile, counter: str, officer: Staff) -> None:
        """Sit at *counter* until the end, and leave it closed."""
        await asyncio.sleep(self._random.uniform(0, 2))
        client = CounterClient(self._base, self._centre, counter, session=self._session)
        try:
            await self._sit(profile, client, officer)
        finally:
            with contextlib.suppress(QueueError, *_AWAY):
                async with asyncio.timeout(LEAVE_S):
                    await client.close_counter()

    async def _sit(self, profile: DayProfile, client: CounterClient, officer: Staff) -> None:
        """Work whenever no human holds the seat, and go on after whatever goes wrong."""
        is_signed_in = False
        parked: list[str] = []
        while True:
            try:
                if not is_signed_in:
                    await client.sign_in(officer.name, officer.password)
                    is_signed_in = True
                reply = await client.open()
                await self._work(profile, client, parked, reply.ticket)
            except (SeatTaken, NotYourSeat):
                await asyncio.sleep(10 * LOOK_EVERY_S)
            except _AWAY:
                await asyncio.sleep(LOOK_EVERY_S)
            except QueueError:
                # Somebody else was quicker with this ticket, or the sign-in has ended: look again from the beginning.
                is_signed_in = False
                await asyncio.sleep(LOOK_EVERY_S)

    async def _work(
        self, profile: DayProfile, client: CounterClient, parked: list[str], in_hand: TicketView | None
    ) -> None:
        """Visitor after visitor; when nobody waits, look from time to time who was called for the ready counter."""
        ticket = in_hand
        while True:
            if ticket is None and parked and self._random.random() < 0.3:
                ticket = (await client.resume(parked.pop(0))).ticket
            if ticket is None:
                ticket = (await client.call_next()).ticket
            while ticket is None:
                await asyncio.sleep(LOOK_EVERY_S)
                ticket = (await client.view()).ticket
            await self._serve(profile, client, ticket, parked)
            await self._pause(profile.wrap_up.draw(self._random))
            ticket = None

    async def _serve(self, profile: DayProfile, client: CounterClient, ticket: TicketView, parked: list[str]) -> None:
        """One visitor, from the call to the end."""
        chance = self._random.random()
        if ticket.started_at_ms is None:
            if chance < profile.no_show_share:
                for _ in range(ticket.rings, self._config["policy"]["calls_before_no_show"]):
                    await self._pause(RING_S)
                    await client.recall()
                await self._pause(RING_S)
                await client.no_show()
                return
            await self._pause(profile.walk.draw(self._random))
            await client.start()
        times = profile.service_times.get(ticket.service, profile.service_times[next(iter(profile.service_times))])
        await self._pause(times.draw(self._random))
        chance -= profile.no_show_share
        if 0 <= chance < profile.missing_papers_share / 2:
            await client.park("thiếu giấy tờ")
            parked.append(ticket.id)
        elif 0 <= chance < profile.missing_papers_share / 2 + profile.transfer_share:
            others = [service["id"] for service in self._config["services"] if service["id"] != ticket.service]
            await client.transfer(service=self._random.choice(others))
        else:
            await client.complete()

    async def _pause(self, seconds: float) -> None:
        await asyncio.sleep(max(SHORTEST_STEP_S, seconds / self._speed))


def seats(centre: Mapping[str, Any], officers: tuple[Staff, ...], leave_free: int = LEAVE_FREE) -> dict[str, Staff]:
    """
    Who of *officers* sits where.

    The first officer is the newcomer's sign-in, and stays at home.  Of the counters whose first own service is the
    same, the first *leave_free* stay free where there are more than that.  Officers sit at their usual counter; those
    without one fill the others.
    """
    by_service: dict[str, list[str]] = {}
    for counter in centre["counters"]:
        own = [row["service"] for row in counter["serves"] if row["level"] == 1] or [""]
        by_service.setdefault(own[0], []).append(counter["id"])
    ours = officers[1:]
    usual = {officer.counter: officer for officer in ours if officer.counter is not None}
    others = [officer for officer in ours if officer.counter is None]
    seating = {}
    for counters in by_service.values():
        for counter in counters[leave_free:] if len(counters) > leave_free else counters:
            if counter in usual:
                seating[counter] = usual[counter]
            elif others:
                seating[counter] = others.pop(0)
    return seating
