"""
The register of functions: files, headers, commands, registered names and lua/README.md say the same.

What a header says of its function (arguments, reply, codes, cost) is compared with the command's fields and with the
refusals in the code; the page is compared with the headers.
"""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest

from queue_service import commands
from queue_service.commands import Command, CounterCommand, TicketCommand
from queue_service.errors import CODES

LUA = Path(__file__).parents[2] / "queue_service" / "lua"
FILES = {re.sub(r"^\d+_", "", path.stem): path for path in sorted(LUA.glob("[3-6]*.lua"))}
COMMANDS = {
    command.function.removeprefix("qs_"): command
    for command in vars(commands).values()
    if isinstance(command, type)
    and issubclass(command, Command)
    and command not in (Command, TicketCommand, CounterCommand)
}
EVERYWHERE = {"UNKNOWN_CENTRE", "STALE_CENTRE", "KEY_REUSED", "MALFORMED"}
"""Codes of the common entrance (20_hall.lua)."""


def header(name: str) -> dict[str, str]:
    """ARGS, REPLY, CODES and COST of one function, as its file says."""
    lines = FILES[name].read_text("utf-8").split("\n\n")[0].splitlines()
    text = " ".join(line.removeprefix("--").strip() for line in lines)
    parts = re.split(r"\s*\b(ARGS|REPLY|CODES|COST)\s+", text)
    found = dict(zip(parts[1::2], map(str.strip, parts[2::2]), strict=True))
    if found["CODES"].startswith("as "):
        other, _, more = found["CODES"].removeprefix("as ").partition(", ")
        found["CODES"] = f"{header(other)['CODES']} {more}"
    return found


def rows() -> list[str]:
    """The table of lua/README.md, made from the headers."""
    table = ["| function | arguments | reply | codes | cost |", "| --- | --- | --- | --- | --- |"]
    for name in FILES:
        says = header(name)
        table.append(f"| `qs_{name}` | {says['ARGS']} | {says['REPLY']} | {says['CODES']} | {says['COST']} |")
    return table


def bodies() -> dict[str, str]:
    """Every top-level Lua function of the library by name, with its text."""
    text = "\n".join(path.read_text("utf-8") for path in sorted(LUA.glob("*.lua")))
    text = re.sub(r"--[^\n]*", "", text)
    starts = [(match.start(), match.group(1)) for match in re.finditer(r"^local function (\w+)", text, re.M)]
    ends = [start for start, _ in starts[1:]] + [len(text)]
    return {name: text[start:end].split("\nend\n")[0] for (start, name), end in zip(starts, ends, strict=True)}


BODIES = bodies()


def reachable(name: str, seen: set[str] | None = None) -> set[str]:
    """The function and all that it calls, directly or not."""
    seen = set() if seen is None else seen
    if name not in seen:
        seen.add(name)
        for called in set(re.findall(r"\b(\w+)\(", BODIES[name])) & set(BODIES):
            reachable(called, seen)
    return seen


def refusals(name: str) -> set[str]:
    """The codes in a function and in what it calls."""
    return {code for one in reachable(name) for code in re.findall(r"refuse\('([A-Z_]+)'", BODIES[one])}


def test_files_commands_and_registered_functions_are_the_same():
    """A command is carried out by the function named after it, which has a file of its own."""
    register = (LUA / "90_register.lua").read_text("utf-8")
    registered = dict(re.findall(r"'qs_(\w+)'(?:, callback =|,) (.*?)(?:\)\n|, flags)", register + "\n"))

    assert set(COMMANDS) == set(FILES) == set(registered)
    entrances = {name: call.replace("))", ")") for name, call in registered.items() if name != "configure"}
    assert entrances.items() <= {(name, f"{entrance}({name})") for name in FILES for entrance in ("press", "turn")}


def test_the_page_says_what_the_headers_say():
    """One row a function, in the order of the files."""
    page = (LUA / "README.md").read_text("utf-8")

    assert "\n".join(["", *rows(), ""]) in page
    assert len(FILES) == page.count("| `qs_")


@pytest.mark.parametrize("name", FILES)
def test_arguments_are_the_fields_of_the_command(name):
    """With a question mark where the command has a default."""
    said = header(name)["ARGS"].partition(";")[0]
    arguments = re.findall(r"(\w+\??)", re.sub(r"\(.*?\)|\{.*?\}", "", said))
    fields = [field.encode_name + ("" if field.required else "?") for field in msgspec.structs.fields(COMMANDS[name])]

    assert sorted(fields) == sorted(arguments)


@pytest.mark.parametrize("name", FILES)
def test_codes_are_those_of_the_code(name):
    """Each is refused somewhere below the function, and what is refused is said."""
    said = set(header(name)["CODES"].split()) - {"-"}
    written = refusals(name)

    assert said <= written
    # A counter's own ticket is always known.
    assert written - said <= {"UNKNOWN_TICKET"}


def test_every_code_is_an_error():
    """Otherwise the store could not raise it."""
    written = {code for text in BODIES.values() for code in re.findall(r"refuse\('([A-Z_]+)'", text)}

    assert written <= set(CODES)
    assert {code for name in ("press", "answered") for code in refusals(name)} <= EVERYWHERE


def test_only_what_begins_something_is_refused_when_the_store_is_full():
    """The page names those without allow-oom; a full store can still be emptied."""
    register = (LUA / "90_register.lua").read_text("utf-8")
    without = set(re.findall(r"register_function\('(qs_\w+)'", register))
    page = (LUA / "README.md").read_text("utf-8")
    (sentence,) = (line for line in page.splitlines() if "allow-oom" in line)

    assert without == set(re.findall(r"`(qs_\w+)`", sentence))
