"""
What one process needs to start, read once from the environment into a frozen value.

It knows no file, no socket and no centre's content: the centre is a file of its own (`centre.py`).  Past `app.py` and
`cli.py` nobody reads the environment.  A name or a value that we do not understand stops the start with a sentence.
"""

from __future__ import annotations

import difflib
import ipaddress
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, cast
from urllib.parse import parse_qs, urlsplit

LogForm = Literal["json", "console"]

PREFIX: Final = "QUEUE_"
LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})

EXPLAINED: Final = {
    "QUEUE_HOST": "address to listen on; default 127.0.0.1, this machine only",
    "QUEUE_PORT": "port to listen on, 0 for any free one; default 8080",
    "QUEUE_DATA_DIR": "folder of everything the service keeps; default ./var",
    "QUEUE_REDIS_URL": "redis://, rediss:// or unix:// address of the store; default: a server in the data folder",
    "QUEUE_REPLICAS": "replicas that must have a change before it is answered; default 0, for a store without any",
    "QUEUE_TRUSTED_PROXIES": "addresses of proxies whose X-Forwarded-For is believed, with commas; default none",
    "QUEUE_DATABASE_URL": "sqlite:// or postgresql:// address of the archive; default: archive.db in the data folder",
    "QUEUE_KEEP_DAYS": "days that the archive keeps events, visits and the audit, 30 to 36500; default: for ever",
    "QUEUE_SLIP_KEY": "64 hexadecimal digits that dossier slips are made with; default: slip.key in the data folder",
    "QUEUE_CENTRES": f"centre files, separated by {os.pathsep!r}",
    "QUEUE_LOG": "form of the log: json or console; default json",
    "QUEUE_OIDC_ISSUER": "https:// address of an identity server to sign in by; default none",
    "QUEUE_OIDC_CLIENT": "what the identity server knows us by; default queue-service",
    "QUEUE_OIDC_SECRET": "our secret at the identity server; default none, for a public client",
    "QUEUE_OIDC_CLAIM": "which word of its tokens is the name of an account; default preferred_username",
    "QUEUE_PUBLIC_URL": "http:// or https:// address under which phones reach the pages; default: where we listen",
}
"""Every name we read, each with a sentence for the operator."""


class SettingsError(Exception):
    """The environment cannot be understood; the text says which names and why, one sentence a line."""

    exit_code: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """
    How this process runs.

    Args:
        redis_url: None means: start our own server in `data_dir`.
        database_url: None means: a file in `data_dir`.
        keep_days: how long the archive keeps what happened; None means: for ever.
        slip_key: None means: a file in `data_dir`, made at the first start.
        centres: centre files in the order given.
        public_url: without a slash at the end; None means: where we listen.
        oidc_issuer: None means: nobody signs in by an identity server.
    """

    host: str = "127.0.0.1"
    port: int = 8080
    data_dir: Path = Path("var")
    redis_url: str | None = None
    replicas: int = 0
    trusted_proxies: frozenset[str] = frozenset()
    database_url: str | None = None
    keep_days: int | None = None
    slip_key: str | None = None
    centres: tuple[Path, ...] = ()
    log: LogForm = "json"
    public_url: str | None = None
    oidc_issuer: str | None = None
    oidc_client: str = "queue-service"
    oidc_secret: str | None = None
    oidc_claim: str = "preferred_username"

    @property
    def keep_ms(self) -> int | None:
        """How long the archive keeps what happened."""
        return self.keep_days * 86_400_000 if self.keep_days is not None else None

    @property
    def archive_url(self) -> str:
        """The address of the archive."""
        return self.database_url or f"sqlite:///{self.data_dir.absolute() / 'archive.db'}"


