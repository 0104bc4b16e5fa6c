"""
Carries a plan out over HTTP: on time or late, never waiting for the service before it asks the next question.

Every request that goes over the wire becomes a row of the record, with the instant it was planned for.  Kiosks do not
wait for one another; a counter presses in its own order, because an officer has one pair of hands.  Bounded in time
and in requests under way.
"""

from __future__ import annotations

import asyncio
import gc
import random
import time
import urllib.parse
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import aiohttp
import msgspec

from counters.client import Attempt, CounterClient, KioskClient, Link, Unanswered
from counters.press import Button, new_key
from loadtest import machine
from loadtest.access import CentreAccess, Device, Refused, Staff
from loadtest.plan import SECOND, DayProfile, Hall, Plan, Planned, Round, Scenario, Seat, make_plan
from loadtest.record import AnyRow, BoardTruth, Cost, Fact, Pressed, Run, Truth
from loadtest.screens import Hall as Screens
from queue_service.errors import CounterBusy, QueueError

MOST_UNDER_WAY = 400
GRACE_S = 30.0
LEAD_S = 0.5
CUT_WITHIN_S = 0.01
PAGE = 1000


async def run(
    scenario: Scenario, profile: DayProfile, base: str, access: CentreAccess, *, service_pid: int | None = None
) -> list[AnyRow]:
    """
    Run *scenario* against the service at *base*; the record of it.

    Args:
        service_pid: whose CPU time to read, with that of its children.

    Raises:
        Refused: the centre has not enough devices or sign-ins for the scenario.
    """
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=60)) as session:
        drive = _Drive(scenario, base, access, session)
        centre = msgspec.json.decode(await drive.reader.read(f"/centres/{scenario.centre}"))
        plan = make_plan(scenario, profile, drive.hall(centre))
        async with drive.officers(plan):
            return await drive.carry_out(plan, centre, service_pid)


