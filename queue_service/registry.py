"""
The registry: from a wish about a dossier to the archive and back.

Fills in what the centre and its catalogue know (department, time limit, the procedure as it is today), gives each press
its envelope, counts and times it.  Every rule of a dossier's life is in `dossiers.py`; this room knows no HTTP.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Final, NamedTuple, TypeVar

import msgspec
from msgspec import Struct

from queue_service import metrics
from queue_service.archive.dossiers import DossierStore, Envelope, Reception
from queue_service.audit import Audit
from queue_service.centre import Centre
from queue_service.clock import business_day
from queue_service.codec import fingerprint, pack
from queue_service.commands import Wish
from queue_service.dispatch import Dispatch
from queue_service.dossiers import (
    Change,
    Dossier,
    Paper,
    Person,
    Receive,
    Search,
    Step,
    Whole,
    code_prefix,
    decide,
    receive,
)
from queue_service.errors import Malformed, QueueError, StoreAway, UnknownDossier, UnknownProcedure
from queue_service.procedures import Catalogue, Procedure, time_limits
from queue_service.slips import Slips
from queue_service.working_days import Limit, WorkingDays

IDENTITY_SHOWN: Final = 4
LOOK_MS: Final = 600_000
"""Whoever looks at the same dossier again within this time has looked once, as far as the audit goes."""
MOST_LOOKS: Final = 10_000
"""Remembered looks, 2 MB; beyond them somebody may be noted a second time."""

T = TypeVar("T")


class Applicant(Struct, frozen=True, kw_only=True):
    """Whose dossier it is, as told at the counter; of the identity number only the last digits are kept."""

    name: str
    phone: str | None = None
    identity: str | None = None


class Handed(Struct, frozen=True, kw_only=True):
    """What is handed in: see `dossiers.Receive` for the words."""

    procedure: str
    department: str | None = None
    limit: Limit | None = None
    code: str | None = None
    starts: bool = True
    agency: str | None = None
    return_place: str | None = None
    papers: tuple[Paper, ...] = ()
    fee_vnd: int | None = None
    fee_paid: bool = False
    ticket: str | None = None
    language: str | None = None
    applicant: Applicant | None = None
    received_ms: int | None = None
    due_ms: int | None = None


class Seen(NamedTuple):
    """What somebody finds with a code; *whole* only with the secret of its slip."""

    dossier: Dossier
    steps: tuple[Step, ...]
    whole: Whole | None


class RenewSecret(Wish, frozen=True, kw_only=True, omit_defaults=True):
    """Print the slip again, with another secret."""


class Registry:
    """
    Carries wishes about dossiers out.

    Args:
        store: where dossiers are kept.
        dispatch: knows the centres in force, the clock, and today's tickets.
        catalogues: centre -> its procedures.
        slips: makes and checks secrets.
        tell: is called when something lies in the outbox.
        audit: is told who has looked at a dossier; None where nobody keeps a trace.
    """

    def __init__(
        self,
        store: DossierStore,
        dispatch: Dispatch,
        catalogues: Mapping[str, Catalogue],
        slips: Slips,
        tell: Callable[[], None] = lambda: None,
        audit: Audit | None = None,
    ) -> None:
        self._store, self._dispatch, self._catalogues, self._slips = store, dispatch, catalogues, slips
        self._tell, self._audit = tell, audit
        self._looks: dict[tuple[str, str, str], int] = {}
        self._calendars: dict[str, tuple[str, WorkingDays]] = {}

    def now_ms(self) -> int:
        """Unix milliseconds, from the service's clock."""
        return self._dispatch.clock.now_ms()

    async def calendar(self, centre_id: str) -> WorkingDays:
        """The working time of the centre as it is in force."""
        centre = await self._dispatch.centre(centre_id)
        version, calendar = self._calendars.get(centre_id, ("", None))
        if calendar is None or version != centre.version:
            calendar = WorkingDays(centre)
            self._calendars[centre_id] = centre.version, calendar
        return calendar

    async def centre(self, centre_id: str) -> Centre:
        """The configuration in force."""
        return await self._dispatch.centre(centre_id)

    # -- presses -------------------------------------------------------------------------------------------------------

    async def receive(self, centre_id: str, handed: Handed, actor: str, press_id: str) -> tuple[Dossier, str]:
        """
        Take a dossier in; also returns the secret of its slip, which nobody keeps.

        Raises:
            UnknownProcedure, UnknownDepartment, UnknownTicket, CodeTaken.
            Malformed: the procedure states several limits, or none, and nobody says which; or dates that cannot be.
        """
        return await self._counted(Receive, self._receive(centre_id, handed, actor, press_id))

    async def carry_out(self, centre_id: str, code: str, wish: Wish, actor: str, press_id: str) -> Dossier:
        """
        Carry *wish* out on the dossier *code*.

        Raises:
            QueueError: the refusal (`dossiers.decide`).
        """
        return await self._counted(type(wish), self._carry_out(centre_id, code, wish, actor, press_id))

    async def renew_secret(self, centre_id: str, code: str, actor: str, press_id: str) -> tuple[Dossier, str]:
        """Give the slip another secret; the one before is worth nothing from now on."""
        return await self._counted(RenewSecret, self._renew_secret(centre_id, code, actor, press_id))

    async def _receive(self, centre_id: str, handed: Handed, actor: str, press_id: str) -> tuple[Dossier, str]:
        centre, calendar, now_ms = await self.centre(centre_id), await self.calendar(centre_id), self.now_ms()
        envelope = self._envelope(centre, Receive, actor, press_id, handed)
        if (first := await self._store.answered(envelope)) is not None:  # whatever the catalogue says by now
            return first, self._slips.secret(first.code, envelope.key)
        procedure = self._procedure(centre_id, handed.procedure)
        record = msgspec.to_builtins(procedure)
        wish = Receive(
            department=centre.department(handed.department or procedure.department).id,
            procedure=procedure.code,
            procedure_name=procedure.name,
            procedure_version=hashlib.sha256(msgspec.json.encode(record, order="deterministic")).hexdigest()[:16],
            limit=handed.limit or _limit_of(procedure),
            starts=handed.starts,
            agency=handed.agency,
            return_place=handed.return_place,
            papers=handed.papers,
            fee_vnd=handed.fee_vnd,
            fee_paid=handed.fee_paid,
            ticket=handed.ticket,
            language=handed.language or await self._language_of(centre, handed.ticket),
            received_ms=handed.received_ms,
            due_ms=handed.due_ms,
        )
        _check(wish, centre, now_ms)
        reception = Reception(
            code=handed.code,
            prefix=code_prefix(centre, wish.department, calendar.day_of(now_ms)),
            digits=centre.dossiers.digits,
            make=lambda code: receive(wish, code, centre_id, actor, now_ms, calendar),
            secret=lambda code: self._slips.digest(code, self._slips.secret(code, envelope.key)),
            papers=handed.papers,
            person=self._person(handed.applicant),
            record=record,
        )
        dossier = await self._store.receive(envelope, reception)
        self._tell()
        return dossier, self._slips.secret(dossier.code, envelope.key)

    async def _carry_out(self, centre_id: str, code: str, wish: Wish, actor: str, press_id: str) -> Dossier:
        centre, calendar, now_ms = await self.centre(centre_id), await self.calendar(centre_id), self.now_ms()
        if (department := getattr(wish, "department", None)) is not None:
            centre.department(department)

        def change(dossier: Dossier) -> Change:
            return decide(dossier, wish, actor, now_ms, calendar, centre.dossiers.extensions)

        envelope = self._envelope(centre, type(wish), actor, press_id, [code, msgspec.to_builtins(wish)])
        dossier = await self._store.change(envelope, centre_id, code, change)
        self._tell()
        return dossier

    async def _renew_secret(self, centre_id: str, code: str, actor: str, press_id: str) -> tuple[Dossier, str]:
        envelope = self._envelope(await self.centre(centre_id), RenewSecret, actor, press_id, code)
        digest = self._slips.digest(code, self._slips.secret(code, envelope.key))
        dossier = await self._store.renew_secret(envelope, centre_id, code, digest)
        return dossier, self._slips.secret(dossier.code, envelope.key)

    def _envelope(self, centre: Centre, kind: type[Wish], actor: str, press_id: str, said: object) -> Envelope:
        name = kind.press_name()
        return Envelope(
            key=f"{centre.id}|{actor}|{name}|{press_id}",
            fingerprint=fingerprint(name, pack(msgspec.to_builtins(said))),
            day=business_day(self.now_ms(), centre.timezone),
        )

    def _procedure(self, centre_id: str, code: str) -> Procedure:
        catalogue = self._catalogues.get(centre_id)
        procedure = catalogue.get(code) if catalogue is not None else None
        if procedure is None:
            raise UnknownProcedure(f"There is no procedure {code} at this centre.")
        return procedure

    def _person(self, applicant: Applicant | None) -> Person | None:
        if applicant is None:
            return None
        identity = applicant.identity
        return Person(
            name=applicant.name,
            phone=applicant.phone,
            identity_end=identity[-IDENTITY_SHOWN:] if identity else None,
            identity=self._slips.identity_digest(identity) if identity else None,
        )

    async def _language_of(self, centre: Centre, ticket: str | None) -> str:
        """The language of the visitor in hand; the centre's first while the store of the day is away."""
        if ticket is not None:
            try:
                return (await self._dispatch.store.read_ticket(centre.id, ticket)).language
            except StoreAway:
                pass
        return centre.languages[0]

    async def _counted(self, kind: type[Wish], doing: Awaitable[T]) -> T:
        name, started = kind.press_name(), time.perf_counter()
        try:
            done = await doing
        except QueueError as refusal:
            metrics.presses(name, refusal.code).inc()
            raise
        except Exception:  # a mistake of ours, as the door will call it
            metrics.presses(name, "INTERNAL").inc()
            raise
        metrics.presses(name, "done").inc()
        metrics.press_seconds(name).observe(time.perf_counter() - started)
        return done

    # -- reading -------------------------------------------------------------------------------------------------------

    async def read(self, centre_id: str, code: str, actor: str) -> Whole:
        """
        Everything about one dossier of the centre, whose it is among it; the audit says who has looked.

        Raises:
            UnknownDossier: the centre has no such dossier.
        """
        await self.centre(centre_id)
        whole = await self._store.read(centre_id, code)
        self._note_look(centre_id, code, actor)
        return whole

    async def search(self, search: Search) -> tuple[Dossier, ...]:
        """What the centre has, most urgent first."""
        await self.centre(search.centre)
        return await self._store.search(search)

    async def track(self, code: str, secret: str | None) -> Seen:
        """
        What somebody with a code may see, and more with the secret of its slip.

        Whether the code or the secret was wrong is not said, and not shown by the time it takes: the same is read and
        computed for both.

        Raises:
            UnknownDossier: there is no such dossier, or the secret is not that of its slip.
        """

        def proves(kept: bytes | None) -> bool:
            return secret is None or self._slips.is_right(kept, code, secret)

        found = await self._store.find(code, proves)
        if found is None:
            raise UnknownDossier("There is no dossier with this code, or the secret is not that of its slip.")
        dossier, steps = found
        return Seen(dossier, steps, await self._store.read(dossier.centre, code) if secret is not None else None)

    def _note_look(self, centre_id: str, code: str, actor: str) -> None:
        if self._audit is None:
            return
        look, now_ms = (centre_id, code, actor), self.now_ms()
        noted_ms = self._looks.get(look)
        if noted_ms is not None and now_ms - noted_ms < LOOK_MS:
            return
        self._looks.pop(look, None)  # so that they stand in the order of their times
        self._looks[look] = now_ms
        while len(self._looks) > MOST_LOOKS:
            del self._looks[next(iter(self._looks))]
        self._audit.note(
            self._audit.entry(now_ms, centre=centre_id, actor=actor, action="look-up-dossier", object=code)
        )


def _limit_of(procedure: Procedure) -> Limit:
    limits = time_limits(procedure)
    if len(limits) != 1:
        states = "several time limits" if limits else "no time limit"
        raise Malformed(f"Procedure {procedure.code} states {states}; say which limit this case has.")
    unit, value = limits[0]
    return msgspec.convert({"unit": unit, "value": value}, Limit)


def _check(wish: Receive, centre: Centre, now_ms: int) -> None:
    if wish.language not in centre.languages:
        raise Malformed(f"This centre speaks {', '.join(centre.languages)}.")
    received_ms = wish.received_ms if wish.received_ms is not None else now_ms
    if received_ms > now_ms:
        raise Malformed("received_ms: nothing is received in the future.")
    if wish.due_ms is not None and (wish.due_ms <= received_ms or not wish.starts):
        raise Malformed("due_ms: a promise is later than the reception, and of a limit that runs.")
