"""
What the doors of `/api/v1` share: addresses, roles, kinds of text, and whoever answers for a long time.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Annotated, Any, Final, Protocol

from aiohttp import web
from msgspec import Meta, Struct

from queue_service.authority import Identity
from queue_service.contract import clean_text

BASE: Final = "/api/v1/centres/{centre}"
OFFICERS: Final = ("officer", "supervisor", "admin")
ADMINS: Final = ("admin",)
STAFF: Final = ("officer", "desk", "specialist", "supervisor", "admin")
SUPERVISORS: Final = ("supervisor", "admin")
ISSUERS: Final = ("kiosk", "desk", "supervisor", "admin")
DESKS: Final = ("kiosk", "desk", "officer", "supervisor", "admin")
READERS: Final = ("officer", "desk", "supervisor", "admin", "integrator")
RECENT: Final = 12

Slug = Annotated[str, Meta(pattern=r"\A[a-z0-9](?:[a-z0-9-]{0,30}[a-z0-9])?\Z")]
TicketIdText = Annotated[str, Meta(pattern=r"\A[A-Za-z0-9_-]{22}\Z")]
TicketText = Annotated[str, Meta(pattern=r"\A[A-Za-z0-9_-]{1,22}\Z")]
"""A ticket by id or printed number."""
Line = Annotated[str, clean_text(200)]
GivenReason = Annotated[str, clean_text(200, 1)]
"""Why, in a few words, and never nothing."""
Language = Annotated[str, Meta(pattern=r"\A[a-z]{2,3}\Z")]


Names = Callable[[Collection[str]], Awaitable[dict[str, str]]]
"""Accounts -> what their owners are called."""


class Body(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What a request says; nothing that is not listed."""


class Reason(Body, frozen=True):
    """Why, in a few words."""

    reason: Line | None = None


class Streams(Protocol):
    """Whoever answers for a long time: the boards' door (displays/screen_door.py)."""

    async def board(self, request: web.Request) -> web.StreamResponse:
        """The board as it is now."""
        ...

    async def board_stream(self, request: web.Request) -> web.StreamResponse:
        """The board's events."""
        ...

    async def board_sound(self, request: web.Request) -> web.StreamResponse:
        """What the voice of the board's hall says."""
        ...

    async def staff_stream(self, request: web.Request, centre: str, identity: Identity) -> web.StreamResponse:
        """The centre's events in the staff form."""
        ...

    async def follow(
        self,
        request: web.Request,
        centre: str,
        concerns: Callable[[Mapping[str, Any]], float | None],
        read: Callable[[], Awaitable[Mapping[str, Any]]],
        kind: str,
    ) -> web.StreamResponse:
        """What *read* says, now and whenever it changes."""
        ...
