"""docs/protocol.md says what the code does: presses, refusals, events, close codes, and the life of a ticket drawn."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from pathlib import Path

import msgspec

from displays.frames import Close
from queue_service import commands
from queue_service.commands import Command, CounterCommand, TicketCommand
from queue_service.contract import Nothing, operation_of
from queue_service.errors import CODES
from queue_service.events import PUBLIC_FIELDS, STAFF_FIELDS
from queue_service.http_api.dossiers import Dossiers
from queue_service.http_api.words import BASE
from queue_service.tickets import diagram

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "protocol.md").read_text("utf-8")


def table(title: str) -> Iterator[list[str]]:
    """The rows of the first table below a heading, without its head."""
    below = PAGE.split(f"# {title}\n", 1)[1]
    rows = re.search(r"^\| .*?(?=\n\n|\Z)", below, re.M | re.S)
    assert rows, title
    for row in rows.group().splitlines()[2:]:
        yield [cell.strip() for cell in row.strip("|").split(" | ")]


def words(cell: str) -> tuple[str, ...]:
    """What a cell lists."""
    return () if cell == "–" else tuple(re.split(r",\s*|\s+", cell))


def codes_of(command: type[Command]) -> tuple[str, ...]:
    """What the header of a function says that it refuses."""
    name = command.function.removeprefix("qs_")
    (path,) = (ROOT / "queue_service" / "lua").glob(f"[0-9]*_{name}.lua")
    found = re.search(r"CODES\s+(.*?)\s+COST", path.read_text("utf-8"))
    assert found, name
    said = found.group(1)
    if said.startswith("as call_next, "):
        return (*codes_of(commands.CallNext), *said.removeprefix("as call_next, ").split())
    return () if said == "-" else tuple(said.split())


def test_every_press_with_all_its_refusals():
    """As the functions refuse them."""
    ours = {
        command.press_name(): codes_of(command)
        for command in vars(commands).values()
        if isinstance(command, type)
        and issubclass(command, Command)
        and command not in (Command, TicketCommand, CounterCommand)
    }

    assert ours == {press: words(codes) for press, *_, codes in table("Presses")}


def test_every_press_on_a_dossier_with_its_body_and_refusals():
    """As the door declares them."""
    declared = [op for op in map(operation_of, vars(Dossiers).values()) if op is not None and op.press]
    ours = {
        op.name: (
            f"`{op.method} {op.path.replace(BASE, '…')}`",
            tuple(
                field.encode_name + ("" if field.required else "?")
                for field in msgspec.structs.fields(op.body or Nothing)
            ),
            tuple(refusal.code for refusal in op.refusals),
        )
        for op in declared
    }

    assert ours == {press: (address, words(body), words(codes)) for press, address, body, codes in table("Dossiers")}


def test_every_refusal_with_its_status_and_sentence():
    """The codes of errors.py, in the order of its tree."""
    ours = [
        [code, str(error.http_status), " ".join((inspect.getdoc(error) or "").split("\n\n")[0].split())]
        for code, error in CODES.items()
    ]

    assert ours == list(table("Refusals"))


def test_every_event_with_its_two_forms():
    """What everybody sees, and what staff see besides."""
    ours = {kind: (PUBLIC_FIELDS[kind], STAFF_FIELDS[kind]) for kind in PUBLIC_FIELDS}

    assert ours == {kind: (words(public), words(staff)) for kind, public, staff in table("Events")}


def test_every_close_code():
    """By number and name."""
    assert {(str(code.value), code.name) for code in Close} == {(code, name) for code, name, _ in table("Close codes")}


def test_the_life_is_drawn_from_its_table():
    """The drawing is what ``make diagram`` prints."""
    assert f"```mermaid\n{diagram()}\n```" in PAGE


def test_words_of_the_page_that_look_like_codes_are_codes():
    """No code is mentioned that nobody refuses with."""
    mentioned = set(re.findall(r"\b[A-Z]{2,}(?:_[A-Z]+)+\b", PAGE))

    assert mentioned <= {*CODES, *(code.name for code in Close)}
