"""
Demo identities: what a newcomer signs in with, made once per installation and written down for scripts.

Passwords and tokens are random; ``demo.json`` in the data folder (mode 0600) holds them.  Nothing here exists unless
the service was started with ``run``.
"""

from __future__ import annotations

import asyncio
import os
import secrets
from pathlib import Path

import msgspec

from queue_service.authority import EVERYWHERE, NOBODY, By, Identity
from queue_service.centre import Centre
from queue_service.errors import ArchiveAway, Conflict
from queue_service.identity import Identities
from queue_service.staff import Staff

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


class DemoCentre(msgspec.Struct, frozen=True):
    """Everybody of one centre."""

    kiosks: tuple[DemoDevice, ...]
    boards: tuple[DemoDevice, ...]
    staff: tuple[DemoStaff, ...]


class Demo(msgspec.Struct, frozen=True):
    """What ``demo.json`` holds."""

    base: str
    centres: dict[str, DemoCentre]


async def prepare(
    staff: Staff, identities: Identities, centres: list[Centre], data_dir: Path, base: str, now_ms: int
) -> Demo:
    """
    The demo identities of *centres*: those of ``demo.json`` if they still hold, else new ones; the file is written
    again with *base*.
    """
    file = data_dir / FILE
    known = _read(file)
    found: dict[str, DemoCentre] = {}
    for centre in centres:
        before = known.centres.get(centre.id) if known else None
        if before is None or not await _holds(staff, identities, before, now_ms):
            before = await _create(staff, identities, centre, now_ms)
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
    by = By(Identity(name="demo", centres=frozenset({EVERYWHERE}), kind="staff"), now_ms)

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
        lines.append(f"    Supervisor     {demo.base}/supervisor/{id}")
        lines.append(f"    Administration {demo.base}/admin/{id}")
        shown = [person for person in centre.staff if person.counter is None or person is centre.staff[3]]
        lines += [f"      {person.name:<22} {person.password:<34} {', '.join(person.roles)}" for person in shown]
    return "\n".join(lines)
