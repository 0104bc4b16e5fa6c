"""`python -m counters`: the terminal console; with a command, one press for a script."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn, cast

import aiohttp
import click
import msgspec
from prompt_toolkit.output import ColorDepth

from counters import pad_file, pads
from counters.client import CounterClient, Unanswered
from counters.console import Console, KeysNotUnderstood, keys_of
from counters.memory import Keep, folder
from counters.press import Button, CounterView, PressReply
from queue_service.commands import PressId
from queue_service.device_file import FaultyFile, read_secret
from queue_service.errors import Later, NotSignedIn, QueueError
from queue_service.logs import write_logs
from queue_service.texts import Language

REFUSED = 1
"""Exit code: nothing was done, and the sentence says why."""
FAULTY = 3
"""Exit code: a setting or a file cannot be used."""
SIGNED_OUT = 4
"""Exit code: nobody is signed in, or name and password are wrong."""
UNKNOWN = 5
"""Exit code: no answer; whether it was done is unknown, so repeat it with ``--key``."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """Where, and as whom."""

    url: str
    centre: str
    counter: str
    name: str
    password: str
    token: str | None
    token_file: Path | None
    deadline_s: float
    language: Language | None
    keys: str
    practice: bool


@click.group(invoke_without_command=True, context_settings={"show_default": True, "max_content_width": 100})
@click.option("--url", envvar="COUNTERS_URL", default="http://127.0.0.1:8080", help="Address of the service.")
@click.option("--centre", envvar="COUNTERS_CENTRE", default="", help="Id of the centre.")
@click.option("--counter", envvar="COUNTERS_COUNTER", default="", help="Id of the counter, such as q05.")
@click.option("--name", envvar="COUNTERS_NAME", default="", help="Account to sign in as.")
@click.option("--password-file", envvar="COUNTERS_PASSWORD_FILE", type=click.Path(path_type=Path), help="Mode 0600.")
@click.option("--token-file", envvar="COUNTERS_TOKEN_FILE", type=click.Path(path_type=Path), help="Mode 0600.")
@click.option("--deadline", envvar="COUNTERS_DEADLINE", default=30.0, help="Seconds that a press is repeated for.")
@click.option("--language", type=click.Choice(["vi", "en"]), help="Of the console; remembered.")
@click.option("--keys", envvar="COUNTERS_KEYS", default="", help="Further keys, such as 'f13=primary f14=recall'.")
@click.option("--practice", is_flag=True, help="Only practise with invented people; no service is asked for anything.")
@click.pass_context
def main(
    context: click.Context,
    url: str,
    centre: str,
    counter: str,
    name: str,
    password_file: Path | None,
    token_file: Path | None,
    deadline: float,
    language: Language | None,
    keys: str,
    *,
    practice: bool,
) -> None:
    """
    An officer's counter in a terminal; with a command, one press for a script.

    A script signs in with --token-file (made by sign-in), or with --name and COUNTERS_PASSWORD or --password-file.
    """
    try:
        password = read_secret(password_file) if password_file else os.environ.get("COUNTERS_PASSWORD", "")
        token = read_secret(token_file) if token_file and token_file.exists() else None
    except (OSError, ValueError) as error:
        _stop(str(error), FAULTY)
    context.obj = Options(
        url=url,
        centre=centre,
        counter=counter,
        name=name,
        password=password,
        token=token,
        token_file=token_file,
        deadline_s=deadline,
        language=language,
        keys=keys,
        practice=practice,
    )
    if context.invoked_subcommand is None:
        _console(context.obj)


def _console(options: Options) -> None:
    if not (options.centre or options.practice):
        raise click.UsageError("Say which centre: --centre.")
    if not (sys.stdin.isatty() and sys.stdout.isatty()) or os.environ.get("TERM", "dumb") in ("dumb", "unknown"):
        _stop("The console needs a terminal that can place letters; scripts use a command: see --help.", 2)
    try:
        keys = keys_of(options.keys)
    except KeysNotUnderstood as error:
        _stop(f"--keys: {error}", FAULTY)

    async def work() -> None:
        async with aiohttp.ClientSession() as session:
            keep = Keep(folder(dict(os.environ)), options.url, options.centre)
            await Console(
                session,
                options.url,
                options.centre,
                keep,
                token=options.token,
                name=options.name,
                password=options.password,
                counter=options.counter,
                language=options.language,
                keys=keys,
                practice=options.practice,
                color_depth=ColorDepth.DEPTH_1_BIT if os.environ.get("NO_COLOR") else None,
            ).run()

    _go(work())


def _stop(sentence: str, code: int) -> NoReturn:
    click.echo(sentence, err=True)
    sys.exit(code)


def _go(work: Coroutine[Any, Any, None]) -> None:
    """Do *work*; what stops it is a sentence and an exit code."""
    try:
        asyncio.run(work)
    except Unanswered as unknown:
        _stop(f"{unknown}. Whether it was done is unknown.", UNKNOWN)
    except NotSignedIn as refusal:
        _stop(f"{refusal} ({refusal.code})", SIGNED_OUT)
    except Later as refusal:
        _stop(f"{refusal} ({refusal.code})", UNKNOWN)
    except QueueError as refusal:
        _stop(f"{refusal} ({refusal.code})", REFUSED)


# ── one press for a script ───────────────────────────────────────────────────────────────────────────────────────────

Work = Callable[[CounterClient], Awaitable[None]]


def _with_client(options: Options, work: Work, *, needs_counter: bool = True) -> None:
    if not options.centre:
        raise click.UsageError("Say which centre: --centre.")
    if needs_counter and not options.counter:
        raise click.UsageError("Say which counter: --counter.")

    async def signed_in() -> None:
        async with CounterClient(
            options.url, options.centre, options.counter, token=options.token, deadline_s=options.deadline_s
        ) as client:
            if client.token() is None:
                if not (options.name and options.password):
                    raise click.UsageError(
                        "Say who presses: --token-file, or --name with --password-file or COUNTERS_PASSWORD."
                    )
                await client.sign_in(options.name, options.password)
            await work(client)

    _go(signed_in())


def _say(answer: bytes, *, as_json: bool) -> None:
    """The answer of a press: the service's own JSON, or a line."""
    if as_json:
        click.echo(answer.decode())
        return
    reply = msgspec.json.decode(answer, type=PressReply)
    ticket = f"{reply.ticket.number} {reply.ticket.state}" if reply.ticket is not None else "nobody"
    ready = " ready" if reply.counter.ready else ""
    click.echo(f"{ticket} · {reply.counter.id} {reply.counter.state}{ready}")


