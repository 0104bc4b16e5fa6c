"""
What the settings files of the agents for small devices share: reading one with the place of every mistake, and the
token beside it.

It knows neither panels nor pads: `displays.panel_file` and `counters.pad_file` say what theirs hold.
"""

from __future__ import annotations

import stat
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Protocol, TypeVar
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta, Struct
from msgspec import inspect as shapes

from queue_service.centre_file import SLUG, FaultyCentre, Problem, misshapen, parse

Id = Annotated[str, Meta(pattern=SLUG)]
Text = Annotated[str, Meta(min_length=1, max_length=200)]
Address = Annotated[int, Meta(ge=1, le=247)]

F = TypeVar("F", bound=Struct)


class PortEntry(Struct, frozen=True, kw_only=True):
    """A line with devices behind it."""

    id: Id
    address: Text
    """A path such as ``/dev/ttyUSB0``, or ``tcp://host:port``."""
    baud: Annotated[int, Meta(ge=300, le=921_600)] = 9600


class FaultyFile(Exception):
    """The file cannot be used; ``problems`` holds every mistake found, each with its place."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(map(str, self.problems)))


def read_file(path: Path, kind: type[F], sense: Callable[[F], Iterator[Problem]]) -> F:
    """
    The settings in *path*.

    Args:
        kind: what the file holds; fields without a default must be there.
        sense: finds what is well formed and makes no sense.

    Raises:
        FaultyFile: with every mistake.
        OSError: it cannot be read.
    """
    try:
        raw = parse(path.read_bytes(), "toml")
    except FaultyCentre as faulty:
        raise FaultyFile(faulty.problems) from None
    if problems := list(misshapen(raw, shapes.type_info(kind))):
        raise FaultyFile(problems)
    settings = msgspec.convert(raw, kind)
    if problems := list(sense(settings)):
        raise FaultyFile(problems)
    return settings


def fault_of(address: str) -> str | None:
    """Why *address* cannot be one of a port, or None: a path below ``/dev``, or ``tcp://host:port``."""
    if address.startswith("/"):
        return None
    try:
        parts = urlsplit(address)
        if parts.scheme == "tcp" and parts.hostname and parts.port and not parts.path:
            return None
    except ValueError:
        pass
    return "is no port: write a path such as /dev/ttyUSB0, or tcp://host:port"


class Hanging(Protocol):
    """A device behind a port."""

    @property
    def id(self) -> str:
        """What the file calls it."""

    @property
    def port(self) -> str:
        """The ``id`` of the port that it hangs on."""

    @property
    def address(self) -> int:
        """What it answers to on that port."""


def miswired(service: str, ports: Sequence[PortEntry], devices: Sequence[Hanging], kind: str) -> Iterator[Problem]:
    """What makes no sense in any such file: the service's address, ports, and *kind* (``panels``) that hang on them."""
    yield from repeated((port.id for port in ports), "ports.id")
    yield from repeated((port.address for port in ports), "ports.address")
    yield from repeated((device.id for device in devices), f"{kind}.id")
    yield from repeated(((device.port, device.address) for device in devices), f"{kind}.port, {kind}.address")
    if not service.startswith(("http://", "https://")):
        yield Problem("service", "is no address: write http://… or https://…")
    for n, port in enumerate(ports):
        if fault := fault_of(port.address):
            yield Problem(f"ports[{n}].address", f"{port.address!r} {fault}")
    for n, device in enumerate(devices):
        if device.port not in {port.id for port in ports}:
            yield Problem(f"{kind}[{n}].port", f"there is no port {device.port!r} in this file")


def repeated(values: Iterable[object], place: str) -> Iterator[Problem]:
    """Complain of values that stand more than once."""
    for value, times in Counter(values).items():
        if times > 1:
            yield Problem(place, f"{value!r} stands {times} times")


def read_secret(path: Path) -> str:
    """
    The token or password in the first line of *path*.

    Raises:
        PermissionError: others than the owner may read the file.
        ValueError: it is empty.
        OSError: it cannot be read.
    """
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o077:
        raise PermissionError(f"{path} has mode {mode:04o}; others must not read it: chmod 600 {path}")
    secret, _, _ = path.read_text("utf-8").partition("\n")
    if not secret.strip():
        raise ValueError(f"{path} is empty; its first line is the token or password")
    return secret.strip()
