"""
The command line: ``queue-service run``, ``serve``, ``check-centre``, ``import-centre``, ``functions``, ``users``,
``devices``.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any, NoReturn

import click
import structlog
import uvloop

from queue_service import app, library
from queue_service.archive.archive import ArchiveUnusable
from queue_service.centre import Centre, build, check, load_centre
from queue_service.centre_file import FaultyCentre, parse
from queue_service.channel import Channel
from queue_service.clock import SystemClock
from queue_service.dispatch import Dispatch
from queue_service.embedded import EmbeddedServer, EmbeddedServerError
from queue_service.errors import QueueError
from queue_service.identity import DEVICE_ROLES, EVERYWHERE, ROLES, Identities
from queue_service.legible import letters, needed_mm
from queue_service.settings import Settings, SettingsError, read_settings
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
    for line in board_table(centre):
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

    async def work(_: Identities, dispatch: Dispatch) -> None:
        reply = await dispatch.configure(centre)
        click.echo(f"{centre.id} is in force as version {centre.version}, event {reply['seq']}.")

    _go(_with_store(work))


@commands.command("renew-epoch")
@click.argument("centres", nargs=-1)
def renew_epoch(centres: tuple[str, ...]) -> None:
    """
    Begin a new event order for CENTRES (default: all): after a restore or a fail-over, so that screens take a fresh
    snapshot.
    """

    async def work(_: Identities, dispatch: Dispatch) -> None:
        for id in centres or await dispatch.store.centre_ids():
            await dispatch.renew_epoch(await dispatch.centre(id))
            click.echo(f"{id}: a new event order has begun.")

    _go(_with_store(work))


@commands.command()
def functions() -> None:
    """Print the Function library and its version."""
    click.echo(library.source())


@commands.group()
def users() -> None:
    """Accounts of staff."""


@users.command("add")
@click.argument("name")
@click.option("--role", "roles", multiple=True, required=True, type=click.Choice(sorted(ROLES)))
@click.option("--centre", "centres", multiple=True, default=(EVERYWHERE,), show_default=True)
@click.option("--display-name", default="")
@click.password_option()
def add_user(name: str, roles: tuple[str, ...], centres: tuple[str, ...], display_name: str, password: str) -> None:
    """Create the account NAME."""

    async def work(identities: Identities, dispatch: Dispatch) -> None:
        now_ms = dispatch.clock.now_ms()
        await identities.accounts.create(
            name, password, roles=roles, centres=centres, now_ms=now_ms, display_name=display_name
        )
        click.echo(f"{name} may sign in.")

    _go(_with_store(work))


@users.command("list")
def list_users() -> None:
    """All accounts."""

    async def work(identities: Identities, _: Dispatch) -> None:
        for account in await identities.accounts.list():
            roles, centres = ", ".join(sorted(account.roles)), ", ".join(sorted(account.centres))
            click.echo(f"{account.name:<28} {roles:<24} {centres:<24} {account.display_name}")

    _go(_with_store(work))


@users.command("password")
@click.argument("name")
@click.password_option()
def set_password(name: str, password: str) -> None:
    """Give NAME another password and end all its sessions."""

    async def work(identities: Identities, _: Dispatch) -> None:
        await identities.accounts.set_password(name, password)
        await identities.accounts.end_sessions(name)
        click.echo(f"{name} has a new password.")

    _go(_with_store(work))


@users.command("remove")
@click.argument("name")
def remove_user(name: str) -> None:
    """Remove the account NAME and end all its sessions."""

    async def work(identities: Identities, _: Dispatch) -> None:
        await identities.accounts.remove(name)
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

    async def work(identities: Identities, dispatch: Dispatch) -> None:
        await dispatch.centre(centre)
        made, token = await identities.devices.create(
            role=role, centre=centre, now_ms=dispatch.clock.now_ms(), device=device, label=label
        )
        click.echo(f"{made.id}  {token}")

    _go(_with_store(work))


@devices.command("list")
@click.argument("centre", required=False)
def list_devices(centre: str | None) -> None:
    """All devices, or those of CENTRE."""

    async def work(identities: Identities, _: Dispatch) -> None:
        for device in await identities.devices.list(centre):
            click.echo(
                f"{device.id:<14} {device.centre:<20} {device.role:<10} {device.device or '-':<10} {device.label}"
            )

    _go(_with_store(work))


@devices.command("revoke")
@click.argument("device")
def revoke_device(device: str) -> None:
    """Take the power of DEVICE's token away; its screens close within seconds."""

    async def work(identities: Identities, _: Dispatch) -> None:
        if not await identities.devices.revoke(device):
            _fail(f"There is no device {device}.", 1)
        click.echo(f"{device} is revoked.")

    _go(_with_store(work))


async def _with_store(work: Any) -> None:
    """Do *work* with the installation's store: the configured one, or the embedded one (running or not)."""
    settings = _settings()
    embedded = None if settings.redis_url else EmbeddedServer(settings.data_dir)
    url = settings.redis_url or await embedded.start()  # type: ignore[union-attr]  # one of the two is there
    client = app.connect(url)
    channel = Channel(client.connection_pool.make_connection)
    identities = Identities(client)
    try:
        await app.check_server(client)
        dispatch = Dispatch(TicketStore(channel, client), SystemClock())
        await app.prepare(dispatch.store)
        await work(identities, dispatch)
    finally:
        identities.close()
        await channel.close()
        await client.aclose()
        if embedded is not None:
            await embedded.stop()


def _settings() -> Settings:
    try:
        settings = read_settings(os.environ)
    except SettingsError as error:
        _fail(str(error), error.exit_code)
    _log_as(settings.log)
    return settings


def _log_as(form: str) -> None:
    renderer: Any = structlog.processors.JSONRenderer() if form == "json" else structlog.dev.ConsoleRenderer()
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(name)s %(levelname)s %(message)s")


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
    except FaultyCentre as faulty:
        _fail(f"A centre file is faulty:\n{faulty}", 1)
    except OSError as trouble:
        named = f"{trouble.filename}: " if trouble.filename else ""
        _fail(f"{named}{trouble.strerror or trouble}.", 5)


def _fail(sentence: str, code: int) -> NoReturn:
    click.echo(sentence, err=True)
    sys.exit(code)