def _press(context: click.Context, button: Button, body: dict[str, Any], key: str | None, *, as_json: bool) -> None:
    async def work(client: CounterClient) -> None:
        wish = {name: value for name, value in body.items() if value not in (None, False, "")}
        _say(await client.change(f"{client.path}/{button}", wish, PressId(key) if key else None), as_json=as_json)

    _with_client(context.obj, work)


def _command(button: Button, *params: click.Parameter) -> None:
    """The command of *button*; *params* become its body."""

    def run(key: str | None, as_json: bool, **body: Any) -> None:
        _press(click.get_current_context(), button, body, key, as_json=as_json)

    main.add_command(
        click.Command(
            str(button),
            callback=run,
            params=[
                *params,
                click.Option(["--key"], help="Repeat the press that had this key."),
                click.Option(["--json", "as_json"], is_flag=True, help="The service's own answer."),
            ],
            help=_HELP[button],
        )
    )


_HELP = {
    Button.OPEN: "Take the seat, or end a pause.",
    Button.PAUSE: "Stop calling for a while.",
    Button.CLOSE: "Stop calling and leave the seat.",
    Button.CALL_NEXT: "Call whoever is due; nobody is an answer, too.",
    Button.CALL: "Call this number out of turn.",
    Button.RECALL: "Announce the called number again.",
    Button.START: "The visitor has come.",
    Button.COMPLETE: "The visitor is served.",
    Button.NO_SHOW: "Called and absent.",
    Button.PARK: "Set the visitor aside.",
    Button.TRANSFER: "Send the visitor on.",
    Button.ASK_HELP: "Ask a supervisor to come.",
    Button.ANSWER_HELP: "Nobody is needed any more.",
    Button.UNDO: "Take back the last step.",
}

