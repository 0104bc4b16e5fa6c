"""
Imports point one way: the floors of the house, who may stand on whom, and who may speak Redis or HTTP.

The table below is the house's plan.  A new module is given its floor here before anything may import it.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from fnmatch import fnmatch
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("queue_service", "counters", "displays", "loadtest")

# Floor by floor, from the ground up; the first pattern that fits decides.
PLAN = {
    "ground": """
        queue_service.tickets queue_service.commands queue_service.events queue_service.errors queue_service.codec
        queue_service.keys queue_service.centre queue_service.centre_file queue_service.clock queue_service.procedures
        queue_service.settings queue_service.views queue_service.estimate queue_service.mirror queue_service.legible
        counters.press counters.building counters.memory counters.picture counters.pad_file
        queue_service.working_days queue_service.dossiers queue_service.slips queue_service.visits
        queue_service.assignments queue_service.alarms
        queue_service.texts queue_service.device_frames queue_service.device_file
        displays.board displays.frames displays.hall displays.panels displays.panel_file
        queue_service.authority queue_service.second_factor
        displays.speech displays.announcer displays.sound displays.clips
        displays.budget
        loadtest.plan loadtest.days loadtest.verify loadtest.record loadtest.report
    """,
    "gauges": "queue_service.metrics displays.metrics",
    "afar": "queue_service.follower queue_service.device_port queue_service.logs",
    "core": """
        queue_service.store queue_service.library queue_service.channel queue_service.embedded queue_service.archive
        queue_service.archive.* queue_service.slip_key displays.synthesis displays.synthesiser
    """,
    "middle": """
        queue_service.dispatch queue_service.boards queue_service.media
        queue_service.registry queue_service.relay queue_service.sweeper queue_service.archiver
        queue_service.backup
        queue_service.identity queue_service.passwords queue_service.audit
        queue_service.oidc queue_service.staff queue_service.devices
        queue_service.mirrors
        displays.hub displays.screen displays.voice
    """,
    "door": """
        queue_service.http_* queue_service.contract queue_service.guard displays.screen_door displays.feed
        displays.panel_agent displays.speaker counters.client counters.desk counters.console
        counters.pads counters.asking counters.practice
        loadtest.drive loadtest.screens loadtest.bench loadtest.demo loadtest.access loadtest.machine
        queue_service.pages queue_service.demo
    """,
    "roof": "*.app *.cli *.__main__ loadtest.replay loadtest.whatif loadtest.bench_* loadtest.peers.*",
}

# What each floor of one package may import of the house.
BELOW = {
    "ground": {"ground"},
    "gauges": {"ground", "gauges"},
    "afar": {"ground"},  # what programs beside the service share: its feed, their logs, ports of small devices
    "core": {"ground", "gauges", "core"},
    "middle": {"ground", "gauges", "core", "middle"},
    "door": {"ground", "gauges", "afar", "middle", "door"},  # doors leave the store alone: they ask the middle floor
    "roof": {"ground", "gauges", "afar", "core", "middle", "door", "roof"},
}

# What a package may import of the others: they know the service by its words only.
NEIGHBOURS = {
    "queue_service": set(),  # but for its roof, which builds the screens' room too
    "counters": {("queue_service", "ground"), ("queue_service", "afar")},
    "displays": {("queue_service", "ground"), ("queue_service", "afar")},
    "loadtest": {("queue_service", "ground"), ("displays", "ground"), ("counters", "ground"), ("counters", "door")},
}

# Who plays days through the real core or measures it builds one, as the service's roof does; the rest of the load test
# knows the service by its protocol.
BUILD_A_CORE = ("loadtest.replay", "loadtest.whatif", "loadtest.bench_*")

# Above the core, who speaks Redis all the same: the feed reads what the core wrote, accounts have keys of their own.
SPEAK_REDIS = {"displays.feed", "queue_service.identity", "queue_service.backup"}

# The words do no I/O: of the outside they know codecs and the calendar, of the standard library nothing that waits.
CODECS = {"msgpack", "msgspec", "holidays"}
WAITING = {"asyncio", "concurrent", "http", "multiprocessing", "selectors", "socket", "ssl", "subprocess", "threading"}


def floor_of(module: str) -> str | None:
    """The floor the plan gives to *module*; a package's own `__init__` is ground."""
    if module in PACKAGES:
        return "ground"
    return next((floor for floor, names in PLAN.items() if any(fnmatch(module, name) for name in names.split())), None)


def name_of(path: Path) -> str:
    """The dotted name of the module in *path*."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {
    name_of(path): path
    for package in PACKAGES
    for path in sorted((ROOT / package).rglob("*.py"))
    if "traces" not in path.parts  # the published judge, kept as it is
}


@cache
def source(module: str) -> ast.Module:
    """What *module* says."""
    return ast.parse(MODULES[module].read_text("utf-8"), str(MODULES[module]))


def imports_of(tree: ast.AST) -> Iterator[str]:
    """Dotted names that *tree* imports; `from package import module` counts as the module."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, "imports are written in full"
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                yield full if full in MODULES else str(node.module)


