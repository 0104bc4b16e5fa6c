"""
Dossiers: taken in, moved on, looked at by staff; and by whoever holds a slip.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Annotated, Any, Final, Literal

import msgspec
from aiohttp import web
from msgspec import Meta, Struct

from queue_service.authority import Identity, actor_of, allow
from queue_service.commands import Wish
from queue_service.contract import H, clean_text, operation
from queue_service.dossiers import (
    NEVER_MS,
    OPEN,
    Dossier,
    Extend,
    HandOver,
    MarkReady,
    Missing,
    Paper,
    Progress,
    Refuse,
    RequestSupplement,
    Return,
    Search,
    State,
    Step,
    Stop,
    TakeSupplement,
    Way,
)
from queue_service.errors import (
    ArchiveAway,
    CauseNeeded,
    CodeTaken,
    ExtendedAlready,
    Malformed,
    NotAllowed,
    QueueError,
    SupplementAgain,
    TooMany,
    UnknownDepartment,
    UnknownDossier,
    UnknownProcedure,
    UnknownTicket,
    WrongState,
)
from queue_service.guard import Buckets, network
from queue_service.http_api.words import BASE, OFFICERS, READERS, SUPERVISORS, Body, Slug, TicketIdText
from queue_service.registry import Handed, Registry
from queue_service.slips import payload
from queue_service.working_days import Limit, WorkingDays

DOSSIERS: Final = BASE + "/dossiers"
DOSSIER: Final = DOSSIERS + "/{dossier}"
HANDLERS: Final = (*OFFICERS, "integrator")
WORKERS: Final = (*HANDLERS, "specialist")
"""Who may take the steps between reception and return."""
LOOKERS: Final = (*READERS, "specialist")
TERMINALS: Final = ("kiosk", *READERS)
SECRET: Final = "Dossier-Secret"  # noqa: S105 - the name of a header
MOST_RECEIVED_AGO_MS: Final = 10 * 366 * 86_400_000

CodeText = Annotated[str, Meta(pattern=r"\A[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z")]
ProcedureText = CodeText
Title = Annotated[str, clean_text(200, 1)]
Story = Annotated[str, clean_text(1_000, 1)]
Phone = Annotated[str, Meta(pattern=r"\A\+?[0-9]{8,15}\Z")]
IdentityNumber = Annotated[str, Meta(pattern=r"\A[A-Z0-9]{8,20}\Z")]
DateText = Annotated[str, Meta(pattern=r"\A20[0-9]{2}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])\Z")]
TimeMs = Annotated[int, Meta(ge=0, le=NEVER_MS)]
Few = Annotated[int, Meta(ge=0, le=99)]


class PaperBody(Body, frozen=True):
    """One line of the checklist; ``data``: a database holds what it says, so nobody may ask for it."""

    name: Title
    originals: Few = 0
    copies: Few = 0
    status: Literal["brought", "data", "missing"] = "brought"


class ApplicantBody(Body, frozen=True):
    """Whose dossier it is; the identity number is hashed, and only its last digits are kept."""

    name: Annotated[str, clean_text(120, 1)]
    phone: Phone | None = None
    identity: IdentityNumber | None = None


class ReceiveBody(Body, frozen=True):
    """
    What is handed in.

    ``limit`` is needed where the procedure states several, or none; ``starts`` is false when another agency is
    competent.  An outside system says also what it has promised already.
    """

    procedure: ProcedureText
    department: Slug | None = None
    limit: Limit | None = None
    code: CodeText | None = None
    starts: bool = True
    agency: Title | None = None
    return_place: Title | None = None
    papers: Annotated[tuple[PaperBody, ...], Meta(max_length=60)] = ()
    fee_vnd: Annotated[int, Meta(ge=0, le=100_000_000_000)] | None = None
    fee_paid: bool = False
    ticket: TicketIdText | None = None
    language: Annotated[str, Meta(pattern=r"\A[a-z]{2,3}\Z")] | None = None
    applicant: ApplicantBody | None = None
    received_ms: TimeMs | None = None
    due_ms: TimeMs | None = None


class HandOverBody(Body, frozen=True):
    """To which department, who took it there, and its share of the limit."""

    department: Slug
    receiver: Title | None = None
    limit: Limit | None = None
    note: Story | None = None


class ProgressBody(Body, frozen=True):
    """What is done now, and its share of the limit."""

    title: Title
    limit: Limit | None = None
    note: Story | None = None


class MissingBody(Body, frozen=True):
    """What is missing, why, and how to complete it."""

    paper: Title
    reason: Story
    how: Story


class SupplementBody(Body, frozen=True):
    """Everything that is missing; why again, when it is asked for again."""

    missing: Annotated[tuple[MissingBody, ...], Meta(min_length=1, max_length=60)]
    reason: Story | None = None


class NoteBody(Body, frozen=True):
    """A note for staff."""

    note: Story | None = None


class RefuseBody(Body, frozen=True):
    """What the person is told; of a late dossier also the cause."""

    reason: Story
    cause: Story | None = None


class StopBody(Body, frozen=True):
    """Why the person wishes it."""

    reason: Story


class ExtendBody(Body, frozen=True):
    """The day that is promised now, and the apology; of a late dossier also the cause."""

    until: DateText
    reason: Story
    cause: Story | None = None


class ReadyBody(Body, frozen=True):
    """Of a late dossier the cause."""

    cause: Story | None = None
    note: Story | None = None


class ReturnBody(Body, frozen=True):
    """How the person got it."""

    way: Way = "counter"
    note: Story | None = None


class DossierQuery(Body, frozen=True):
    """
    Which dossiers.  ``q`` is the beginning of a code, ``after`` the ``next`` of the page before.  Persons are not
    searched for: what is looked for stands in addresses and logs.
    """

    state: Literal[
        "open",
        "all",
        "received",
        "handed_over",
        "in_progress",
        "supplement",
        "ready",
        "refused",
        "stopped",
        "returned",
    ] = "open"
    department: Slug | None = None
    q: CodeText | None = None
    due_before_ms: TimeMs | None = None
    late: bool = False
    warn: bool = False
    after: Annotated[str, Meta(pattern=r"\A[0-9]{1,16}\.[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z")] | None = None
    limit: Annotated[int, Meta(ge=1, le=200)] = 50


class DossierView(Dossier, frozen=True, kw_only=True):
    """A dossier, and what the time makes of it."""

    is_late: bool
    warning: Literal["late", "last_day", "share"] | None


class DossierReply(Struct, frozen=True):
    """The dossier after a press."""

    dossier: DossierView


class SlipView(Struct, frozen=True):
    """What the receipt shows: the secret is told this once, and nobody keeps it."""

    code: str
    secret: str
    due_ms: int | None
    payload: str
    """For a QR; a barcode holds the code alone."""


class ReceiptReply(Struct, frozen=True):
    """The dossier and its slip."""

    dossier: DossierView
    slip: SlipView


class PersonView(Struct, frozen=True):
    """Whose dossier it is."""

    name: str
    phone: str | None
    identity_end: str | None


class WholeReply(Struct, frozen=True):
    """A dossier with its trace, its papers, and whose it is; null when that has been erased, or was never told."""

    dossier: DossierView
    steps: tuple[Step, ...]
    papers: tuple[Paper, ...]
    person: PersonView | None


class DossierList(Struct, frozen=True):
    """Dossiers, most urgent first, and where the next page begins; null when this was the last."""

    dossiers: tuple[DossierView, ...]
    next: str | None


class TrackStep(Struct, frozen=True):
    """One step as everybody may see it."""

    n: int
    at_ms: int
    change: str
    state: State


class ToldStep(Struct, frozen=True):
    """What the person is told about a step."""

    n: int
    department: str
    department_en: str
    title: str | None
    reason: str | None
    missing: tuple[Missing, ...]


class TrackDetails(Struct, frozen=True):
    """What only the holder of the slip sees."""

    procedure: str
    procedure_name: str
    centre_name: str
    centre_name_en: str
    department: str
    department_en: str
    agency: str | None
    return_place: str | None
    fee_vnd: int | None
    fee_paid: bool
    person: str | None
    """The name, masked: enough to know one's own."""
    papers: tuple[Paper, ...]
    steps: tuple[ToldStep, ...]


