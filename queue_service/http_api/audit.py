"""
The audit, to be read.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from queue_service.audit import Audit as Trace
from queue_service.authority import EVERYWHERE, AuditSearch, Identity
from queue_service.contract import clean_text, operation
from queue_service.dispatch import Dispatch
from queue_service.http_api.words import BASE, SUPERVISORS, Body

Word = Annotated[str, Meta(max_length=128)]


class AuditQuery(Body, frozen=True):
    """Which entries; without ``after`` the newest come first."""

    actor: Word | None = None
    action: Word | None = None
    object: Word | None = None
    q: Annotated[str, clean_text(100)] | None = None
    since_ms: Annotated[int, Meta(ge=0, le=2**53)] | None = None
    until_ms: Annotated[int, Meta(ge=0, le=2**53)] | None = None
    after: Annotated[int, Meta(ge=0, le=2**53)] | None = None
    before: Annotated[int, Meta(ge=0, le=2**53)] | None = None
    limit: Annotated[int, Meta(ge=1, le=500)] = 100


class AuditView(Struct, frozen=True, kw_only=True):
    """Who changed what, when, and whether it was done."""

    id: int
    at_ms: int
    actor: str
    place: str | None
    """The same for entries from one address; the address itself is not kept."""
    action: str
    object: str
    outcome: str
    """``done``, or the code of the refusal."""
    detail: Mapping[str, Any]


class AuditReply(Struct, frozen=True):
    """A page of entries; ask for those ``before`` (or ``after``) the last id to go on."""

    entries: tuple[AuditView, ...]


class Audit:
    """The audit, to be read."""

    def __init__(self, audit: Trace, dispatch: Dispatch) -> None:
        self._audit = audit
        self._dispatch = dispatch

    @operation(
        "GET",
        BASE + "/audit",
        summary="Who changed what",
        roles=SUPERVISORS,
        query=AuditQuery,
        answers={200: AuditReply},
        tags=("audit",),
    )
    async def read_audit(self, centre: str, query: AuditQuery, identity: Identity) -> AuditReply:
        """Entries of the centre; whoever acts everywhere also sees those that concern the whole installation."""
        await self._dispatch.centre(centre)
        asked = AuditSearch(
            centre=centre, with_installation=EVERYWHERE in identity.centres, **msgspec.structs.asdict(query)
        )
        found = await self._audit.search(asked)
        return AuditReply(
            tuple(
                AuditView(
                    id=id,
                    at_ms=entry.at_ms,
                    actor=entry.actor,
                    place=entry.place,
                    action=entry.action,
                    object=entry.object,
                    outcome=entry.outcome,
                    detail=entry.detail,
                )
                for id, entry in found
            )
        )