_command(Button.OPEN, click.Option(["--take-over"], is_flag=True, help="From whoever sits there."))
_command(Button.PAUSE, click.Argument(["reason"], required=False))
_command(Button.CLOSE, click.Option(["--drain"], is_flag=True, help="Call first those whose slip names this counter."))
_command(Button.CALL, click.Argument(["ticket"]), click.Option(["--reason"]))
_command(Button.PARK, click.Argument(["reason"], required=False))
_command(
    Button.TRANSFER,
    click.Option(["--service"], help="To the line of this service."),
    click.Option(["--to-counter", "counter"], help="To this counter."),
    click.Option(["--note"], help="For the officer there."),
)
_command(Button.ASK_HELP, click.Argument(["text"], required=False))
for plain in (
    Button.CALL_NEXT,
    Button.RECALL,
    Button.START,
    Button.COMPLETE,
    Button.NO_SHOW,
    Button.ANSWER_HELP,
    Button.UNDO,
):
    _command(plain)


@main.command()
@click.argument("ticket")
@click.option("--key", help="Repeat the press that had this key.")
@click.option("--json", "as_json", is_flag=True, help="The service's own answer.")
@click.pass_context
def resume(context: click.Context, ticket: str, key: str | None, *, as_json: bool) -> None:
    """Call back a parked visitor, by id or printed number."""

    async def work(client: CounterClient) -> None:
        parked = (await client.view()).parked
        id = next((one.id for one in parked if one.number == ticket.upper()), ticket)
        answer = await client.change(f"{client.path}/{Button.RESUME}", {"ticket": id}, PressId(key) if key else None)
        _say(answer, as_json=as_json)

    _with_client(context.obj, work)


@main.command()
@click.option("--json", "as_json", is_flag=True, help="The service's own answer.")
@click.pass_context
def view(context: click.Context, *, as_json: bool) -> None:
    """What the officer sees: the ticket in hand, the lines, who is next, who is parked."""

    async def work(client: CounterClient) -> None:
        answer = await client.read(client.path)
        if as_json:
            click.echo(answer.decode())
            return
        seen = msgspec.json.decode(answer, type=CounterView)
        ticket = f"{seen.ticket.number} {seen.ticket.state}" if seen.ticket is not None else "nobody"
        click.echo(f"{ticket} · {seen.counter.id} {seen.counter.state} · {seen.counter.officer or 'nobody'}")
        for line in seen.lines:
            click.echo(f"  {line.service} {line.waiting}")
        click.echo(f"next {seen.next.number if seen.next is not None else 'nobody'}")
        for one in seen.parked:
            click.echo(f"parked {one.number} {one.park_reason or ''}".rstrip())

    _with_client(context.obj, work)


@main.command()
@click.option("--json", "as_json", is_flag=True, help="The service's own answer.")
@click.pass_context
def seats(context: click.Context, *, as_json: bool) -> None:
    """Who sits where."""

    async def work(client: CounterClient) -> None:
        answer = await client.read(f"/centres/{client.centre}/counters")
        if as_json:
            click.echo(answer.decode())
            return
        for seat in msgspec.json.decode(answer, type=dict[str, Any])["counters"]:
            click.echo(f"{seat['id']} {seat['number']} {seat['state']} {seat['officer'] or 'nobody'}")

    _with_client(context.obj, work, needs_counter=False)


@main.command("sign-in")
@click.pass_context
def sign_in(context: click.Context) -> None:
    """Write a token to --token-file, mode 0600: later commands need no password."""
    options = cast(Options, context.obj)
    if options.token_file is None or not options.name:
        raise click.UsageError("Say as whom and where to: --name and --token-file.")
    password = options.password or click.prompt("Password", hide_input=True, err=True)

    async def work() -> None:
        async with CounterClient(options.url, options.centre, options.counter, deadline_s=options.deadline_s) as client:
            await client.sign_in(options.name, password)
            assert options.token_file is not None
            with os.fdopen(os.open(options.token_file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
                os.fchmod(file.fileno(), 0o600)
                file.write(f"{client.token()}\n")

    _go(work())


@main.command("pads")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--check", is_flag=True, help="Explain every mistake of FILE with its place, and stop.")
def call_pads(file: Path, *, check: bool) -> None:
    """Serve call pads as FILE says (docs/hardware.md)."""
    try:
        settings = pad_file.load(file)
    except FaultyFile as faulty:
        _stop("\n".join(f"{file}: {problem}" for problem in faulty.problems), FAULTY)
    except OSError as error:
        _stop(str(error), FAULTY)
    if check:
        click.echo(f"{file} is in order: {len(settings.pads)} pads on {len(settings.ports)} ports.")
        return
    write_logs()

    async def work() -> None:
        async with aiohttp.ClientSession() as session:
            await pads.run(settings, session)

    with suppress(KeyboardInterrupt):
        asyncio.run(work())


if __name__ == "__main__":
    main()