class TrackReply(Struct, frozen=True):
    """
    Where a dossier stands.  A bare code shows nothing of whom it belongs to or what it is about; ``details`` need the
    secret.
    """

    code: str
    centre: str
    state: State
    received_ms: int
    due_ms: int | None
    is_late: bool
    ended_ms: int | None
    steps: tuple[TrackStep, ...]
    details: TrackDetails | None


def command(
    path: str,
    body: type[Struct] | None,
    *,
    summary: str,
    refusals: tuple[type[QueueError], ...] = (),
    roles: tuple[str, ...] = WORKERS,
) -> Callable[[H], H]:
    """Declare a press on one dossier."""
    return operation(
        "POST",
        DOSSIER + path,
        summary=summary,
        roles=roles,
        press=True,
        body=body,
        answers={200: DossierReply},
        refusals=(UnknownDossier, WrongState, ArchiveAway, *refusals),
        tags=("dossiers",),
    )


class Dossiers:
    """
    Dossiers, for staff and for systems that hand them in.

    Args:
        public_url: under which phones reach the pages; None: under whatever address we are asked.
    """

    def __init__(self, registry: Registry, public_url: str | None) -> None:
        self._registry = registry
        self._public_url = public_url

    @operation(
        "POST",
        DOSSIERS,
        summary="Take a dossier in",
        roles=HANDLERS,
        press=True,
        body=ReceiveBody,
        answers={201: ReceiptReply},
        refusals=(UnknownProcedure, UnknownDepartment, UnknownTicket, CodeTaken, ArchiveAway),
        tags=("dossiers",),
    )
    async def receive_dossier(
        self, centre: str, body: ReceiveBody, press_id: str, identity: Identity, request: web.Request
    ) -> ReceiptReply:
        """Answers with the code, the due date and the secret of the slip, which is told this once."""
        told_elsewhere = body.received_ms is not None or body.due_ms is not None
        if told_elsewhere and not allow(identity, (*SUPERVISORS, "integrator"), centre):
            raise NotAllowed("Only an outside system or a supervisor says what was received and promised elsewhere.")
        if body.received_ms is not None and body.received_ms < self._registry.now_ms() - MOST_RECEIVED_AGO_MS:
            raise Malformed("received_ms: that is more than ten years ago.")
        handed = msgspec.convert(msgspec.to_builtins(body), Handed)
        dossier, secret = await self._registry.receive(centre, handed, actor_of(identity), press_id)
        return await self._receipt(request, centre, dossier, secret)

    @operation(
        "GET",
        DOSSIERS,
        summary="Find dossiers",
        roles=LOOKERS,
        query=DossierQuery,
        answers={200: DossierList},
        refusals=(ArchiveAway,),
        tags=("dossiers",),
    )
    async def list_dossiers(self, centre: str, query: DossierQuery) -> DossierList:
        """Most urgent first: by due date; those whose limit does not run come last."""
        now_ms = self._registry.now_ms()
        match query.state:
            case "open":
                states = tuple(sorted(OPEN))
            case "all":
                states = ()
            case state:
                states = (State(state),)
        due_ms, _, code = (query.after or "").partition(".")
        search = Search(
            centre=centre,
            states=states,
            department=query.department,
            begins=query.q or "",
            due_before_ms=query.due_before_ms,
            late_at_ms=now_ms if query.late else None,
            warned_at_ms=now_ms if query.warn else None,
            after=(int(due_ms), code) if query.after else None,
            limit=query.limit + 1,
        )
        found = await self._registry.search(search)
        shown, calendar = found[: query.limit], await self._registry.calendar(centre)
        last = shown[-1] if len(found) > query.limit else None
        return DossierList(
            tuple(_view(dossier, now_ms, calendar) for dossier in shown),
            f"{NEVER_MS if last.due_ms is None else last.due_ms}.{last.code}" if last is not None else None,
        )

    @operation(
        "GET",
        DOSSIER,
        summary="Look at a dossier",
        roles=LOOKERS,
        answers={200: WholeReply},
        refusals=(UnknownDossier, ArchiveAway),
        tags=("dossiers",),
    )
    async def read_dossier(self, centre: str, dossier: str, identity: Identity) -> WholeReply:
        """The whole trace, the papers, and whose it is; the audit says who has looked."""
        whole = await self._registry.read(centre, dossier, actor_of(identity))
        view = _view(whole.dossier, self._registry.now_ms(), await self._registry.calendar(centre))
        person = whole.person
        shown = PersonView(person.name, person.phone, person.identity_end) if person is not None else None
        return WholeReply(view, whole.steps, whole.papers, shown)

    @command("/handover", HandOverBody, summary="Hand over to a department", refusals=(UnknownDepartment,))
    async def hand_over(
        self, centre: str, dossier: str, body: HandOverBody, press_id: str, identity: Identity
    ) -> DossierReply:
        """A limit that has not begun begins."""
        return await self._press(centre, dossier, HandOver(**msgspec.structs.asdict(body)), press_id, identity)

    @command("/progress", ProgressBody, summary="A step has begun")
    async def progress(
        self, centre: str, dossier: str, body: ProgressBody, press_id: str, identity: Identity
    ) -> DossierReply:
        """The step before is done, within its share or not."""
        return await self._press(centre, dossier, Progress(**msgspec.structs.asdict(body)), press_id, identity)

    @command("/supplement", SupplementBody, summary="Ask for missing papers", refusals=(SupplementAgain,))
    async def request_supplement(
        self, centre: str, dossier: str, body: SupplementBody, press_id: str, identity: Identity
    ) -> DossierReply:
        """Fully and once; the limit stands still until they come."""
        missing = tuple(Missing(**msgspec.structs.asdict(each)) for each in body.missing)
        return await self._press(
            centre, dossier, RequestSupplement(missing=missing, reason=body.reason), press_id, identity
        )

    @command("/supplied", NoteBody, summary="The missing papers have come")
    async def take_supplement(
        self, centre: str, dossier: str, body: NoteBody, press_id: str, identity: Identity
    ) -> DossierReply:
        """The limit goes on with what was left of it."""
        return await self._press(centre, dossier, TakeSupplement(note=body.note), press_id, identity)

    @command("/refuse", RefuseBody, summary="Refuse", refusals=(CauseNeeded,))
    async def refuse(
        self, centre: str, dossier: str, body: RefuseBody, press_id: str, identity: Identity
    ) -> DossierReply:
        """With the reason that the person is told."""
        return await self._press(centre, dossier, Refuse(reason=body.reason, cause=body.cause), press_id, identity)

    @command("/stop", StopBody, summary="Stop on the person's wish")
    async def stop(self, centre: str, dossier: str, body: StopBody, press_id: str, identity: Identity) -> DossierReply:
        """Nobody owes a result any more."""
        return await self._press(centre, dossier, Stop(reason=body.reason), press_id, identity)

    @command(
        "/extend", ExtendBody, summary="Apologise and promise another day", refusals=(ExtendedAlready, CauseNeeded)
    )
    async def extend(
        self, centre: str, dossier: str, body: ExtendBody, press_id: str, identity: Identity
    ) -> DossierReply:
        """A later working day, with an apology; the first promise stays on record."""
        wish = Extend(until=body.until, reason=body.reason, cause=body.cause)
        return await self._press(centre, dossier, wish, press_id, identity)

    @command("/ready", ReadyBody, summary="The result lies ready", refusals=(CauseNeeded,))
    async def mark_ready(
        self, centre: str, dossier: str, body: ReadyBody, press_id: str, identity: Identity
    ) -> DossierReply:
        """On time or, with its cause, late."""
        return await self._press(centre, dossier, MarkReady(cause=body.cause, note=body.note), press_id, identity)

    @command("/return", ReturnBody, summary="The person has it", roles=HANDLERS)
    async def return_dossier(
        self, centre: str, dossier: str, body: ReturnBody, press_id: str, identity: Identity
    ) -> DossierReply:
        """The result, or the papers of what was refused or stopped."""
        return await self._press(centre, dossier, Return(way=body.way, note=body.note), press_id, identity)

    @operation(
        "POST",
        DOSSIER + "/slip",
        summary="Print the slip again",
        roles=OFFICERS,
        press=True,
        answers={200: ReceiptReply},
        refusals=(UnknownDossier, ArchiveAway),
        tags=("dossiers",),
    )
    async def renew_slip(
        self, centre: str, dossier: str, press_id: str, identity: Identity, request: web.Request
    ) -> ReceiptReply:
        """With another secret; the one before is worth nothing from now on."""
        found, secret = await self._registry.renew_secret(centre, dossier, actor_of(identity), press_id)
        return await self._receipt(request, centre, found, secret)

    async def _press(self, centre: str, code: str, wish: Wish, press_id: str, identity: Identity) -> DossierReply:
        dossier = await self._registry.carry_out(centre, code, wish, actor_of(identity), press_id)
        return DossierReply(await self._at_its_press(centre, dossier))

    async def _receipt(self, request: web.Request, centre: str, dossier: Dossier, secret: str) -> ReceiptReply:
        link = payload(self._public_url or f"{request.scheme}://{request.host}", dossier.code, secret)
        view = await self._at_its_press(centre, dossier)
        return ReceiptReply(view, SlipView(dossier.code, secret, dossier.due_ms, link))

    async def _at_its_press(self, centre: str, dossier: Dossier) -> DossierView:
        """As it was when it was pressed, so that a repeat gets the same bytes."""
        return _view(dossier, dossier.updated_ms, await self._registry.calendar(centre))


