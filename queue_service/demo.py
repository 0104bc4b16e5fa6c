"""
Demo identities and dossiers: what a newcomer signs in with and looks at, made once per installation and written down
for scripts.

Passwords, tokens and the secret of one dossier's slip are random; ``demo.json`` in the data folder (mode 0600) holds
them.  People are invented, and are named so that everybody sees it.  Nothing here exists unless
the service was started with ``run``.
"""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec

from queue_service.authority import EVERYWHERE, NOBODY, By, Identity, actor_of
from queue_service.centre import Centre
from queue_service.clock import DAY_MS
from queue_service.commands import Wish
from queue_service.dossiers import (
    HandOver,
    MarkReady,
    Missing,
    Paper,
    Progress,
    Refuse,
    RequestSupplement,
    Return,
    Search,
    State,
    Stop,
    TakeSupplement,
)
from queue_service.errors import ArchiveAway, Conflict
from queue_service.identity import Identities
from queue_service.procedures import Catalogue, Procedure
from queue_service.registry import Applicant, Handed, Registry
from queue_service.slips import payload
from queue_service.staff import Staff
from queue_service.working_days import Limit

FILE = "demo.json"
WORDS = (
    "sen",
    "lua",
    "tre",
    "gom",
    "song",
    "nui",
    "bien",
    "trang",
    "sao",
    "mai",
    "dao",
    "cau",
    "thuyen",
    "chim",
    "nang",
    "mua",
)
"""Passwords people can type from paper: five of these with a number, about 27 bits, for a demo on one's own machine."""


DEMO: Final = Identity(name="demo", centres=frozenset({EVERYWHERE}), kind="staff")
BEGUN: Final = Progress(title="Thẩm định (mẫu)")
MISSING: Final = Missing(paper="Bản vẽ (mẫu)", reason="chưa có chữ ký", how="ký tên rồi nộp lại tại quầy")
STORIES: Final[tuple[tuple[int, int, tuple[Wish, ...]], ...]] = (
    (0, 3, ()),
    (0, 5, ()),
    (1, 5, (HandOver(department=""),)),
    (2, 5, (HandOver(department=""), BEGUN)),
    (3, 10, (BEGUN, RequestSupplement(missing=(MISSING,)))),
    (5, 10, (RequestSupplement(missing=(MISSING,)), TakeSupplement())),
    (6, 5, (BEGUN,)),
    (12, 3, (BEGUN,)),
    (3, 10, (MarkReady(),)),
    (12, 3, (MarkReady(cause="chờ ý kiến của cơ quan khác (mẫu)"),)),
    (4, 10, (MarkReady(), Return())),
    (1, 10, (Refuse(reason="không thuộc thẩm quyền (mẫu)"),)),
    (2, 10, (Stop(reason="người nộp xin rút (mẫu)"),)),
)
"""Received so many days ago, with a limit of so many working days, and what was done since; no department: its own."""
TOLD_TWICE: Final = 2
"""How often each story is told, so that a list has more than one of a kind."""


class DemoDevice(msgspec.Struct, frozen=True):
    """A kiosk or board and its token."""

    id: str
    token: str


class DemoStaff(msgspec.Struct, frozen=True, omit_defaults=True):
    """Somebody to sign in as."""

    name: str
    password: str
    roles: tuple[str, ...]
    counter: str | None = None


class DemoSlip(msgspec.Struct, frozen=True):
    """What the slip of one dossier shows."""

    code: str
    secret: str


class DemoCentre(msgspec.Struct, frozen=True):
    """Everybody of one centre, and the slip of one of its dossiers; None where it has none of the demo."""

    kiosks: tuple[DemoDevice, ...]
    boards: tuple[DemoDevice, ...]
    staff: tuple[DemoStaff, ...]
    slip: DemoSlip | None = None


class Demo(msgspec.Struct, frozen=True):
    """What ``demo.json`` holds."""

    base: str
    centres: dict[str, DemoCentre]


async def prepare(
    staff: Staff,
    identities: Identities,
    registry: Registry,
    catalogues: Mapping[str, Catalogue],
    centres: list[Centre],
    data_dir: Path,
    base: str,
) -> Demo:
    """
    The demo identities of *centres*, and dossiers of those in *catalogues*: those of ``demo.json`` if they still hold,
    else new ones; the file is written again with *base*.
    """
    now_ms = registry.now_ms()
    file = data_dir / FILE
    known = _read(file)
    found: dict[str, DemoCentre] = {}
    for centre in centres:
        before = known.centres.get(centre.id) if known else None
        if before is None or not await _holds(staff, identities, before, now_ms):
            before = await _create(staff, identities, centre, now_ms)
        if before.slip is None and centre.id in catalogues:
            with suppress(ArchiveAway):  # the next start has it again
                slip = await _slip(registry, centre, catalogues[centre.id])
                before = msgspec.structs.replace(before, slip=slip)
        found[centre.id] = before
    demo = Demo(base, found)
    _write(file, demo)
    return demo


def _read(file: Path) -> Demo | None:
    try:
        return msgspec.json.decode(file.read_bytes(), type=Demo)
    except (OSError, msgspec.DecodeError):
        return None


def _write(file: Path, demo: Demo) -> None:
    new = file.with_suffix(".new")
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as out:
        out.write(msgspec.json.format(msgspec.json.encode(demo), indent=1))
    new.replace(file)


