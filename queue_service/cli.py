"""
The command line: ``queue-service run``, ``serve``, ``check-centre``, ``import-centre``, ``backup``, ``restore``,
``functions``, ``users``, ``devices``, ``dossiers``.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import click
import uvloop
from redis.asyncio import Redis

from displays.budget import voice_table
from displays.speech import PACKS, FaultyPack, load_packs
from queue_service import app, library
from queue_service.archive.archive import Archive, ArchiveUnusable
from queue_service.archive.dossiers import DossierStore
from queue_service.audit import Audit
from queue_service.authority import DEVICE_ROLES, EVERYWHERE, STAFF_ROLES, By, Identity
from queue_service.backup import SKIP, BackupRefused, Installation, Manifest
from queue_service.centre import Centre, build, check, load_centre
from queue_service.centre_file import FaultyCentre, parse
from queue_service.channel import Channel
from queue_service.clock import DAY_MS, SystemClock
from queue_service.devices import Devices
from queue_service.dispatch import Dispatch
from queue_service.embedded import EmbeddedServer, EmbeddedServerError
from queue_service.errors import QueueError
from queue_service.identity import Identities
from queue_service.legible import letters, needed_mm
from queue_service.logs import write_logs
from queue_service.passwords import Passwords
from queue_service.settings import Settings, SettingsError, read_settings
from queue_service.slip_key import SlipKey
from queue_service.staff import Staff
from queue_service.store import TicketStore


def main() -> None:
    """Entry point of ``queue-service``."""
    commands()


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def commands() -> None:
    """Queue tickets, counters and hall screens for public service centres."""


@commands.command()
@click.option("--demo", is_flag=True, help="Let simulated visitors and officers use the halls.")
@click.option("--speed", default=60.0, show_default=True, help="With --demo: how much faster than life.")
def run(demo: bool, speed: float) -> None:
    """Run everything in one process, with the example centres and demo sign-ins unless told otherwise."""
    _go(app.serve(_settings(), click.echo, with_demo=True, demo_speed=speed if demo else None))


@commands.command()
def serve() -> None:
    """Run one worker of an installation; centres and accounts are those of its store."""
    _go(app.serve(_settings(), click.echo, with_demo=False))


@commands.command("check-centre")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
def check_centre(file: Path) -> None:
    """Explain every mistake of a centre FILE with its place; exit code 1 if there is one that stops it."""
    try:
        raw = parse(file.read_bytes(), "json" if file.suffix == ".json" else "toml")
        problems = check(raw)
    except FaultyCentre as faulty:
        problems = list(faulty.problems)
        raw = None
    for problem in problems:
        click.echo(f"{problem.severity:<8} {problem.place}: {problem.sentence}")
    if raw is None or any(problem.severity == "error" for problem in problems):
        sys.exit(1)
    centre = build(raw)
    click.echo(
        f"{centre.name}: {len(centre.departments)} departments, {len(centre.services)} services, "
        f"{len(centre.counters)} counters, {len(centre.boards)} boards, version {centre.version}"
    )
    for line in (*board_table(centre), *voice_table(centre, load_packs(PACKS))):
        click.echo(line)


def board_table(centre: Centre) -> Iterator[str]:
    """How high the letters of each board stand, hung across and upright, against what its farthest reader needs."""
    if not centre.boards:
        return
    head = f"{'board':<12} {'layout':<12} {'screen':>7} {'from':>6} {'needed':>7}"
    yield f"\n{head}   across / upright: call, numbers, at once"
    for board in centre.boards:
        counters = [counter for counter in centre.counters if counter.zone in board.zones]
        departments = {
            centre.service(line.service).department for one in counters for line in one.serves if line.level == 1
        }
        count = len(departments) if board.layout == "departments" else len(counters)
        reached = []
        for is_upright in (False, True):
            found = letters(board.layout, board.inches, board.distance_m, count, is_upright=is_upright)
            pages = f" on {found.pages} pages" if found.pages > 1 else ""
            short = "" if found.number_mm >= needed_mm(board.distance_m) - 0.5 else " TOO SMALL"
            reached.append(f"{found.call_mm:.0f} mm, {found.number_mm:.0f} mm, {found.at_once}{pages}{short}")
        yield (
            f"{board.id:<12} {board.layout:<12} {f'{board.inches:g}″':>7} {f'{board.distance_m:g} m':>6} "
            f"{needed_mm(board.distance_m):>4.0f} mm   {' / '.join(reached)}"
        )


@commands.command("import-centre")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
def import_centre(file: Path) -> None:
    """Put the centre of FILE in force, also in the middle of the day."""
    try:
        centre = load_centre(file)
    except FaultyCentre as faulty:
        _fail(f"{file} is faulty; `queue-service check-centre {file}` lists why.\n{faulty}", 1)

    async def work(house: House) -> None:
        reply = await house.dispatch.configure(centre, actor="staff:cli")
        click.echo(f"{centre.id} is in force as version {centre.version}, event {reply['seq']}.")

    _go(_with_store(work))


@commands.command("renew-epoch")
@click.argument("centres", nargs=-1)
def renew_epoch(centres: tuple[str, ...]) -> None:
    """
    Begin a new event order for CENTRES (default: all): after a restore or a fail-over, so that screens take a fresh
    snapshot.
    """

    async def work(house: House) -> None:
        for id in centres or await house.dispatch.store.centre_ids():
            await house.dispatch.renew_epoch(await house.dispatch.centre(id))
            click.echo(f"{id}: a new event order has begun.")

    _go(_with_store(work))


@commands.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
def backup(file: Path) -> None:
    """Write everything of this installation to FILE, while it runs or not."""

    async def work(installation: Installation) -> None:
        manifest = await installation.backup(file)
        click.echo(f"{file}: {_contents(manifest)}")

    _go(_with_memories(work))


@commands.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--replace", is_flag=True, help="Give up what store and archive hold.")
@click.option(
    "--skip",
    default=SKIP,
    show_default=True,
    type=click.IntRange(0, 999),
    help="Numbers that each department leaves out, because they may have been given out after the backup.",
)
def restore(file: Path, replace: bool, skip: int) -> None:
    """Put the backup in FILE in force; no worker may run."""

    async def work(installation: Installation) -> None:
        restored = await installation.restore(file, replace=replace, skip=skip)
        click.echo(f"Restored: {_contents(restored.manifest)}")
        if restored.unlike:
            click.echo(restored.unlike, err=True)

    _go(_with_memories(work))


def _contents(manifest: Manifest) -> str:
    taken = datetime.fromtimestamp(manifest.taken_at_ms / 1000, UTC).astimezone()
    rows = sum(manifest.tables.values())
    return f"{len(manifest.centres)} centres, {rows} rows of the archive, as of {taken:%Y-%m-%d %H:%M:%S %z}."


@commands.command()
def functions() -> None:
    """Print the Function library and its version."""
    click.echo(library.source())


@commands.group()
def users() -> None:
    """Accounts of staff."""


@users.command("add")
@click.argument("name")
@click.option("--role", "roles", multiple=True, required=True, type=click.Choice(sorted(STAFF_ROLES)))
@click.option("--centre", "centres", multiple=True, default=(EVERYWHERE,), show_default=True)
@click.option("--display-name", default="")
@click.option("--home-department", help="Id of the department that sent somebody who is seconded.")
@click.password_option()
def add_user(
    name: str,
    roles: tuple[str, ...],
    centres: tuple[str, ...],
    display_name: str,
    home_department: str | None,
    password: str,
) -> None:
    """Create the account NAME."""

    async def work(house: House) -> None:
        for centre in centres:
            if centre != EVERYWHERE:
                await house.dispatch.centre(centre)
        await house.staff.create(
            name,
            password=password,
            roles=roles,
            centres=centres,
            display_name=display_name,
            home_department=home_department,
            by=house.by,
        )
        click.echo(f"{name} may sign in.")

    _go(_with_store(work))


@users.command("list")
@click.argument("centre", required=False)
def list_users(centre: str | None) -> None:
    """All accounts, or those of CENTRE."""

    async def work(house: House) -> None:
        for account in await house.staff.list_all(house.by.identity, centre):
            roles, centres = ", ".join(sorted(account.roles)), ", ".join(sorted(account.centres))
            mark = "disabled" if account.is_disabled else "authenticator" if account.has_second_factor else "-"
            click.echo(f"{account.name:<28} {roles:<24} {centres:<24} {mark:<14} {account.display_name}")

    _go(_with_store(work))


@users.command("password")
@click.argument("name")
@click.option("--forget-second-factor", is_flag=True, help="The person has lost the authenticator, too.")
@click.password_option()
def set_password(name: str, forget_second_factor: bool, password: str) -> None:
    """Give NAME another password and end all its sessions."""

    async def work(house: House) -> None:
        await house.staff.reset_password(name, house.by, password=password, forget_second_factor=forget_second_factor)
        click.echo(f"{name} has a new password.")

    _go(_with_store(work))


@users.command("disable")
@click.argument("name")
def disable_user(name: str) -> None:
    """Keep NAME from signing in, and end all its sessions."""

    async def work(house: House) -> None:
        await house.staff.change(name, house.by, is_disabled=True)
        click.echo(f"{name} may not sign in any more.")

    _go(_with_store(work))


@users.command("enable")
@click.argument("name")
def enable_user(name: str) -> None:
    """Let NAME sign in again."""

    async def work(house: House) -> None:
        await house.staff.change(name, house.by, is_disabled=False)
        click.echo(f"{name} may sign in.")

    _go(_with_store(work))


@users.command("sign-out")
@click.argument("name")
def end_sessions(name: str) -> None:
    """End all sessions of NAME."""

    async def work(house: House) -> None:
        await house.staff.end_sessions(name, house.by)
        click.echo(f"All sessions of {name} have ended.")

    _go(_with_store(work))


@users.command("remove")
@click.argument("name")
def remove_user(name: str) -> None:
    """Remove the account NAME and end all its sessions."""

    async def work(house: House) -> None:
        await house.staff.remove(name, house.by)
        click.echo(f"{name} is gone.")

    _go(_with_store(work))


@commands.group()
def devices() -> None:
    """Tokens of kiosks, boards and integrators."""


@devices.command("add")
@click.argument("centre")
@click.option("--role", required=True, type=click.Choice(sorted(DEVICE_ROLES)))
@click.option("--device", help="Id of the kiosk or board in the centre's file.")
@click.option("--label", default="")
def add_device(centre: str, role: str, device: str | None, label: str) -> None:
    """Make a token for a device of CENTRE; it is shown this once."""

    async def work(house: House) -> None:
        await house.dispatch.centre(centre)
        made, token = await house.devices.create(role=role, centre=centre, device=device, label=label, by=house.by)
        click.echo(f"{made.id}  {token}")

    _go(_with_store(work))


@devices.command("list")
@click.argument("centre", required=False)
def list_devices(centre: str | None) -> None:
    """All devices, or those of CENTRE."""

    async def work(house: House) -> None:
        for device in await house.identities.devices.list(centre):
            click.echo(
                f"{device.id:<14} {device.centre:<20} {device.role:<10} {device.device or '-':<10} {device.label}"
            )

    _go(_with_store(work))


@devices.command("revoke")
@click.argument("device")
def revoke_device(device: str) -> None:
    """Take the power of DEVICE's token away; its screens close within seconds."""

    async def work(house: House) -> None:
        await house.devices.revoke(device, house.by)
        click.echo(f"{device} is revoked.")

    _go(_with_store(work))