class Track:
    """
    Where a dossier stands, for whoever holds its slip.

    Looking up is slow on purpose: by address (but for terminals and staff, who are known), by code when a secret is
    tried, and for all together.

    Args:
        monotonic: seconds of a clock that never goes back.
    """

    ADDRESS_BURST: Final = 15
    ADDRESS_PER_S: Final = 1 / 6
    CODE_BURST: Final = 20
    CODE_PER_S: Final = 1 / 10
    ALL_BURST: Final = 400
    ALL_PER_S: Final = 100.0

    def __init__(self, registry: Registry, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._registry = registry
        self._by_address = Buckets(self.ADDRESS_PER_S, self.ADDRESS_BURST, monotonic)
        self._by_code = Buckets(self.CODE_PER_S, self.CODE_BURST, monotonic)
        self._all = Buckets(self.ALL_PER_S, self.ALL_BURST, monotonic)

    @operation(
        "GET",
        "/api/v1/track/{dossier}",
        summary="Where a dossier stands",
        answers={200: TrackReply},
        refusals=(UnknownDossier, TooMany, ArchiveAway),
        tags=("dossiers",),
    )
    async def track_dossier(self, dossier: str, identity: Identity, address: str, request: web.Request) -> TrackReply:
        """
        A bare code shows state, steps and due date; with the secret of its slip in the header `Dossier-Secret` the rest
        that concerns its holder.  An unknown code and a wrong secret get the same answer.
        """
        secret = request.headers.get(SECRET)
        self._admit(dossier, secret is not None, None if allow(identity, TERMINALS) else network(address))
        seen = await self._registry.track(dossier, secret)
        found = seen.dossier
        details: TrackDetails | None = None
        if seen.whole is not None:
            centre = await self._registry.centre(found.centre)
            names = {department.id: (department.name, department.name_en) for department in centre.departments}
            person = seen.whole.person
            department, department_en = names.get(found.department, (found.department, found.department))
            details = TrackDetails(
                procedure=found.procedure,
                procedure_name=found.procedure_name,
                centre_name=centre.name,
                centre_name_en=centre.name_en,
                department=department,
                department_en=department_en,
                agency=found.agency,
                return_place=found.return_place,
                fee_vnd=found.fee_vnd,
                fee_paid=found.fee_paid,
                person=masked(person.name) if person is not None else None,
                papers=seen.whole.papers,
                steps=tuple(
                    ToldStep(
                        step.n,
                        *names.get(step.department, (step.department, step.department)),
                        step.title,
                        step.reason,
                        step.missing,
                    )
                    for step in seen.steps
                ),
            )
        return TrackReply(
            code=found.code,
            centre=found.centre,
            state=found.state,
            received_ms=found.received_ms,
            due_ms=found.due_ms,
            is_late=found.late_at(self._registry.now_ms()),
            ended_ms=found.ended_ms,
            steps=tuple(TrackStep(step.n, step.at_ms, step.change, step.state) for step in seen.steps),
            details=details,
        )

    def _admit(self, code: str, has_secret: bool, address: str | None) -> None:
        wait_s = self._by_address.take(address) if address is not None else 0.0
        if wait_s <= 0 and has_secret:
            wait_s = self._by_code.take(code)
        if wait_s <= 0:
            wait_s = self._all.take("")
        if wait_s > 0:
            raise TooMany("Too many look-ups. Wait a little, then ask again.", wait_s)


def masked(name: str) -> str:
    """A name of which only the owner knows the rest: ``N••• V••• A•••``."""
    return " ".join(f"{word[0]}•••" for word in name.split())


def _view(dossier: Dossier, now_ms: int, calendar: WorkingDays) -> DossierView:
    fields: dict[str, Any] = msgspec.structs.asdict(dossier)
    return DossierView(**fields, is_late=dossier.late_at(now_ms), warning=dossier.warning_at(now_ms, calendar))
