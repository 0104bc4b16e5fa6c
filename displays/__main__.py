"""`python -m displays`: the hub as a process of its own, and programs for what hangs beside screens."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import shlex
import sys
from pathlib import Path

import aiohttp
import click
import uvloop
from prometheus_client import start_http_server

from displays.app import Options, run
from displays.clips import NO_CLIPS, load_clips
from displays.panel_agent import PanelAgent
from displays.panel_file import PanelFile, load
from displays.speaker import Speaker, by_program, find_player, into_folder
from displays.speech import PACKS, FaultyPack, load_packs, speech_of
from queue_service.centre import FaultyCentre, load_centre
from queue_service.clock import SystemClock
from queue_service.device_file import FaultyFile, read_secret
from queue_service.errors import QueueError
from queue_service.logs import write_logs

CANNOT_START = 3
"""The exit code of a start that failed."""


@click.group(invoke_without_command=True, context_settings={"show_default": True})
@click.option("--redis-url", envvar="QUEUE_REDIS_URL", help="The store that holds the events.")
@click.option("--service-url", envvar="DISPLAYS_SERVICE_URL", help="The service that knows the screens.")
@click.option("--host", envvar="DISPLAYS_HOST", default="127.0.0.1", help="Address to listen on.")
@click.option("--port", envvar="DISPLAYS_PORT", default=8090, type=click.IntRange(0, 65535), help="Port to listen on.")
@click.option("--cluster", envvar="DISPLAYS_CLUSTER", is_flag=True, help="The store is a Redis Cluster.")
@click.option(
    "--data-dir",
    envvar="DISPLAYS_DATA_DIR",
    default=Path("var"),
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder of finished sounds and of recordings.",
)
@click.pass_context
def main(
    context: click.Context,
    redis_url: str | None,
    service_url: str | None,
    host: str,
    port: int,
    data_dir: Path,
    *,
    cluster: bool,
) -> None:
    """Push the events of all centres to hall screens; or, with a command, drive what hangs beside them."""
    if context.invoked_subcommand is not None:
        return
    if not redis_url or not service_url:
        raise click.UsageError("Say which store and which service: --redis-url and --service-url.")
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    service_url = service_url.rstrip("/")
    options = Options(
        redis_url=redis_url, service_url=service_url, host=host, port=port, cluster=cluster, data_dir=data_dir
    )
    try:
        uvloop.run(run(options))
    except (OSError, ValueError) as error:
        print(f"The displays cannot start: {error}", file=sys.stderr)
        sys.exit(CANNOT_START)


@main.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--check", is_flag=True, help="Explain every mistake of FILE with its place, and stop.")
@click.option("--dry-run", is_flag=True, help="Print what each panel would be sent now, and stop; no port is opened.")
def panels(file: Path, check: bool, dry_run: bool) -> None:
    """Drive counter panels and strips of lamps as FILE says (docs/hardware.md)."""
    try:
        settings = load(file)
        if check:
            print(f"{file} is in order: {len(settings.panels)} panels on {len(settings.ports)} ports.")
            return
        token = read_secret(Path(settings.token_file))
        if not dry_run and settings.metrics_port:
            start_http_server(settings.metrics_port, addr="127.0.0.1")
    except FaultyFile as faulty:
        for problem in faulty.problems:
            print(f"{file}: {problem}", file=sys.stderr)
        sys.exit(CANNOT_START)
    except (OSError, ValueError) as error:
        print(f"The agent for panels cannot start: {error}", file=sys.stderr)
        sys.exit(CANNOT_START)
    write_logs()
    try:
        asyncio.run(_dry_run(settings, token) if dry_run else _panels(settings, token))
    except QueueError as error:
        print(f"The service refuses: {error} ({error.code})", file=sys.stderr)
        sys.exit(CANNOT_START)
    except KeyboardInterrupt:
        pass


async def _panels(settings: PanelFile, token: str) -> None:
    async with aiohttp.ClientSession() as session:
        await PanelAgent(settings, token, session, SystemClock()).run()


async def _dry_run(settings: PanelFile, token: str) -> None:
    async with aiohttp.ClientSession() as session:
        agent = PanelAgent(settings, token, session, SystemClock())
        await agent.read()
        for panel in agent.panels:
            line = panel.adapter.show(
                panel.entry.address, 0, panel.wanted, settings.blink_s if panel.wanted.ring else 0
            )
            print(f"{panel.entry.id:<16} {line.decode('ascii').rstrip()}")


@main.command()
@click.option("--url", required=True, help="Address of the service.")
@click.option("--centre", required=True)
@click.option("--board", required=True, help="Whose calls are spoken.")
@click.option(
    "--token", envvar="DISPLAYS_TOKEN", required=True, help="Of the board's device; better in the environment."
)
@click.option("--player", help="Program that plays a WAV file from its standard input; else paplay or aplay.")
@click.option("--folder", type=click.Path(file_okay=False, path_type=Path), help="Write files there instead.")
def speaker(url: str, centre: str, board: str, token: str, player: str | None, folder: Path | None) -> None:
    """Play what the voice says through the hall's amplifier, without a screen (docs/voice.md)."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    command = tuple(shlex.split(player)) if player else find_player()
    if folder is None and command is None:
        print("There is no paplay and no aplay here: say which --player.", file=sys.stderr)
        sys.exit(CANNOT_START)
    play = into_folder(folder) if folder is not None else by_program(command or ())

    async def run_speaker() -> None:
        async with aiohttp.ClientSession() as session:
            await Speaker(session, url.rstrip("/"), centre, board, token, play).run()

    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(run_speaker())


@main.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--clips", type=click.Path(exists=True, file_okay=False, path_type=Path), help="What is missing there?")
def words(file: Path, clips: Path | None) -> None:
    """List every word to record for the voice of the centre in FILE, as a manifest to fill in (docs/voice.md)."""
    try:
        speech = speech_of(load_centre(file), load_packs(PACKS))
    except (FaultyCentre, FaultyPack, OSError) as error:
        print(error, file=sys.stderr)
        sys.exit(CANNOT_START)
    pack = NO_CLIPS if clips is None else load_clips(clips)
    for fault in pack.faults:
        print(f"# {fault}")
    for language, pieces in speech.words().items():
        print(f"[clips.{language}]")
        for number, piece in enumerate(pieces, 1):
            if (language, piece) not in pack.clips:
                print(f'"{piece}" = "{language}-{number:03}.wav"')


if __name__ == "__main__":
    main()
