"""
What this machine is and what its processes have used, read from ``/proc``; elsewhere the figures are zero and the line
is shorter.

A service is a process and its children; of these the store is the one whose program is a Redis or Valkey server.
"""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Iterator
from pathlib import Path

import msgspec

_STORES = ("redis-server", "valkey-server", "valkey")
_TICKS = os.sysconf("SC_CLK_TCK")
_VOICE = b"displays.synthesiser"
"""The process that speaks: it works as long as there is something to say, beside the presses."""
_PROC = Path("/proc")


class Used(msgspec.Struct, frozen=True, kw_only=True):
    """CPU seconds so far, and the memory of the service without its store and its voice."""

    service_s: float = 0.0
    voice_s: float = 0.0
    store_s: float = 0.0
    clients_s: float = 0.0
    service_rss_kb: int = 0


def used(service_pid: int | None) -> Used:
    """What the tree below *service_pid* has used until now, and this process itself."""
    service_s = voice_s = store_s = 0.0
    rss_kb = 0
    for pid in _tree(service_pid) if service_pid is not None else ():
        if _name(pid).startswith(_STORES):
            store_s += _cpu_s(pid)
        elif _VOICE in _command(pid):
            voice_s += _cpu_s(pid)
        else:
            service_s += _cpu_s(pid)
            rss_kb += _rss_kb(pid)
    times = os.times()
    clients_s = times.user + times.system
    return Used(service_s=service_s, voice_s=voice_s, store_s=store_s, clients_s=clients_s, service_rss_kb=rss_kb)


def describe(service_pid: int | None) -> dict[str, str]:
    """The machine in a few words: processor, cores and how busy they were already, Python, store."""
    line = {
        "cpu": _processor(),
        "cores": str(os.cpu_count()),
        "python": platform.python_version(),
        "load before the run": f"{os.getloadavg()[0]:.1f}",
        "system": f"{platform.system()} {platform.release()}",
    }
    for pid in _tree(service_pid) if service_pid is not None else ():
        if _name(pid).startswith(_STORES):
            line["store"] = _store_version(pid)
    return line


def _tree(root: int) -> Iterator[int]:
    """*root* and everything below it."""
    yield root
    for task in _PROC.glob(f"{root}/task/*/children"):
        try:
            children = task.read_text().split()
        except OSError:
            continue
        for child in children:
            yield from _tree(int(child))


def _name(pid: int) -> str:
    try:
        return (_PROC / str(pid) / "comm").read_text().strip()
    except OSError:
        return ""


def _command(pid: int) -> bytes:
    try:
        return (_PROC / str(pid) / "cmdline").read_bytes()
    except OSError:
        return b""


def _cpu_s(pid: int) -> float:
    """User and system time; the name in the second field may hold blanks, so what follows its bracket is read."""
    try:
        fields = (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / _TICKS


def _rss_kb(pid: int) -> int:
    try:
        lines = (_PROC / str(pid) / "status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("VmRSS:")), 0)


def _processor() -> str:
    try:
        lines = (_PROC / "cpuinfo").read_text().splitlines()
    except OSError:
        return platform.machine()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def _store_version(pid: int) -> str:
    """The first words of what the store's own program says of itself."""
    try:
        program = (_PROC / str(pid) / "exe").readlink()
        said = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=5, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return _name(pid)
    return " ".join(said.split()[:3]).replace(" server", "")