def read_settings(environ: Mapping[str, str]) -> Settings:
    """
    The settings that *environ* asks for; an empty value counts as not given.

    Raises:
        SettingsError: a `QUEUE_` name is unknown or a value is faulty; all faults are told at once.
    """
    given = {name: value.strip() for name, value in environ.items() if name.startswith(PREFIX) and value.strip()}
    faults = [_unknown(name) for name in sorted(given) if name not in EXPLAINED]
    default = Settings()

    port = given.get("QUEUE_PORT", str(default.port))
    if not (port.isascii() and port.isdigit() and int(port) <= 65535):
        faults.append(f"QUEUE_PORT is {port!r}; it must be a number from 0 to 65535.")
        port = "0"
    log = given.get("QUEUE_LOG", default.log)
    if log not in ("json", "console"):
        faults.append(f"QUEUE_LOG is {log!r}; it must be json or console.")
    host = given.get("QUEUE_HOST", default.host)
    if "/" in host or any(character.isspace() for character in host):
        faults.append(f"QUEUE_HOST is {host!r}; it must be a host name or an address, without port or path.")
    public_url = _address(given, faults, "QUEUE_PUBLIC_URL", "http", "https")
    redis_url = _address(given, faults, "QUEUE_REDIS_URL", "redis", "rediss", "unix")
    database_url = _address(given, faults, "QUEUE_DATABASE_URL", "sqlite", "postgresql")
    keep_days = given.get("QUEUE_KEEP_DAYS")
    if keep_days is not None and not (keep_days.isascii() and keep_days.isdigit() and 30 <= int(keep_days) <= 36_500):
        faults.append(f"QUEUE_KEEP_DAYS is {keep_days!r}; it must be a number of days from 30 to 36500.")
        keep_days = None
    slip_key = given.get("QUEUE_SLIP_KEY")
    if slip_key is not None and not re.fullmatch(r"[0-9a-fA-F]{64}", slip_key):
        faults.append("QUEUE_SLIP_KEY must be 64 hexadecimal digits; make it with: openssl rand -hex 32")
    oidc_issuer = _address(given, faults, "QUEUE_OIDC_ISSUER", "https", "http")
    if oidc_issuer and oidc_issuer.startswith("http:") and urlsplit(oidc_issuer).hostname not in LOOPBACK:
        faults.append("QUEUE_OIDC_ISSUER must begin with https://, but on this machine itself.")
    if oidc_issuer and not public_url:
        faults.append("QUEUE_OIDC_ISSUER needs QUEUE_PUBLIC_URL, the address that browsers come back to.")
    replicas = given.get("QUEUE_REPLICAS", "0")
    if not (replicas.isascii() and replicas.isdigit() and int(replicas) <= 5):
        faults.append(f"QUEUE_REPLICAS is {replicas!r}; it must be a number from 0 to 5.")
        replicas = "0"
    proxies = frozenset(part.strip() for part in given.get("QUEUE_TRUSTED_PROXIES", "").split(",") if part.strip())
    for proxy in sorted(proxies):
        try:
            ipaddress.ip_address(proxy)
        except ValueError:
            faults.append(f"QUEUE_TRUSTED_PROXIES names {proxy!r}, which is no address.")
    if faults:
        raise SettingsError("\n".join(faults))
    return Settings(
        host=host,
        port=int(port),
        data_dir=Path(given.get("QUEUE_DATA_DIR", default.data_dir)),
        redis_url=redis_url,
        replicas=int(replicas),
        trusted_proxies=proxies,
        database_url=database_url,
        keep_days=int(keep_days) if keep_days is not None else None,
        slip_key=slip_key,
        centres=tuple(Path(part) for part in given.get("QUEUE_CENTRES", "").split(os.pathsep) if part),
        log=cast(LogForm, log),
        public_url=public_url.rstrip("/") if public_url else None,
        oidc_issuer=oidc_issuer,
        oidc_client=given.get("QUEUE_OIDC_CLIENT", default.oidc_client),
        oidc_secret=given.get("QUEUE_OIDC_SECRET"),
        oidc_claim=given.get("QUEUE_OIDC_CLAIM", default.oidc_claim),
    )


def _unknown(name: str) -> str:
    near = difflib.get_close_matches(
        name.removeprefix(PREFIX), [known.removeprefix(PREFIX) for known in EXPLAINED], n=1
    )
    hint = f"did you mean {PREFIX}{near[0]}?" if near else f"known are {', '.join(EXPLAINED)}."
    return f"{name} is no setting of this service; {hint}"


def _address(given: Mapping[str, str], faults: list[str], name: str, *schemes: str) -> str | None:
    """The address *name* holds, or None; a fault never repeats the value, which may hold a password."""
    value = given.get(name)
    if value is None:
        return None
    try:
        parts = urlsplit(value)
        parts.port  # noqa: B018 - reading it checks it
    except ValueError:
        faults.append(f"{name} is no address; if it holds a password, its special characters must be %-encoded.")
        return None
    if parts.scheme not in schemes:
        faults.append(f"{name} must begin with {' or '.join(scheme + '://' for scheme in schemes)}.")
    elif parts.scheme == "sqlite":
        if parts.netloc or parts.path in ("", "/", "/:memory:"):
            faults.append(f"{name} names no file; it is sqlite:///relative/path or sqlite:////absolute/path.")
    elif parts.scheme == "unix":
        if not parts.path:
            faults.append(f"{name} names no file.")
    elif not (parts.hostname or (parts.scheme == "postgresql" and "host" in parse_qs(parts.query))):
        faults.append(f"{name} names no host.")
    return value
