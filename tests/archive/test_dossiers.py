"""Dossiers in the archive, on both databases: one transaction a change, and what happens when many come at once."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import msgspec
import pytest
from sqlalchemy import func, select

from dossier_world import a_calendar, at
from queue_service.archive.archive import Archive
from queue_service.archive.dossiers import (
    NEAREST,
    DossierStore,
    Envelope,
    Reception,
    answers,
    dossiers,
    outbox,
    people,
    procedure_versions,
    sequences,
    steps,
)
from queue_service.commands import Wish
from queue_service.dossiers import (
    NEVER_MS,
    Change,
    Dossier,
    HandOver,
    MarkReady,
    Missing,
    Paper,
    Person,
    Progress,
    Receive,
    RequestSupplement,
    Return,
    Search,
    State,
    decide,
    receive,
)
from queue_service.errors import ArchiveAway, CodeTaken, KeyReused, UnknownDossier, WrongState
from queue_service.working_days import Limit

CALENDAR = a_calendar()
NOW_MS = at("2026-11-18 09:00")
DAY = "2026-11-18"

_keys = itertools.count(1)


class Registry:
    """What a middle floor would do, in two methods."""

    def __init__(self, archive: Archive) -> None:
        self.archive = archive
        self.store = DossierStore(archive)

    async def receive(self, key: str = "", fingerprint: bytes = b"f" * 16, **how: Any) -> Dossier:
        days, centre, now_ms = how.pop("days", 5), how.pop("centre", "c"), how.pop("now_ms", NOW_MS)
        wish = Receive(
            department=how.pop("department", "a"),
            procedure="1.000001",
            procedure_name="Thủ tục",
            procedure_version="v1",
            limit=Limit("working_day", days),
        )
        reception = {
            "code": None,
            "prefix": "X-261118-",
            "digits": 4,
            "make": lambda code: receive(wish, code, centre, "staff:lan", now_ms, CALENDAR),
            "secret": lambda code: b"digest of " + code.encode(),
            "papers": (),
            "person": None,
            "record": {"name": "Thủ tục"},
        } | how
        return await self.store.receive(envelope(key, fingerprint), Reception(**reception))

    async def do(self, code: str, wish: Wish, key: str = "", now_ms: int = NOW_MS, centre: str = "c") -> Dossier:
        def change(dossier: Dossier) -> Change:
            return decide(dossier, wish, "staff:lan", now_ms, CALENDAR, 1)

        return await self.store.change(envelope(key, wish.press_name().encode()), centre, code, change)

    async def count(self, table: Any) -> int:
        async with self.archive.read() as connection:
            return await connection.scalar(select(func.count()).select_from(table)) or 0


async def insist(press: Callable[[str], Awaitable[Dossier]]) -> Dossier:
    """Repeat a press with the same key while the archive has no room for it."""
    key = f"key-{next(_keys)}"
    while True:
        try:
            return await press(key)
        except ArchiveAway:
            continue


def envelope(key: str = "", fingerprint: bytes = b"f" * 16) -> Envelope:
    return Envelope(key=key or f"key-{next(_keys)}", fingerprint=fingerprint, day=DAY)


@pytest.fixture
async def registry(database_url: str) -> AsyncIterator[Registry]:
    archive = await Archive.open(database_url)
    yield Registry(archive)
    await archive.close()


async def test_what_is_received_is_there_with_everything(registry: Registry):
    """Dossier, step, papers, person, the procedure's record, the fact for the relay."""
    papers = (Paper(name="Tờ khai", originals=1), Paper(name="Căn cước", status="data"))
    person = Person(name="Nguyễn Văn Thử", phone="0900000000", identity_end="0001", identity=b"digest")
    dossier = await registry.receive(papers=papers, person=person)

    whole = await registry.store.read("c", "X-261118-0001")
    assert (dossier, papers, person) == (whole.dossier, whole.papers, whole.person)
    assert [(1, "receive", State.RECEIVED)] == [(step.n, step.change, step.state) for step in whole.steps]
    digest = b"digest of X-261118-0001"
    assert (dossier, whole.steps) == await registry.store.find(dossier.code, digest.__eq__)
    assert await registry.store.find(dossier.code, b"another".__eq__) is None
    (fact,) = await registry.store.waiting(9)
    assert ("c", dossier.code, 1, "received") == (fact.centre, fact.code, fact.n, fact.fact["state"])
    assert b"Nguy" not in msgspec.json.encode(fact)
    assert 1 == await registry.count(procedure_versions)


