"""The command line of the load test: run, verify, report, bench, demo."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
import time
from importlib.resources import files
from pathlib import Path

import click
import msgspec
import uvloop

from loadtest import record, report
from loadtest.access import Access, Refused, loopback, read_access
from loadtest.bench import private_service
from loadtest.bench_commands import COMMANDS
from loadtest.days import make_day, waits_in_words
from loadtest.demo import run_demo
from loadtest.drive import run as drive
from loadtest.plan import Scenario, read_profile, read_scenario
from loadtest.replay import Row, centre_of, digest, load, save
from loadtest.replay import replay as play
from loadtest.verify import verify as judge
from loadtest.whatif import Setting, compare
from loadtest.whatif import table as whatif_table
from queue_service.centre import Centre, Mode, load_centre

SCENARIOS = files("loadtest") / "scenarios"
EXAMPLE = Path(str(files("queue_service"))) / "examples" / "demo-tinh.toml"
TRACES = Path(str(files("loadtest"))) / "traces"
MODES = ("counter", "cluster", "department")
PROFILES = files("queue_service") / "examples" / "day-profiles.json"
MOST_FAULTS_SHOWN = 20
BENCHMARK = ("peak", "flood")


@click.group()
def main() -> None:
    """Measure the hall from the planned press to the frame at the screen, and prove that nobody was lost."""


@main.command()
@click.option("--scenario", "scenario_name", default="hall.toml", help="One of ours, or the path of a TOML file.")
@click.option("--base", help="Address of the service, on this machine; by default the one in demo.json.")
@click.option("--seconds", type=float, help="Instead of the scenario's.")
@click.option("--seed", type=int, help="Instead of the scenario's.")
@click.option("--demo-json", type=click.Path(path_type=Path), default=Path("var/demo.json"), show_default=True)
@click.option("--pid", type=int, help="The service's process, to read its CPU time and that of its store.")
@click.option("--record", "record_path", type=click.Path(path_type=Path), help="Where to keep the history of the run.")
def run(
    scenario_name: str,
    base: str | None,
    seconds: float | None,
    seed: int | None,
    demo_json: Path,
    pid: int | None,
    record_path: Path | None,
) -> None:
    """Run a scenario against a service that is running, print its figures and its verdict."""
    scenario = _scenario(scenario_name)
    scenario = msgspec.structs.replace(scenario, seconds=seconds or scenario.seconds, seed=seed or scenario.seed)
    access = read_access(demo_json)
    rows = uvloop.run(_carry_out(scenario, loopback(base or access.base), access, pid))
    if record_path is not None:
        with record_path.open("wb") as file:
            record.write(rows, file)
    click.echo(report.table(report.measure(rows)))
    _tell(rows)


@main.command()
@click.argument("path", type=click.Path(exists=True, path_type=Path))
@click.option("--margin-s", type=float, help="How far a later ticket may pass; by default what the centre allows.")
def verify(path: Path, margin_s: float | None) -> None:
    """Judge a recorded run; the exit code is 1 when a promise was broken."""
    with path.open("rb") as file:
        _tell(list(record.read(file)), margin_s)


@main.command(name="report")
@click.argument("path", type=click.Path(exists=True, path_type=Path))
def report_command(path: Path) -> None:
    """Print the figures of a recorded run."""
    with path.open("rb") as file:
        click.echo(report.table(report.measure(record.read(file))))


@main.command()
@click.option("--seconds", type=float, help="For each scenario, instead of its own.")
@click.option("--scenario", "names", multiple=True, default=BENCHMARK, show_default=True)
def bench(seconds: float | None, names: tuple[str, ...]) -> None:
    """Start a private service, run the benchmark on it, print the table, stop it."""
    is_clean = True
    for name in names:
        scenario = _scenario(name)
        scenario = msgspec.structs.replace(scenario, seconds=seconds or scenario.seconds)
        rows = uvloop.run(_on_a_private_service(scenario))
        click.echo(report.table(report.measure(rows)) + "\n")
        is_clean = _verdict(rows) and is_clean
    if not is_clean:
        raise SystemExit(1)


@main.command()
@click.option("--base", help="Address of the service, on this machine; by default the one in demo.json.")
@click.option("--speed", type=click.FloatRange(1, 600), default=60.0, show_default=True)
@click.option("--demo-json", type=click.Path(path_type=Path), default=Path("var/demo.json"), show_default=True)
@click.option("--seed", type=int, help="For a demonstration that can be repeated.")
def demo(base: str | None, speed: float, demo_json: Path, seed: int | None) -> None:
    """Fill the halls with invented citizens and officers until stopped."""
    uvloop.run(_until_stopped(base or read_access(demo_json).base, demo_json, speed, seed))


OF_DAYS = "A centre's file; its days are invented."
LEVELS = "How many come: low, typical, high, peak, stress; with --centre."


@main.command("replay")
@click.argument("traces", nargs=-1, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--mode", type=click.Choice(MODES), default="counter", show_default=True, help="What a slip names.")
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), default=Path("replayed"), show_default=True)
@click.option("--centre", "centre_file", type=click.Path(exists=True, dir_okay=False, path_type=Path), help=OF_DAYS)
@click.option("--profile", default="province", show_default=True, help="Of the day profiles; with --centre.")
@click.option("--level", default="typical", show_default=True, help=LEVELS)
@click.option("--days", default=1, show_default=True, help="Days to invent and play; with --centre.")
@click.option("--seed", default=1, show_default=True, help="Of the first day; the next has the next.")
def replay_command(
    traces: tuple[Path, ...],
    mode: Mode,
    out: Path,
    centre_file: Path | None,
    profile: str,
    level: str,
    days: int,
    seed: int,
) -> None:
    """
    Play TRACES (default: the published ones) in virtual time through the real core, and write what is scored.

    With --centre, days are drawn from a day profile, written as traces beside their logs, and played at that centre,
    whose own file says what its slips name.
    """
    out.mkdir(parents=True, exist_ok=True)
    if centre_file is not None:
        centre = load_centre(centre_file)
        day = read_profile(PROFILES.read_bytes(), profile)
        for n in range(seed, seed + days):
            meta, events = make_day(centre, day, level, n)
            save(out / f"{meta['scenario']}.jsonl", [meta, *events])
            calls, words = _play(meta["scenario"], meta, events, Setting().centre(centre, "replay"), out)
            click.echo(f"{words}; {waits_in_words(events, calls)}")
        return
    published = json.loads((TRACES / "conformance.json").read_bytes())
    for trace in traces or sorted(TRACES.glob("S?-?.jsonl")):
        name = trace.name.partition(".")[0]
        meta, events = load(trace)
        calls, words = _play(name, meta, events, centre_of(meta, "replay", mode), out)
        if mode == "counter" and name in published:
            is_exact = digest(calls) == published[name]["sha256"]
            words += ", the published log call for call" if is_exact else ", NOT the published log"
        click.echo(words)


def _play(name: str, meta: Row, events: list[Row], centre: Centre, out: Path) -> tuple[list[Row], str]:
    """Play a day and write its log; its calls, and how long they took in words."""
    started = time.perf_counter()
    log = uvloop.run(play(meta, events, centre))
    save(out / f"{name}.log.jsonl", log)
    calls = [row for row in log if row["ev"] == "call"]
    return calls, f"{name}: {len(calls)} calls in {time.perf_counter() - started:.1f} s"


@main.command()
@click.argument("logs", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--mode", type=click.Choice(MODES), default="counter", show_default=True, help="What the slips named.")
def score(logs: Path, mode: Mode) -> None:
    """Judge replayed LOGS against the published traces, bounds and marks; the exit code is 1 when a mark is missed."""
    done = subprocess.run(
        [sys.executable, str(TRACES / "score.py"), "--all", str(TRACES), str(logs), "--mode", mode], check=False
    )
    raise SystemExit(done.returncode)


@main.command("whatif")
@click.option("--centre", "centre_file", type=click.Path(exists=True, dir_okay=False, path_type=Path), default=EXAMPLE)
@click.option("--profile", default="province", show_default=True, help="Of the day profiles.")
@click.option("--level", default="high", show_default=True, help="How many come: low, typical, high, peak, stress.")
@click.option("--days", default=5, show_default=True, help="Days to play, each with other people.")
@click.option("--seed", default=1, show_default=True)
@click.option("--close", "closed", multiple=True, metavar="COUNTER", help="Stays closed after the change.")
@click.option("--open", "opened", multiple=True, metavar="COUNTER", help="Was closed before the change.")
@click.option("--json", "as_json", is_flag=True, help="For programs: one object, times in seconds.")
@click.option(
    "--serve", "serves", multiple=True, metavar="COUNTER:SERVICE=LEVEL", help="Serves this, too, after the change."
)
def whatif_command(
    centre_file: Path,
    profile: str,
    level: str,
    days: int,
    seed: int,
    closed: tuple[str, ...],
    opened: tuple[str, ...],
    serves: tuple[str, ...],
    as_json: bool,
) -> None:
    """Compare waits before and after a change of counters, over invented days through the real core."""
    centre = load_centre(centre_file)
    for counter in (*closed, *opened):
        centre.counter(counter)
    added: dict[str, dict[str, int]] = {}
    for word in serves:
        counter, _, rest = word.partition(":")
        service, _, number = rest.partition("=")
        own = {line.service: line.level for line in centre.counter(counter).serves}
        added.setdefault(counter, own)[centre.service(service).id] = int(number or 2)
    before, after = Setting(closed=frozenset(opened)), Setting(closed=frozenset(closed), serves=added)
    day = read_profile(PROFILES.read_bytes(), profile)
    lines = uvloop.run(compare(centre, day, level, range(seed, seed + days), before, after))
    if as_json:
        click.echo(msgspec.json.encode({"days": days, "level": level, "lines": lines}))
        return
    click.echo(f"{centre.name}: {days} days, level {level}; minutes; 95 % interval of the change in brackets\n")
    click.echo(whatif_table(centre, lines))


async def _until_stopped(base: str, demo_json: Path, speed: float, seed: int | None) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    await run_demo(base, demo_json, speed, stop, seed=seed)


async def _on_a_private_service(scenario: Scenario) -> list[record.AnyRow]:
    async with private_service() as (access, pid):
        return await _carry_out(scenario, loopback(access.base), access, pid)


async def _carry_out(scenario: Scenario, base: str, access: Access, pid: int | None) -> list[record.AnyRow]:
    if scenario.centre not in access.centres:
        raise Refused(f"demo.json knows no centre {scenario.centre}, only {', '.join(access.centres)}")
    profile = read_profile(PROFILES.read_bytes(), scenario.profile)
    return await drive(scenario, profile, base, access.centres[scenario.centre], service_pid=pid)


def _scenario(name: str) -> Scenario:
    """One of ours by name, else a file."""
    ours = SCENARIOS / f"{name.removesuffix('.toml')}.toml"
    raw = ours.read_bytes() if ours.is_file() else Path(name).read_bytes()
    return read_scenario(raw)


def _tell(rows: list[record.AnyRow], margin_s: float | None = None) -> None:
    if not _verdict(rows, margin_s):
        raise SystemExit(1)


def _verdict(rows: list[record.AnyRow], margin_s: float | None = None) -> bool:
    """Print the verdict; whether it is clean."""
    classes = ("standard", "priority", "appointment")
    margin_ms = None if margin_s is None else dict.fromkeys(classes, margin_s * 1000)
    verdict = judge(rows, margin_ms=margin_ms)
    looked_at = ", ".join(f"{count} {name}" for name, count in verdict.looked_at.items())
    if verdict.is_clean:
        click.echo(f"verify: clean ({looked_at}).")
        return True
    click.echo(f"verify: {len(verdict.faults)} faults ({looked_at}).")
    for kind, count in verdict.counts().most_common():
        click.echo(f"  {count} × {kind}")
    for fault in verdict.faults[:MOST_FAULTS_SHOWN]:
        click.echo(f"  {fault.kind}: {fault.sentence}")
    return False


for command in COMMANDS:
    main.add_command(command)


if __name__ == "__main__":
    main()
