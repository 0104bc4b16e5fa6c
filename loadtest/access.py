"""
Whom a load may speak for: the devices and sign-ins that ``queue-service run`` writes to ``demo.json``, and which
addresses are allowed.

A load test is a flood by design, so it goes to this machine only.
"""

from __future__ import annotations

import ipaddress
import urllib.parse
from pathlib import Path

import msgspec


class Device(msgspec.Struct, frozen=True, kw_only=True):
    """A kiosk or a board with its token."""

    id: str
    token: str


class Staff(msgspec.Struct, frozen=True, kw_only=True):
    """A sign-in of the demo; ``counter`` is where that officer usually sits."""

    name: str
    password: str
    roles: tuple[str, ...] = ()
    counter: str | None = None


class CentreAccess(msgspec.Struct, frozen=True, kw_only=True):
    """Devices and staff of one centre."""

    kiosks: tuple[Device, ...] = ()
    boards: tuple[Device, ...] = ()
    staff: tuple[Staff, ...] = ()

    def with_role(self, role: str) -> tuple[Staff, ...]:
        """Staff who may act as *role*."""
        return tuple(person for person in self.staff if role in person.roles)


class Access(msgspec.Struct, frozen=True, kw_only=True):
    """What ``demo.json`` says."""

    base: str
    centres: dict[str, CentreAccess]


class Refused(SystemExit):
    """The load is not run; the sentence says why."""


def read_access(path: Path) -> Access:
    """
    Read ``demo.json``.

    Raises:
        Refused: there is no such file, or it is not what the service writes.
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=Access)
    except OSError as error:
        raise Refused(f"no demo.json at {path} ({error.strerror}); start the service with `make run` first") from error
    except msgspec.DecodeError as error:
        raise Refused(f"{path} is not what `queue-service run` writes: {error}") from error


def loopback(base: str) -> str:
    """
    *base* again, when it is an address of this machine.

    Raises:
        Refused: it is somebody else's.
    """
    host = urllib.parse.urlsplit(base).hostname or ""
    if host != "localhost":
        try:
            is_ours = ipaddress.ip_address(host).is_loopback
        except ValueError:
            is_ours = False
        if not is_ours:
            raise Refused(f"{base} is not an address of this machine; a load test goes to 127.0.0.1 only")
    return base.rstrip("/")