def wrong_step(importer: str, imported: str) -> str | None:
    """Why *importer* may not import *imported*, or None."""
    package, _, _ = importer.partition(".")
    other, _, _ = imported.partition(".")
    floor = floor_of(importer)
    assert floor, importer
    if other in PACKAGES:
        target = floor_of(imported) or "unplaced"
        if package == other:
            return None if target in BELOW[floor] else f"{floor} stands below {target}, or leaves it alone"
        if (package == "queue_service" and floor == "roof") or any(fnmatch(importer, name) for name in BUILD_A_CORE):
            return None
        return None if (other, target) in NEIGHBOURS[package] else f"{package} does not know {other}'s {target}"
    if floor == "ground" and (other in WAITING or (other not in sys.stdlib_module_names and other not in CODECS)):
        return "the words do no I/O and know codecs only"
    if other in ("redis", "hiredis") and not (
        importer in SPEAK_REDIS
        or any(fnmatch(importer, name) for name in BUILD_A_CORE)
        or (package == "queue_service" and floor in ("core", "roof"))
    ):
        return f"only the core, the roof, {' and '.join(sorted(SPEAK_REDIS))} speak Redis"
    if other in ("sqlalchemy", "alembic", "aiosqlite", "asyncpg") and not importer.startswith("queue_service.archive."):
        return "only the archive speaks SQL"
    if other == "aiohttp" and floor not in ("afar", "door", "roof"):
        return "only doors and the roof speak HTTP"
    return None


@pytest.mark.parametrize("module", MODULES)
def test_every_module_has_a_floor(module):
    """Who adds a room says where it stands; a room without a floor could import anything."""
    assert floor_of(module), f"give {module} a floor in the PLAN of this file"


@pytest.mark.parametrize("module", MODULES)
def test_imports_point_down(module):
    """Words, then rules, then wires."""
    wrong = {
        imported: why
        for imported in imports_of(source(module))
        if floor_of(module) and (why := wrong_step(module, imported))
    }

    assert {} == wrong


@pytest.mark.parametrize("module", MODULES)
def test_no_function_imports_a_room_of_ours(module):
    """An import in a function body hides a ring of imports."""
    hidden = [
        f"line {function.lineno}: {imported}"
        for function in ast.walk(source(module))
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        for imported in imports_of(function)
        if imported.partition(".")[0] in PACKAGES
    ]

    assert [] == hidden


def test_no_ring_of_imports():
    """Whatever imports what, there is an order in which to read the house."""
    graph = {
        name: {imported for imported in imports_of(source(name)) if imported in MODULES and imported != name}
        for name in MODULES
    }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as ring:
        pytest.fail(" → ".join(ring.args[1]))


@pytest.mark.parametrize(
    ("importer", "imported"),
    [
        ("queue_service.tickets", "asyncio"),
        ("queue_service.tickets", "aiohttp"),
        ("queue_service.events", "queue_service.store"),
        ("queue_service.store", "queue_service.dispatch"),
        ("queue_service.store", "aiohttp"),
        ("queue_service.store", "sqlalchemy"),
        ("queue_service.sweeper", "sqlalchemy"),
        ("queue_service.http_api", "queue_service.archive.history"),
        ("queue_service.dispatch", "redis.asyncio"),
        ("queue_service.http_api", "queue_service.store"),
        ("queue_service.http_api", "redis"),
        ("queue_service.http_api", "displays.hub"),
        ("queue_service.dispatch", "queue_service.app"),
        ("displays.hub", "redis"),
        ("displays.hub", "aiohttp"),
        ("displays.hub", "queue_service.dispatch"),
        ("displays.app", "queue_service.store"),
        ("counters.client", "displays.board"),
        ("counters.client", "queue_service.library"),
        ("loadtest.drive", "queue_service.store"),
        ("loadtest.drive", "displays.hub"),
    ],
)
def test_a_wrong_step_is_seen(importer, imported):
    """The judge is awake: each row of the plan refuses something."""
    assert wrong_step(importer, imported)


@pytest.mark.parametrize(
    ("importer", "imported"),
    [
        ("queue_service.store", "redis.asyncio"),
        ("queue_service.archive.history", "sqlalchemy"),
        ("queue_service.sweeper", "queue_service.archive.history"),
        ("queue_service.app", "displays.screen_door"),
        ("queue_service.http_api", "queue_service.dispatch"),
        ("displays.feed", "redis.asyncio"),
        ("displays.hub", "queue_service.events"),
        ("counters.client", "aiohttp"),
        ("loadtest.drive", "counters.client"),
    ],
)
def test_a_right_step_is_not(importer, imported):
    """The plan lets through what the house is built of."""
    assert wrong_step(importer, imported) is None