class _Drive:
    """One run: its links, its notes, its clock."""

    def __init__(self, scenario: Scenario, base: str, access: CentreAccess, session: aiohttp.ClientSession) -> None:
        self.scenario = scenario
        self.base = base
        self.access = access
        self.session = session
        self.reader = Link(base, session=session)
        self.rows: list[AnyRow] = []
        self.started_ns = 0
        self._asked: dict[str, tuple[str, str, int]] = {}
        self._under_way = asyncio.Semaphore(MOST_UNDER_WAY)
        self._counters: dict[str, CounterClient] = {}
        self._random = random.Random(scenario.seed)

    def hall(self, centre: dict[str, Any]) -> Hall:
        """What the plan needs of *centre*, as far as we have devices and sign-ins for it."""
        if not self.access.kiosks or not self.access.with_role("officer"):
            raise Refused(f"demo.json has no kiosk or no officer for {self.scenario.centre}")
        boards = {board.id for board in self.access.boards}
        lanes = (f"{kiosk.id}.{lane}" for lane in range(self.scenario.kiosks) for kiosk in self.access.kiosks)
        return Hall(
            services=tuple(service["id"] for service in centre["services"]),
            seats=tuple(
                Seat(counter=counter["id"], own=tuple(row["service"] for row in counter["serves"] if row["level"] == 1))
                for counter in centre["counters"]
            ),
            kiosks=tuple(lane for _, lane in zip(range(self.scenario.kiosks), lanes, strict=False)),
            boards=tuple(board["id"] for board in centre["boards"] if board["id"] in boards),
            grounds=tuple(ground["id"] for ground in centre["grounds"] if ground["cls"] == "priority"),
            calls_before_no_show=centre["policy"]["calls_before_no_show"],
        )

    @asynccontextmanager
    async def officers(self, plan: Plan) -> AsyncIterator[None]:
        """Officers at their counters for as long as the run lasts; afterwards the counters are closed again."""
        sitting = _seating(plan.rounds, self.access.with_role("officer"))
        async with AsyncExitStack() as stack:
            signed_in: dict[str, CounterClient] = {}
            for counter, officer in sitting.items():
                client = CounterClient(
                    self.base, self.scenario.centre, counter, session=self.session, on_attempt=self._note
                )
                if officer.name in signed_in:
                    client.act_as(signed_in[officer.name])
                else:
                    await client.sign_in(officer.name, officer.password)
                    signed_in[officer.name] = client
                self._counters[counter] = client
                stack.push_async_callback(self._leave, client)
                await self._ask(client, counter, Button.OPEN, {"take_over": True})
            supervisor = next(iter(self.access.with_role("supervisor")), None)
            if supervisor is None:
                raise Refused(f"demo.json has no supervisor for {self.scenario.centre}; the truth could not be read")
            await self.reader.sign_in(supervisor.name, supervisor.password)
            yield

    async def carry_out(self, plan: Plan, centre: dict[str, Any], service_pid: int | None) -> list[AnyRow]:
        """Screens first, then the presses, then the truth."""
        boards = {board.id: board.token for board in self.access.boards}
        screens = Screens(self.base, self.scenario.centre, boards, plan.screens)
        await screens.start()
        state = await self._state()
        describes = machine.describe(service_pid)
        gc.collect()
        gc.freeze()  # what is there stays; collecting it again during the run would only delay frames
        self.started_ns = screens.started_ns = time.monotonic_ns() + round(LEAD_S * SECOND)
        before = machine.used(service_pid)
        beginning = Run(
            name=self.scenario.name,
            seed=self.scenario.seed,
            pace=self.scenario.pace,
            seconds=self.scenario.seconds,
            speed=self.scenario.speed,
            base=self.base,
            centre=centre,
            machine=describes,
            started_ns=self.started_ns,
            started_ms=round(time.time() * 1000 + LEAD_S * 1000),
            after_seq=state["seq"],
        )
        await self._press_all(plan)
        after = machine.used(service_pid)
        gc.unfreeze()
        truth = Truth(state=await self._state())
        await screens.settle(truth.state["seq"])
        cost = Cost(
            service_s=after.service_s - before.service_s,
            voice_s=after.voice_s - before.voice_s,
            store_s=after.store_s - before.store_s,
            clients_s=after.clients_s - before.clients_s,
            service_rss_kb=after.service_rss_kb,
        )
        return [beginning, *self.rows, *screens.rows(), truth, *await self._boards(plan), *await self._log(), cost]

    async def _press_all(self, plan: Plan) -> None:
        """Every kiosk and counter at once, for the planned time and a little grace for those who are late."""
        lanes: list[Any] = [
            self._counter(self._counters[counter], counter, rounds) for counter, rounds in plan.rounds.items()
        ]
        for lane, arrivals in plan.arrivals.items():
            kiosk_id = lane.rpartition(".")[0]
            device = next(kiosk for kiosk in self.access.kiosks if kiosk.id == kiosk_id)
            lanes.append(self._kiosk(device, arrivals))
        try:
            async with asyncio.timeout(LEAD_S + self.scenario.seconds + GRACE_S):
                await asyncio.gather(*lanes)
        except TimeoutError:
            pass  # what was not pressed by then is missing from the record, and the figures show the lateness

    async def _kiosk(self, device: Device, arrivals: Iterable[Planned]) -> None:
        kiosk = KioskClient(
            self.base, self.scenario.centre, token=device.token, session=self.session, on_attempt=self._note
        )
        if self.scenario.pace == "flood":
            await self._until(0)
            for planned in arrivals:
                if self._is_over():
                    return
                await self._issue(kiosk, device, planned)
            return
        async with asyncio.TaskGroup() as visitors:
            for planned in arrivals:
                await self._until(planned.at_ns)
                visitors.create_task(self._issue(kiosk, device, planned))

    async def _issue(self, kiosk: KioskClient, device: Device, planned: Planned) -> None:
        async with self._under_way:
            path = f"/centres/{self.scenario.centre}/tickets"
            await self._press(kiosk, f"kiosk:{device.id}", planned, path, planned.body)

    async def _counter(self, client: CounterClient, counter: str, rounds: Iterable[Round]) -> None:
        parked: list[str] = []
        for visitor in rounds:
            if self._is_over():
                return
            await self._visitor(client, counter, visitor, parked)

    async def _visitor(self, client: CounterClient, counter: str, visitor: Round, parked: list[str]) -> None:
        """One round; it ends early when nobody came or a press was refused."""
        for planned in visitor.presses:
            await self._until(planned.at_ns)
            if self._is_over():
                return  # the visitor stays at the counter; who closes it afterwards finishes with them
            body = dict(planned.body)
            if planned.press == "resume":
                if not parked:
                    return
                body = {"ticket": parked.pop(0)}
            path = f"/centres/{self.scenario.centre}/counters/{counter}/{planned.press}"
            try:
                answer = await self._press(client, f"counter:{counter}", planned, path, body)
            except CounterBusy:
                # A counter that asked and got nobody is called for as soon as somebody comes: go on with that visitor.
                answer = await self._look(client, counter)
            if answer is None or not answer.get("ticket"):
                return
            if planned.press == "park":
                parked.append(answer["ticket"]["id"])

    async def _press(
        self, link: Link, who: str, planned: Planned, path: str, body: dict[str, str]
    ) -> dict[str, Any] | None:
        """
        One press as planned: plainly, twice at once, or cut off and repeated; its first answer, or None when it was
        refused.

        Raises:
            CounterBusy: for who knows what to do about it.
        """
        key = new_key()
        planned_ns = time.monotonic_ns() if self.scenario.pace == "flood" else self.started_ns + planned.at_ns
        self._asked[key] = (who, planned.press, planned_ns)
        try:
            if planned.cut:
                await self._cut(link, path, body, key)
            if planned.twice:
                answers = await asyncio.gather(link.change(path, body, key), link.change(path, body, key))
                answer = answers[0]
            else:
                answer = await link.change(path, body, key)
        except CounterBusy:
            raise
        except (QueueError, Unanswered):
            return None
        return msgspec.json.decode(answer, type=dict[str, Any])

    async def _cut(self, link: Link, path: str, body: dict[str, str], key: str) -> None:
        """Send the request and break the connection before its answer can have been read."""
        address = urllib.parse.urlsplit(self.base)
        content = msgspec.json.encode(body)
        headers = {
            "Host": address.netloc,
            "Content-Type": "application/json",
            "Content-Length": str(len(content)),
            "Idempotency-Key": key,
            **link.identity(),
        }
        head = (
            f"POST /api/v1{path} HTTP/1.1\r\n"
            + "".join(f"{name}: {value}\r\n" for name, value in headers.items())
            + "\r\n"
        )
        sent_ns = time.monotonic_ns()
        try:
            _, writer = await asyncio.open_connection(address.hostname, address.port)
            writer.write(head.encode() + content)
            await writer.drain()
            await asyncio.sleep(self._random.uniform(0, CUT_WITHIN_S))
            writer.transport.abort()
            lost = "cut by plan"
        except OSError as error:
            lost = type(error).__name__
        self._note(
            Attempt(
                key=key,
                path=path,
                body=content,
                number=0,
                sent_ns=sent_ns,
                done_ns=time.monotonic_ns(),
                status=0,
                answer=lost.encode(),
            )
        )

    async def _ask(self, client: CounterClient, counter: str, button: Button, body: dict[str, Any]) -> None:
        """A press outside the plan: opening and closing."""
        key = new_key()
        self._asked[key] = (f"counter:{counter}", str(button), time.monotonic_ns())
        await client.press(button, body, key)

    async def _look(self, client: CounterClient, counter: str) -> dict[str, Any] | None:
        """What is at the counter, as the officer sees it; noted, because the officer has now been told."""
        sent_ns = time.monotonic_ns()
        try:
            answer = msgspec.json.decode(await client.read(client.path), type=dict[str, Any])
        except (QueueError, Unanswered):
            return None
        self.rows.append(
            Pressed(
                key=f"look-{sent_ns}-{counter}",
                who=f"counter:{counter}",
                press="look",
                body={},
                planned_ns=sent_ns,
                sent_ns=sent_ns,
                done_ns=time.monotonic_ns(),
                status=200,
                answer={"ticket": answer.get("ticket")},
            )
        )
        return answer

    def _note(self, attempt: Attempt) -> None:
        who, press, planned_ns = self._asked[attempt.key]
        is_answered = attempt.status > 0
        self.rows.append(
            Pressed(
                key=attempt.key,
                who=who,
                press=press,
                body=msgspec.json.decode(attempt.body),
                planned_ns=planned_ns,
                sent_ns=attempt.sent_ns,
                done_ns=attempt.done_ns,
                status=attempt.status,
                answer=_json(attempt.answer) if is_answered else None,
                lost="" if is_answered else attempt.answer.decode(errors="replace"),
            )
        )

    async def _state(self) -> dict[str, Any]:
        return msgspec.json.decode(
            await self.reader.read(f"/centres/{self.scenario.centre}/state"), type=dict[str, Any]
        )

    async def _boards(self, plan: Plan) -> list[BoardTruth]:
        boards = []
        for board in sorted({screen.board for screen in plan.screens}):
            found = msgspec.json.decode(await self.reader.read(f"/centres/{self.scenario.centre}/boards/{board}"))
            boards.append(BoardTruth(board=board, epoch=found["epoch"], seq=found["seq"], view=found["view"]))
        return boards

    async def _log(self) -> list[Fact]:
        """The centre's whole event log, page by page."""
        facts: list[Fact] = []
        after = 0
        while True:
            path = f"/centres/{self.scenario.centre}/events?after={after}&limit={PAGE}"
            page = msgspec.json.decode(await self.reader.read(path))
            if not page["events"]:
                return facts
            facts.extend(Fact(epoch=page["epoch"], event=event) for event in page["events"])
            after = page["events"][-1]["seq"]

    async def _leave(self, client: CounterClient) -> None:
        """Finish with whoever is at the counter and close it; a refusal here is no matter of the run."""
        for button in (Button.COMPLETE, Button.CLOSE):
            try:
                await self._ask(client, client.counter, button, {})
            except (QueueError, Unanswered):
                continue

    async def _until(self, at_ns: int) -> None:
        left_ns = self.started_ns + at_ns - time.monotonic_ns()
        if left_ns > 0:
            await asyncio.sleep(left_ns / SECOND)

    def _is_over(self) -> bool:
        return time.monotonic_ns() > self.started_ns + self.scenario.seconds * SECOND


def _seating(counters: Iterable[str], officers: tuple[Staff, ...]) -> dict[str, Staff]:
    """
    Each counter its usual officer, else the next one who has no usual place; more counters than officers share them.
    """
    usual = {officer.counter: officer for officer in officers if officer.counter is not None}
    others = [officer for officer in officers if officer.counter is None] or list(officers)
    seating = {}
    for index, counter in enumerate(counters):
        seating[counter] = usual.get(counter) or others[index % len(others)]
    return seating


def _json(answer: bytes) -> dict[str, Any] | None:
    try:
        decoded: Any = msgspec.json.decode(answer)
    except msgspec.DecodeError:
        return None
    return decoded if isinstance(decoded, dict) else None
