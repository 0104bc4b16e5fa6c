"""
What a centre is, and what can be looked up there.
"""

from __future__ import annotations

import zlib
from typing import Annotated, Any, Final

import msgspec
from aiohttp import web
from msgspec import Meta, Struct

from queue_service import views
from queue_service.contract import Answer, clean_text, operation
from queue_service.dispatch import Dispatch
from queue_service.errors import (
    UnknownProcedure,
)
from queue_service.http_api.words import BASE, OFFICERS, Body, Language, Slug
from queue_service.procedures import Catalogue, FieldCount, Procedure, fee_text, time_text

QUICK: Final = 9
"""As many as there are digits to choose with."""


class ProcedureQuery(Body, frozen=True):
    """What to look for."""

    q: Annotated[str, clean_text(120)] = ""
    department: Slug | None = None
    field: Annotated[str, Meta(max_length=40)] | None = None
    limit: Annotated[int, Meta(ge=1, le=100)] = 20
    language: Language = "vi"


class TextQuery(Body, frozen=True):
    """In which language texts are wanted."""

    language: Language = "vi"


class FieldQuery(Body, frozen=True):
    """Of which department."""

    department: Slug | None = None


class CentreItem(Struct, frozen=True):
    """One centre of the installation."""

    id: str
    name: str
    name_en: str
    level: str


class CentreList(Struct, frozen=True):
    """All centres of the installation."""

    centres: tuple[CentreItem, ...]


class ProcedureItem(Struct, frozen=True):
    """One procedure in a list."""

    code: str
    name: str
    department: str
    field: str
    time_text: str
    fee_text: str
    online: str


class ProcedureList(Struct, frozen=True):
    """Procedures found, best first."""

    procedures: tuple[ProcedureItem, ...]
    total: int


class ProcedureReply(Procedure, frozen=True, kw_only=True):
    """One procedure with time limit and fee in words."""

    time_text: str
    fee_text: str


class Centres:
    """
    What a centre is, and what can be looked up there.

    Args:
        public_url: under which phones reach the pages; None: under whatever address we are asked.
    """

    def __init__(self, dispatch: Dispatch, public_url: str | None) -> None:
        self._dispatch = dispatch
        self._public_url = public_url

    @operation("GET", "/api/v1/centres", summary="All centres", answers={200: CentreList}, tags=("centre",))
    async def list_centres(self) -> CentreList:
        """The centres of this installation."""
        centres = [await self._dispatch.centre(id) for id in await self._dispatch.store.centre_ids()]
        return CentreList(tuple(CentreItem(c.id, c.name, c.name_en, c.level) for c in centres))

    @operation("GET", BASE, summary="A centre", answers={200: dict[str, Any]}, tags=("centre",))
    async def read_centre(self, centre: str, request: web.Request) -> Answer:
        """
        Departments, services, counters, boards and grounds as configured, whether numbers are handed out, the business
        day, and the address under which phones reach the pages.
        """
        configured, day = await self._dispatch.in_force(centre)
        value = msgspec.to_builtins(configured)
        issuing = views.issuing_view(day)
        public_url = self._public_url or f"{request.scheme}://{request.host}"
        value |= {"version": configured.version, "issuing": issuing, "day": day["day"], "public_url": public_url}
        rest = zlib.crc32(msgspec.json.encode((issuing, self._public_url)))  # the same in every process
        return Answer(value, etag=f"{configured.version}-{day['day']}-{rest:08x}")

    @operation(
        "GET",
        BASE + "/procedures",
        summary="Find procedures",
        query=ProcedureQuery,
        answers={200: ProcedureList},
        tags=("procedures",),
    )
    async def find_procedures(self, centre: str, query: ProcedureQuery) -> ProcedureList:
        """Accents may be left out, and one slip a word is forgiven."""
        found = (await self._catalogue(centre)).search(query.q, query.department, query.field, query.limit)
        return ProcedureList(tuple(_procedure_item(p, query.language) for p in found.procedures), found.total)

    @operation(
        "GET",
        BASE + "/counters/{counter}/procedures",
        summary="What a counter usually handles",
        roles=OFFICERS,
        query=TextQuery,
        answers={200: ProcedureList},
        tags=("procedures", "counters"),
    )
    async def usual_procedures(self, centre: str, counter: str, query: TextQuery) -> ProcedureList:
        """Most often handled first, then those of its departments; the quick list when a visit is completed."""
        configured = await self._dispatch.centre(centre)
        usual = await self._dispatch.usual_procedures(configured, counter, QUICK)
        return ProcedureList(tuple(_procedure_item(p, query.language) for p in usual), len(usual))

    @operation(
        "GET",
        BASE + "/procedures/{code}",
        summary="A procedure",
        query=TextQuery,
        answers={200: ProcedureReply},
        refusals=(UnknownProcedure,),
        tags=("procedures",),
    )
    async def read_procedure(self, centre: str, code: str, query: TextQuery) -> ProcedureReply:
        """Papers, fee, time limit, legal basis and source of one procedure."""
        procedure = (await self._catalogue(centre)).get(code)
        if procedure is None:
            raise UnknownProcedure(f"There is no procedure {code} at this centre.")
        return ProcedureReply(
            **msgspec.structs.asdict(procedure),
            time_text=time_text(procedure, query.language),
            fee_text=fee_text(procedure, query.language),
        )

    @operation(
        "GET",
        BASE + "/fields",
        summary="Fields of procedures",
        query=FieldQuery,
        answers={200: tuple[FieldCount, ...]},
        tags=("procedures",),
    )
    async def list_fields(self, centre: str, query: FieldQuery) -> tuple[FieldCount, ...]:
        """The fields (lĩnh vực) of a department, with the number of procedures in each."""
        return (await self._catalogue(centre)).fields(query.department)

    async def _catalogue(self, centre: str) -> Catalogue:
        await self._dispatch.centre(centre)
        return self._dispatch.catalogue(centre)


def _procedure_item(procedure: Procedure, language: str) -> ProcedureItem:
    return ProcedureItem(
        code=procedure.code,
        name=procedure.name,
        department=procedure.department,
        field=procedure.field.name,
        time_text=time_text(procedure, language),
        fee_text=fee_text(procedure, language),
        online=procedure.online,
    )