async def _holds(staff: Staff, identities: Identities, demo: DemoCentre, now_ms: int) -> bool:
    """Whether the first device still opens its door and the first account is there: nothing was replaced since."""
    devices = (*demo.kiosks, *demo.boards)
    if not devices or await identities.authenticate(devices[0].token, now_ms) == NOBODY:
        return False
    try:
        return await staff.get(demo.staff[0].name) is not None
    except ArchiveAway:  # it comes back with its accounts
        return True


async def _create(staff: Staff, identities: Identities, centre: Centre, now_ms: int) -> DemoCentre:
    by = By(DEMO, now_ms)

    async def device(role: str, id: str, label: str) -> DemoDevice:
        _, token = await identities.devices.create(role=role, centre=centre.id, now_ms=now_ms, device=id, label=label)
        return DemoDevice(id, token)

    async def person(name: str, roles: tuple[str, ...], display_name: str, counter: str | None = None) -> DemoStaff:
        password = "-".join(secrets.choice(WORDS) for _ in range(5)) + str(secrets.randbelow(90) + 10)
        full_name = f"{centre.id}.{name}"
        try:
            await staff.create(
                full_name, password=password, roles=roles, centres=(centre.id,), display_name=display_name, by=by
            )
        except Conflict:
            await staff.reset_password(full_name, by, password=password)
        return DemoStaff(full_name, password, roles, counter)

    people = [
        person("giamdoc", ("admin", "supervisor"), "Giám đốc trung tâm (mẫu)"),
        person("truongca", ("supervisor", "desk"), "Trưởng ca (mẫu)"),
        person("huongdan", ("desk",), "Bàn hướng dẫn (mẫu)"),
        *(person(counter.id, ("officer",), f"Cán bộ {counter.name} (mẫu)", counter.id) for counter in centre.counters),
    ]
    return DemoCentre(
        kiosks=tuple([await device("kiosk", kiosk.id, kiosk.name) for kiosk in centre.kiosks]),
        boards=tuple([await device("board", board.id, board.name) for board in centre.boards]),
        staff=tuple(await asyncio.gather(*people)),
    )


async def _slip(registry: Registry, centre: Centre, catalogue: Catalogue) -> DemoSlip:
    """The slip of a dossier that waits for papers, newly printed; the dossiers, too, where there is none."""
    waits_for_papers = Search(centre=centre.id, states=(State.SUPPLEMENT,), limit=1)
    if not await registry.search(waits_for_papers):
        for n, story in enumerate(STORIES * TOLD_TWICE):
            await _tell(registry, centre, catalogue.procedures[n % len(catalogue.procedures)], n + 1, story)
    first, *_ = await registry.search(waits_for_papers)
    _, secret = await registry.renew_secret(centre.id, first.code, actor_of(DEMO), secrets.token_hex(8))
    return DemoSlip(first.code, secret)


async def _tell(
    registry: Registry, centre: Centre, procedure: Procedure, n: int, story: tuple[int, int, tuple[Wish, ...]]
) -> None:
    """One invented dossier, by the presses that officers have for it; identity numbers with 000 are never issued."""
    days_ago, working_days, wishes = story
    handed = Handed(
        procedure=procedure.code,
        limit=Limit("working_day", working_days),
        papers=tuple(Paper(name=f"Giấy tờ mẫu {place}", originals=1) for place in (1, 2)),
        fee_vnd=procedure.fee_vnd,
        fee_paid=procedure.fee_vnd is not None,
        applicant=Applicant(name=f"Người Mẫu Số {n}", identity=f"000{n:09}"),
        received_ms=registry.now_ms() - days_ago * DAY_MS,
    )
    actor, press = actor_of(DEMO), secrets.token_hex(8)
    dossier, _ = await registry.receive(centre.id, handed, actor, press)
    for place, wish in enumerate(wishes):
        done = HandOver(department=dossier.department) if isinstance(wish, HandOver) else wish
        await registry.carry_out(centre.id, dossier.code, done, actor, f"{press}-{place}")


def addresses(demo: Demo) -> str:
    """What ``run`` prints: where to go, and whom to sign in as."""
    lines = [f"  Start page     {demo.base}/"]
    for id, centre in demo.centres.items():
        lines.append(f"\n  {id}")
        lines += [
            f"    Kiosk {device.id:<8} {demo.base}/kiosk/{id}/{device.id}#token={device.token}"
            for device in centre.kiosks[:1]
        ]
        lines += [
            f"    Board {device.id:<8} {demo.base}/board/{id}/{device.id}#token={device.token}"
            for device in centre.boards
        ]
        lines.append(f"    Console        {demo.base}/console/{id}")
        if centre.slip is not None:
            lines.append(f"    Dossier        {payload(demo.base, centre.slip.code, centre.slip.secret)}")
        lines.append(f"    Supervisor     {demo.base}/supervisor/{id}")
        lines.append(f"    Boards         {demo.base}/boards/{id}")
        lines.append(f"    Administration {demo.base}/admin/{id}")
        shown = [person for person in centre.staff if person.counter is None or person is centre.staff[3]]
        lines += [f"      {person.name:<22} {person.password:<34} {', '.join(person.roles)}" for person in shown]
    return "\n".join(lines)