async def test_a_life_is_kept_step_by_step(registry: Registry):
    """Each change is one row more in the trace and one fact more; the dossier is as it was decided."""
    code = (await registry.receive()).code
    missing = (Missing(paper="Bản vẽ", reason="chưa ký", how="ký lại"),)
    for wish in (HandOver(department="b"), Progress(title="Thẩm định", limit=Limit("hour", 2)), MarkReady(), Return()):
        await registry.do(code, wish)
    other = (await registry.receive()).code
    await registry.do(other, RequestSupplement(missing=missing))

    whole = await registry.store.read("c", code)
    assert (State.RETURNED, 5, "b") == (whole.dossier.state, whole.dossier.steps, whole.dossier.department)
    assert ["receive", "hand-over", "progress", "mark-ready", "return"] == [step.change for step in whole.steps]
    assert missing == (await registry.store.read("c", other)).steps[1].missing
    facts = await registry.store.waiting(99)
    assert [1, 2, 3, 4, 5] == [fact.n for fact in facts if fact.code == code]


async def test_a_repeat_gets_the_first_answer(registry: Registry):
    """Whatever has happened since; the same key with other words is refused."""
    first = await registry.receive("same-key")
    await registry.do(first.code, HandOver(department="b"), "hand-over")
    await registry.do(first.code, MarkReady())

    assert first == await registry.receive("same-key")
    again = await registry.do(first.code, HandOver(department="b"), "hand-over")
    assert (State.HANDED_OVER, 2) == (again.state, again.steps)
    with pytest.raises(KeyReused):
        await registry.receive("same-key", b"g" * 16)
    assert 3 == await registry.count(steps)