@commands.group()
def dossiers() -> None:
    """What is kept about dossiers."""


@dossiers.command("erase-people")
@click.option("--returned-days", type=click.IntRange(1), required=True, help="Only of dossiers returned longer ago.")
def erase_people(returned_days: int) -> None:
    """Erase whose dossiers were, and what staff noted; trace, papers and dates stay."""

    async def work() -> None:
        archive = await Archive.open(_settings().archive_url)
        try:
            before_ms = SystemClock().now_ms() - returned_days * DAY_MS
            click.echo(f"{await DossierStore(archive).erase_people(before_ms)} persons are erased.")
        finally:
            await archive.close()

    _go(work())


class House(NamedTuple):
    """An installation, as whoever sits at its machine works on it."""

    identities: Identities
    dispatch: Dispatch
    staff: Staff
    devices: Devices

    @property
    def by(self) -> By:
        """Whoever sits at the machine may do everything, now."""
        operator = Identity(name="cli", roles=frozenset({"admin"}), centres=frozenset({EVERYWHERE}), kind="staff")
        return By(operator, self.dispatch.clock.now_ms())


async def _opened(stack: AsyncExitStack) -> tuple[Redis, TicketStore, Archive]:
    """Both memories of the installation, closed with *stack*: the store is the configured or the embedded one."""
    settings = _settings()
    url = settings.redis_url
    if url is None:
        embedded = EmbeddedServer(settings.data_dir)
        stack.push_async_callback(embedded.stop)
        url = await embedded.start()
    client = app.connect(url)
    stack.push_async_callback(client.aclose)
    channel = Channel(client.connection_pool.make_connection)
    stack.push_async_callback(channel.close)
    await app.check_server(client)
    store = TicketStore(channel, client)
    await app.prepare(store)
    archive = await Archive.open(settings.archive_url)
    stack.push_async_callback(archive.close)
    return client, store, archive


