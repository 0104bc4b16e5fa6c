"""What the pages for strangers say is true: paths, links, commands, settings, metrics, packages, Lua functions."""

from __future__ import annotations

import json
import re
import shutil
import struct
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import click
import pytest
from prometheus_client.metrics import MetricWrapperBase

import displays.metrics
import queue_service.metrics
from counters.__main__ import main as counters_command
from displays.__main__ import main as displays_command
from loadtest.__main__ import main as loadtest_command
from queue_service.centre import Policy
from queue_service.cli import commands
from queue_service.errors import CODES
from queue_service.legible import letters, read_from_m
from queue_service.settings import EXPLAINED

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    path
    for path in (
        *ROOT.glob("*.md"),
        *ROOT.glob("docs/**/*.md"),
        *ROOT.glob("deploy/*.md"),
        *(ROOT / name / "README.md" for name in ("queue_service", "counters", "displays", "loadtest")),
        *ROOT.glob("queue_service/*/README.md"),
        *ROOT.glob("queue_service/*/*/README.md"),
    )
    if "static" not in path.parts
)
FOLDERS = ("queue_service", "counters", "displays", "loadtest", "tests", "docs", "deploy")
MADE = ("var", "dist", ".venv", "secrets")
"""What a document may name though it is only there after a command."""


def text(path: Path | str) -> str:
    """The text of a page."""
    return (ROOT / path).read_text("utf-8")


def code_words(page: Path) -> list[str]:
    """What a page sets in code within its sentences."""
    return re.findall(r"(?<!`)`([^`\n]+)`(?!`)", re.sub(r"```.*?```", "", text(page), flags=re.S))


def commands_of(page: Path) -> list[str]:
    """Every line of the blocks of a page, and what its sentences set in code."""
    blocks = re.findall(r"```(?:\w*)\n(.*?)```", text(page), flags=re.S)
    return [line.strip() for block in blocks for line in block.splitlines()] + code_words(page)


def rows(page: str, head: str) -> list[list[str]]:
    """The rows of the table of *page* whose head begins with *head*."""
    found = re.search(rf"^\| {re.escape(head)}.*\n\|[-| ]+\n((?:\|.*\n)+)", text(page), re.M)
    assert found, f"{page} has no table that begins with {head}"
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in found[1].splitlines()]