async def test_a_refusal_leaves_nothing_behind(registry: Registry):
    """No step, no fact, no number, no answer: the same key may try again."""
    code = (await registry.receive("first", code="OUT-1")).code
    with pytest.raises(WrongState):
        await registry.do(code, Return(), "try")
    with pytest.raises(CodeTaken):
        await registry.receive("second", code="OUT-1")
    with pytest.raises(ZeroDivisionError):
        await registry.receive("third", make=lambda _: 1 // 0)
    assert [1, 1, 1, 0] == [await registry.count(table) for table in (steps, outbox, answers, sequences)]

    await registry.do(code, MarkReady())
    assert State.RETURNED == (await registry.do(code, Return(), "try")).state
    assert "X-261118-0001" == (await registry.receive("third")).code


async def test_another_centre_has_no_such_dossier(registry: Registry):
    """Nor may it change one."""
    code = (await registry.receive()).code
    with pytest.raises(UnknownDossier):
        await registry.store.read("d", code)
    with pytest.raises(UnknownDossier):
        await registry.do(code, MarkReady(), centre="d")
    assert await registry.store.find("X-0", lambda kept: kept is None) is None


async def test_one_row_is_read_whether_there_is_such_a_dossier_or_not(registry: Registry):
    """The neighbour's in its place, whose secret proves nothing."""
    own, other = [(await registry.receive(key)).code for key in ("first", "second")]
    for code, read in ((own, own), (other, other), ("A-1", own), (f"{own}-X", own), ("Z-1", other)):
        async with registry.archive.read() as connection:
            rows = (await connection.execute(NEAREST, {"code": code})).all()
        assert [read] == [row.code for row in rows]
        shown: list[bytes | None] = []
        await registry.store.find(code, lambda kept, shown=shown: bool(shown.append(kept)))
        assert [rows[0].secret if code == read else None] == shown


async def test_a_code_from_outside_that_looks_like_ours_is_passed_over(registry: Registry):
    """The number belongs to somebody; the next one is given, and none is skipped silently."""
    await registry.receive(code="X-261118-0001")
    assert "X-261118-0002" == (await registry.receive()).code


async def test_many_receptions_at_once_get_codes_without_gap_or_double(registry: Registry):
    """Two sequences side by side, each dense."""
    made = await asyncio.gather(
        *(insist(lambda key, prefix=prefix: registry.receive(key, prefix=prefix)) for prefix in ("A-1-", "B-1-") * 20)
    )
    assert {f"{letter}-1-{n:04}" for letter in "AB" for n in range(1, 21)} == {dossier.code for dossier in made}
    assert 40 == await registry.count(outbox)


async def test_one_key_at_once_is_one_reception(registry: Registry):
    """A finger that trembles, or a lost answer: everybody gets the same dossier."""
    made = await asyncio.gather(*(registry.receive("one-finger") for _ in range(6)))
    assert {"X-261118-0001"} == {dossier.code for dossier in made}
    assert (1, 1) == (await registry.count(dossiers), await registry.count(steps))


async def test_officers_at_once_lose_no_step(registry: Registry):
    """Thirty steps at once are thirty rows, numbered without gap; of two who end it, one is refused."""
    code = (await registry.receive()).code
    await asyncio.gather(
        *(insist(lambda key, n=n: registry.do(code, Progress(title=f"Bước {n}"), key)) for n in range(30))
    )
    whole = await registry.store.read("c", code)
    assert list(range(1, 32)) == [step.n for step in whole.steps]
    assert 31 == whole.dossier.steps
    assert {f"Bước {n}" for n in range(30)} == {step.title for step in whole.steps[1:]}

    ends = await asyncio.gather(*(registry.do(code, MarkReady()) for _ in range(5)), return_exceptions=True)
    assert 4 == sum(isinstance(end, WrongState) for end in ends)
    assert [*range(1, 33)] == [fact.n for fact in await registry.store.waiting(99)]


async def test_lists_are_by_due_date_and_go_on_where_they_ended(registry: Registry):
    """Most urgent first; who waits for papers comes last."""
    for days in (7, 3, 5, 3, 9):
        await registry.receive(days=days)
    await registry.do("X-261118-0004", RequestSupplement(missing=()))
    await registry.receive(centre="d", code="D-1")
    await registry.receive(department="b", code="B-1", days=1)

    async def codes(**how: Any) -> list[str]:
        return [
            dossier.code.removeprefix("X-261118-") for dossier in await registry.store.search(Search(centre="c", **how))
        ]

    everything = ["B-1", "0002", "0003", "0001", "0005", "0004"]
    assert everything == await codes()
    assert ["0002", "0003"] == await codes(begins="X-2611", limit=2)
    last = await registry.store.read("c", "X-261118-0003")
    assert ["0001", "0005", "0004"] == await codes(after=(last.dossier.due_ms or NEVER_MS, last.dossier.code))
    assert [] == await codes(after=(NEVER_MS, "X-261118-0004"))
    assert ["B-1"] == await codes(department="b")
    assert ["0004"] == await codes(states=(State.SUPPLEMENT,))
    assert ["B-1", "0002"] == await codes(due_before_ms=at("2026-11-24 00:00"))
    assert ["B-1"] == await codes(late_at_ms=at("2026-11-20 09:00"))
    assert ["B-1", "0002"] == await codes(warned_at_ms=at("2026-11-20 09:00"))


async def test_loads_are_counted(registry: Registry):
    """Open dossiers and late ones, by department and state."""
    for days in (1, 1, 5):
        await registry.receive(days=days)
    await registry.do("X-261118-0002", MarkReady())
    loads = await registry.store.load(at("2026-11-20 09:00"))
    assert [("c", "a", "received", 2, 1)] == [msgspec.structs.astuple(load) for load in loads]


async def test_a_fact_stays_until_it_is_settled(registry: Registry):
    """Oldest first."""
    for _ in range(3):
        await registry.receive()
    first, second, third = await registry.store.waiting(9)
    await registry.store.settle([first.id, third.id])
    assert (second,) == await registry.store.waiting(9)
    assert 1 == await registry.store.backlog()
    await registry.store.settle([second.id])
    assert 0 == await registry.store.backlog()


async def test_another_secret_makes_the_old_one_worthless(registry: Registry):
    """It changes nothing else."""
    dossier = await registry.receive()
    again = await registry.store.renew_secret(envelope("renew"), "c", dossier.code, b"new")
    assert again == dossier == await registry.store.renew_secret(envelope("renew"), "c", dossier.code, b"newer")
    assert await registry.store.find(dossier.code, b"new".__eq__) is not None
    with pytest.raises(UnknownDossier):
        await registry.store.renew_secret(envelope(), "d", dossier.code, b"new")


async def test_people_are_erased_and_the_dossier_stays(registry: Registry):
    """Of what was returned long ago, the person and the staff's notes go; of others, nothing."""
    person = Person(name="Nguyễn Văn Thử")
    for code in ("OLD", "OPEN"):
        await registry.receive(code=code, person=person)
        await registry.do(code, Progress(title="Thẩm định", note="ghi chú"))
    for wish in (MarkReady(), Return()):
        await registry.do("OLD", wish)

    assert 0 == await registry.store.erase_people(NOW_MS)
    assert 1 == await registry.store.erase_people(NOW_MS + 1)
    old, still = await registry.store.read("c", "OLD"), await registry.store.read("c", "OPEN")
    assert (None, None, 4) == (old.person, old.steps[1].note, len(old.steps))
    assert (person, "ghi chú") == (still.person, still.steps[1].note)
    assert 1 == await registry.count(people)


async def test_answers_are_kept_for_the_day_and_the_next(registry: Registry):
    """Who forgets says before which day."""
    await registry.receive("kept")
    assert 0 == await registry.store.forget_answers(DAY)
    assert 1 == await registry.store.forget_answers("2026-11-19")
