"""
Who may do what: identities, the accounts of staff, and the trace of what they did.

Pure words and one rule.  It knows no store: accounts are kept by `archive/accounts.py`, sessions and devices by
`identity.py`, and the trace by `archive/audit.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from contextvars import ContextVar
from typing import Any, Final, Literal, NamedTuple, TypedDict, get_args

from msgspec import Struct

from queue_service.commands import PressName
from queue_service.errors import Malformed, NotAllowed, SignInRequired

DEVICE_ROLES: Final[frozenset[str]] = frozenset({"kiosk", "board", "integrator"})
StaffRole = Literal["officer", "desk", "specialist", "supervisor", "admin"]
STAFF_ROLES: Final[frozenset[str]] = frozenset(get_args(StaffRole))
ACCOUNT_NAME: Final = r"[a-z0-9][a-z0-9._-]{0,63}"
"""What an account may be called; it can never look like a device's name."""
EVERYWHERE: Final = "*"
"""Stands among the centres of an identity that may act in every centre of the installation."""


class Identity(Struct, frozen=True, kw_only=True):
    """
    Whoever makes a request, as far as rules are concerned.

    Args:
        name: the account, or `device:<id>`; the actor that press ids are scoped by.
        centres: slugs, or EVERYWHERE.
        device: what a device token is for: the kiosk, board or desk of the centre.
    """

    name: str
    roles: frozenset[str] = frozenset()
    centres: frozenset[str] = frozenset()
    kind: Literal["staff", "device", "nobody"] = "nobody"
    device: str | None = None
    display_name: str = ""

    def covers(self, centres: Collection[str]) -> bool:
        """Whether whatever belongs to *centres* lies within this identity's own."""
        return EVERYWHERE in self.centres or self.centres.issuperset(centres)


NOBODY: Final = Identity(name="nobody")


class By(NamedTuple):
    """Who asks for a change, when, and by which press."""

    identity: Identity
    now_ms: int
    press_id: str | None = None


def actor_of(identity: Identity) -> str:
    """Whose press it is: part of what a press id is remembered by, and the name in events and in the audit."""
    if identity.kind == "nobody":
        return "phone"
    return identity.name if identity.kind == "device" else f"staff:{identity.name}"


def allow(identity: Identity, roles: Collection[str], centre: str | None = None) -> bool:
    """Whether *identity* has one of *roles*, in *centre* if the question is about one; no roles means everybody."""
    if not roles:
        return True
    if identity.roles.isdisjoint(roles):
        return False
    return centre is None or identity.covers((centre,))


def require(identity: Identity, roles: Collection[str], centre: str | None = None) -> None:
    """
    Do nothing if `allow` says yes.

    Raises:
        SignInRequired: nobody is signed in.
        NotAllowed: the role or the centre does not cover this; whether the centre exists is not said.
    """
    if allow(identity, roles, centre):
        return
    if identity.kind == "nobody":
        raise SignInRequired("Sign in, or send the token of a device.")
    raise NotAllowed("This sign-in or device may not do this here.")


def known_roles(roles: Collection[str], known: frozenset[str]) -> frozenset[str]:
    """
    *roles*, if there is one and we know them all.

    Raises:
        Malformed: none is given, or one that is not in *known*.
    """
    if not roles or not known.issuperset(roles):
        raise Malformed(f"Roles are one or more of {', '.join(sorted(known))}.")
    return frozenset(roles)


class Account(Struct, frozen=True, kw_only=True):
    """
    A person of the staff.

    Args:
        centres: where the person works.
        home_department: the department that sent somebody who is seconded.
        must_change_password: the password was made by an administrator and is good for one sign-in.
        has_second_factor: whether a sign-in needs a code from an authenticator, too.
    """

    name: str
    display_name: str
    roles: frozenset[str]
    centres: frozenset[str]
    home_department: str | None = None
    is_disabled: bool = False
    password_at_ms: int
    must_change_password: bool = False
    has_second_factor: bool = False
    created_at_ms: int

    def identity(self) -> Identity:
        """The account as it acts."""
        return Identity(
            name=self.name, roles=self.roles, centres=self.centres, kind="staff", display_name=self.display_name
        )


Action = Literal[
    "sign-in",
    "sign-in-oidc",
    "sign-out",
    "create-user",
    "change-user",
    "reset-password",
    "end-sessions",
    "remove-user",
    "change-password",
    "set-second-factor",
    "create-device",
    "revoke-device",
    "look-up-dossier",
    "change-board",
    "reset-board",
    "bring-media",
    "remove-media",
]
"""What the audit tells of besides presses; each has its words in every language."""


class Said(TypedDict, total=False):
    """
    What an entry of the audit says besides who, what and where: words of the code, ids and numbers.

    Each has its words in every language.
    """

    number: str | None
    event: int | None
    service: str
    open: bool
    take_over: bool
    drain: bool
    day: str
    any_order: bool
    roles: list[str]
    centres: list[str]
    home_department: str | None
    is_disabled: bool
    forget_second_factor: bool | None
    role: str
    device: str | None
    version: str
    before: str | None
    press: str | None
    zones: list[str]
    layout: str
    counter: str
    theme: str
    motto: bool
    logo: str
    notices: int
    media: list[str]
    picture_s: int
    late_s: int
    speaks: bool
    inches: float
    distance_m: float


class AuditEntry(Struct, frozen=True, kw_only=True):
    """
    That somebody changed something, or tried to.

    Ids and words of the code only: no password, no token (a ticket's id is one), no text that somebody typed.

    Args:
        centre: None for what concerns the whole installation.
        place: a keyed digest of the address: says which entries came from one place, not from where.
        outcome: `done`, or the code of the refusal.
        detail: a few plain values.
    """

    at_ms: int
    centre: str | None
    actor: str
    place: str | None
    action: Action | PressName
    object: str
    outcome: str
    detail: dict[str, Any] = {}


class AuditSearch(NamedTuple):
    """
    Which entries.

    Args:
        centre: whose; with_installation also those that concern no single centre.
        actor, action, object: exactly this.
        q: letters that stand anywhere in an entry, upper or lower case.
        since_ms, until_ms: from this moment, before that one.
        after, before: with a greater id, with a smaller one.
    """

    centre: str
    with_installation: bool = False
    actor: str | None = None
    action: str | None = None
    object: str | None = None
    q: str | None = None
    since_ms: int | None = None
    until_ms: int | None = None
    after: int | None = None
    before: int | None = None
    limit: int = 100


ASKED_FROM: Final[ContextVar[Callable[[], str] | None]] = ContextVar("asked_from", default=None)
"""The address of the request that is being answered, for whoever asks; `guard` sets it."""