def anchors(page: Path) -> set[str]:
    """The names of the headings of a page, as links say them."""
    titles = re.findall(r"^#+ (.+)$", text(page), re.M)
    return {re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-") for title in titles}


def by_name(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize("page", PAGES, ids=by_name)
def test_links_land(page: Path):
    """Every link to a file of ours leads to it, and to the heading it names."""
    targets = re.findall(r"\]\(([^)\s]+)\)|src=\"([^\"]+)\"", text(page))
    for target in (one or other for one, other in targets):
        if re.match(r"https?:", target):
            continue
        name, _, anchor = target.partition("#")
        path = (page.parent / name).resolve() if name else page
        assert path.exists(), target
        assert not anchor or anchor in anchors(path), target


@pytest.mark.parametrize("page", PAGES, ids=by_name)
def test_paths_exist(page: Path):
    """A path in code is there: from the root, or from the page's own folder."""
    for word in code_words(page):
        if not re.fullmatch(r"[\w.@*/-]+", word) or "/" not in word or word.startswith(("/", "@")):
            continue
        first = word.split("/")[0]
        if first in FOLDERS and not word.startswith("queue_service/static"):
            assert list(ROOT.glob(word)), word
        elif re.search(r"\.(py|lua|toml|md|json|ts|css|svelte)$", word) and first not in MADE:
            assert list(page.parent.glob(word)) or list(ROOT.glob(word)), word


def test_every_make_target_that_is_named_exists():
    """`make run` is no hope."""
    known = set(re.findall(r"^([a-z]+):", text("Makefile"), re.M))
    named = {
        target
        for page in PAGES
        for line in commands_of(page)
        for target in re.findall(r"^(?:sudo |RUN )?make ([a-z]+)", line)
    }
    assert {"run", "test"} <= named
    assert named <= known


@pytest.mark.parametrize(
    ("called", "root"),
    [
        ("queue-service", commands),
        ("-m loadtest", loadtest_command),
        ("-m displays", displays_command),
        ("-m counters", counters_command),
    ],
)
def test_every_command_that_is_named_exists(called: str, root: click.Command):
    """Groups, commands and options are those of the command lines."""
    found = 0
    for page in PAGES:
        for line in commands_of(page):
            match = re.search(rf"(?:^|[\s/]){re.escape(called)}(?= |$)([^#|]*)", line)
            if match is None or line.startswith(("docker build", "sudo useradd", "sudo chown")):
                continue
            _walk(root, match[1].split(), line)
            found += 1
    assert found


def _walk(root: click.Command, words: list[str], line: str) -> None:
    command: click.Command = root
    for word in words:
        if word.startswith("--"):
            options = {option for parameter in command.params for option in parameter.opts}
            assert word.split("=")[0] in {*options, "--help"}, line
        elif isinstance(command, click.Group):
            if not re.fullmatch(r"[a-z-]+", word):
                break
            assert word in command.commands, line
            command = command.commands[word]


def test_the_table_of_settings_is_complete():
    """In the order of the sentences that a faulty start shows."""
    assert [f"`{name}`" for name in EXPLAINED] == [row[0] for row in rows("README.md", "setting | is | default")]


@pytest.mark.parametrize("page", PAGES, ids=by_name)
def test_settings_and_refusals_that_are_named_exist(page: Path):
    """A page never names a setting or a code that the service does not know."""
    for word in code_words(page):
        if re.fullmatch(r"QUEUE_[A-Z_]+", word) and "_SHA256" not in word:
            assert word in EXPLAINED or word == "QUEUE_", word
        elif re.fullmatch(r"[A-Z]+(_[A-Z]+)+", word) and not word.startswith(
            ("DISPLAYS_", "COUNTERS_", "XDG_", "SO_", "TCP_", "OPERATOR_")
        ):
            assert word in CODES or _is_constant(word), word


def _is_constant(word: str) -> bool:
    return any(
        re.search(rf"^{word}\b", path.read_text("utf-8"), re.M)
        for folder in FOLDERS[:5]
        for path in (ROOT / folder).rglob("*.py")
    )


def metrics_of(module: Any) -> dict[str, tuple[str, MetricWrapperBase]]:
    """Name on the page -> name in the module, and the object."""
    found = {}
    for name, metric in vars(module).items():
        if isinstance(metric, MetricWrapperBase) and (not metric._labelnames or metric._is_parent()):
            full = metric._name + ("_total" if metric._type == "counter" else "")
            found.setdefault(full, (name, metric))
    return found


@pytest.mark.parametrize(("title", "module"), [("service", queue_service.metrics), ("screens", displays.metrics)])
def test_the_tables_of_metrics_are_complete(title: str, module: Any):
    """Names, kinds and labels are those of the code, and what nothing feeds is said to be so."""
    page = text("docs/operations.md").split(f"## Metrics of the {title}\n", 1)[1].split("\n## ", 1)[0]
    described = {}
    for line in re.findall(r"^\| `.*$", page, re.M):
        name, kind, labels, says = (cell.strip() for cell in line.strip("|").split("|"))
        described[name.strip("`")] = kind, labels, "Not counted yet." in says
    own = Path(module.__file__)
    others = "\n".join(path.read_text("utf-8") for path in own.parent.rglob("*.py") if path != own)
    known = {}
    for full, (name, metric) in metrics_of(module).items():
        is_fed = re.search(rf"\bmetrics\.{name}\b", others) or len(re.findall(rf"\b{name}\b", own.read_text())) > 1
        known[full] = metric._type, ", ".join(metric._labelnames) or "–", not is_fed
    assert known == described


def test_no_page_names_a_metric_that_is_not_there():
    """In examples of alarms, too."""
    known = {*metrics_of(queue_service.metrics), *metrics_of(displays.metrics)}
    for page in PAGES:
        for word in re.findall(
            r"\b(?:queue|displays)_[a-z_]+(?:_total|_seconds|_bytes|_up|_stale|_screens|_tickets|_counters)\b",
            text(page),
        ):
            assert word in known, f"{word} in {page.name}"


def test_every_package_has_a_row():
    """What pyproject.toml and package.json ask for, and nothing that they do not."""
    project = tomllib.loads(text("pyproject.toml"))
    asked = [
        *project["project"]["dependencies"],
        *(line for extra in project["project"]["optional-dependencies"].values() for line in extra),
        *(line for group in project["dependency-groups"].values() for line in group),
    ]
    packages = {re.split(r"[\[<>=;\s]", line)[0] for line in asked} | set(
        json.loads(text("package.json"))["devDependencies"]
    )
    first = [line.split("|")[1] for line in text("docs/dependencies.md").splitlines() if line.startswith("| `")]
    assert packages == {name for cell in first for name in re.findall(r"`([^`]+)`", cell)}


def test_allocation_says_where_the_code_does_it():
    """Each function stands in the file that the page names."""
    for _, file, names in rows("docs/allocation.md", "what | file | by"):
        source = text(file.strip("`"))
        for name in re.findall(r"`(\w+)`", names):
            assert re.search(rf"^\s*(?:local function|def|async def|class) {name}\b", source, re.M), f"{name} in {file}"


def test_allocation_quotes_the_policy():
    """The numbers of the page are the defaults of a centre."""
    policy, page = Policy(), text("docs/allocation.md")
    assert {cls.id: cls.promise_s for cls in policy.classes} == {"standard": 1800, "priority": 300, "appointment": 300}
    assert "1800 s to the standard class, 300 s to priority" in page
    assert f"`H` = {policy.handicap_s} s" in page
    assert f"`κ` = {policy.kappa:g}" in page
    assert f"now − {policy.transfer_age_cap_s} s" in page
    assert [f"{policy.window(mode)} s" for mode in ("cluster", "counter")] == [
        row[3] for row in rows("docs/allocation.md", "mode of the department")[:2]
    ]


def test_the_page_of_the_service_names_every_file():
    """Modules and folders of queue_service each have a row."""
    named = {
        name.rstrip("/")
        for row in rows("queue_service/README.md", "file | what it is")
        for name in re.findall(r"`([^`]+)`", row[0])
    }
    there = {
        path.name
        for path in (ROOT / "queue_service").iterdir()
        if path.suffix == ".py" or path.is_dir()
        if not path.name.startswith("__") and path.name != "static"
    }
    assert there == named


def test_every_decision_is_listed_and_has_its_four_parts():
    """Question, options, choice; a measurement where there is one."""
    folder = ROOT / "docs/decisions"
    pages = sorted(path for path in folder.glob("0*.md"))
    assert [f"({page.name})" for page in pages] == re.findall(r"\(0\d+-[\w-]+\.md\)", text(folder / "README.md"))
    for number, page in enumerate(pages, 1):
        assert f"{number:04}" == page.name[:4]
        assert text(page).startswith(f"# {number}. ")
        for part in ("**Question.**", "**Options**", "**Choice.**"):
            assert part in text(page), page.name


def test_the_first_screen_says_what_it_is_and_how_to_start():
    """The arrows, the three pages and the two commands stand within thirty lines."""
    first = "\n".join(text("README.md").splitlines()[:30])
    for word in ("─►", "kiosk.png", "console.png", "board.png", "make run", "make test"):
        assert word in first


def test_pictures_are_small_and_of_the_size_of_their_screen():
    """As `docs/pictures/take.py` took them."""
    sizes = {
        "board": (1920, 1080),
        "board-portrait": (1080, 1920),
        "board-night": (1080, 1920),
        "board-counters": (1920, 1080),
        "board-counters-night": (1080, 1920),
        "board-departments": (1920, 1080),
        "board-departments-night": (1080, 1920),
        "board-counter-top": (1920, 1080),
        "board-counter-top-night": (1080, 1920),
        "boards": (1366, 1024),
        "kiosk": (1080, 1920),
        "console": (1366, 768),
        "phone": (390, 844),
        "supervisor": (1366, 768),
        "supervisor-lines": (1920, 1080),
        "supervisor-phone": (390, 844),
        "admin-users": (1366, 768),
        "admin-audit": (1366, 768),
    }
    for name, size in sizes.items():
        png = (ROOT / f"docs/pictures/{name}.png").read_bytes()
        assert size == struct.unpack(">II", png[16:24])
        assert 3 == png[25], "a palette"
        assert len(png) < 150_000

    large = (ROOT / "docs/pictures/board-4k.png").read_bytes()
    assert (3840, 2160) == struct.unpack(">II", large[16:24])
    assert len(large) < 250_000


def test_the_heights_of_letters_are_those_that_boards_reach():
    """The table of the boards' page, from the geometry itself."""
    rows = {
        "`calls`, the call": ("calls", 55, 12, 1, "call_mm"),
        "`calls`, the rows": ("calls", 55, 12, 1, "number_mm"),
        "`counters`, eight": ("counters", 55, 12, 8, "number_mm"),
        "`departments`, four": ("departments", 55, 12, 4, "number_mm"),
        "`counter-top`": ("counter-top", 15.6, 6, 1, "number_mm"),
    }
    page = text("docs/boards.md")
    for name, (layout, inches, metres, n, which) in rows.items():
        heights = [getattr(letters(layout, inches, metres, n, is_upright=up), which) for up in (False, True)]
        cells = " | ".join(f"{height:.0f} mm | {read_from_m(height):.1f} m" for height in heights)
        assert f"| {name} | {inches}″ | {cells} |" in page


def test_pages_say_nothing_of_what_is_not_theirs():
    """No page speaks of tools of its making, or of folders of one machine."""
    for page in PAGES:
        assert not re.search(r"\bTODO\b|/(work|tmp)/|\bsubagent|\bAI\b", text(page)), page.name


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd here")
@pytest.mark.parametrize("source", sorted((ROOT / "deploy").glob("*.service")), ids=lambda source: source.name)
def test_units_are_well_formed(tmp_path: Path, source: Path):
    """As `systemd-analyze verify` sees them, with a program that exists."""
    unit = tmp_path / source.name
    unit.write_text(re.sub(r"^ExecStart=\S+", "ExecStart=/bin/true", text(source), flags=re.M))
    answer = subprocess.run(["systemd-analyze", "verify", unit], capture_output=True, text=True, check=False)
    assert (0, "") == (answer.returncode, answer.stderr)


def test_the_units_settings_are_ours():
    """What the unit and its file of settings say is understood by the process."""
    named = set(
        re.findall(r"\b(QUEUE_[A-Z_]+)=", text("deploy/queue-service@.service") + text("deploy/queue-service.env"))
    )
    assert named <= set(EXPLAINED)


def test_images_are_built_from_what_is_there():
    """Every path that the image's build lets in exists."""
    for line in text("deploy/Dockerfile.dockerignore").splitlines():
        if line.startswith("!"):
            assert list(ROOT.glob(line[1:])), line