async def _with_store(work: Callable[[House], Awaitable[None]]) -> None:
    """Do *work* with the installation, whether it runs or not."""
    async with AsyncExitStack() as stack:
        client, store, archive = await _opened(stack)
        identities = Identities(client)
        audit = Audit(archive, await identities.key_of_places())
        stack.push_async_callback(audit.close)
        passwords = Passwords()
        stack.callback(passwords.close)
        dispatch = Dispatch(store, SystemClock(), audit=audit)
        staff = Staff(archive, identities, passwords, audit)
        await work(House(identities, dispatch, staff, Devices(identities, dispatch, audit)))


async def _with_memories(work: Callable[[Installation], Awaitable[None]]) -> None:
    """Do *work* with what the installation remembers, and leave nothing there that was not."""
    async with AsyncExitStack() as stack:
        client, store, archive = await _opened(stack)
        await work(Installation(client, Dispatch(store, SystemClock()), archive, SlipKey.of(_settings())))


def _settings() -> Settings:
    try:
        settings = read_settings(os.environ)
    except SettingsError as error:
        _fail(str(error), error.exit_code)
    write_logs(settings.log)
    return settings


def _go(work: Coroutine[Any, Any, None]) -> None:
    """Run *work*; what stops it is a sentence and an exit code."""
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(work)
    except (app.StoreUnusable, ArchiveUnusable) as trouble:
        _fail(str(trouble), trouble.exit_code)
    except EmbeddedServerError as trouble:
        _fail(str(trouble), app.StoreUnusable.exit_code)
    except QueueError as refusal:
        _fail(refusal.detail, 1)
    except BackupRefused as refusal:
        _fail(str(refusal), 1)
    except FaultyCentre as faulty:
        _fail(f"A centre file is faulty:\n{faulty}", 1)
    except FaultyPack as faulty:
        _fail(f"A language cannot be spoken: {faulty}", 1)
    except OSError as trouble:
        named = f"{trouble.filename}: " if trouble.filename else ""
        _fail(f"{named}{trouble.strerror or trouble}.", 5)


def _fail(sentence: str, code: int) -> NoReturn:
    click.echo(sentence, err=True)
    sys.exit(code)
