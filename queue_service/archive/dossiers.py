"""
Dossiers as they are kept: each change is one transaction with its step, its fact for the relay and its answer.

What a change does is decided by whoever calls (`dossiers.decide`), on the dossier as it is read and locked here: two
officers at once come one after the other.  Nothing that names a person stands in these tables but in `dossier_people`,
which can be emptied without them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, TypeVar

import msgspec
from msgspec import Struct
from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ColumnElement,
    Index,
    Integer,
    LargeBinary,
    Row,
    Table,
    Text,
    bindparam,
    case,
    delete,
    func,
    literal,
    select,
    tuple_,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from queue_service.archive.archive import Archive
from queue_service.archive.tables import Document, insert, metadata
from queue_service.dossiers import NEVER_MS, OPEN, Change, Dossier, Paper, Person, Search, Step, Whole, fact_of
from queue_service.errors import CodeTaken, KeyReused, UnknownDossier

Code: Final = Text().with_variant(Text(collation="C"), "postgresql")
"""Codes are compared byte by byte on both databases, so that their beginnings can be looked up in the index."""

dossiers: Final = Table(
    "dossiers",
    metadata,
    Column("code", Code, primary_key=True),
    Column("centre", Text, nullable=False),
    Column("department", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("procedure", Text, nullable=False),
    Column("procedure_name", Text, nullable=False),
    Column("procedure_version", Text, nullable=False),
    Column("agency", Text),
    Column("return_place", Text),
    Column("ticket", Text),
    Column("language", Text, nullable=False),
    Column("fee_vnd", BigInteger),
    Column("fee_paid", Boolean, nullable=False),
    Column("received_ms", BigInteger, nullable=False),
    Column("clock_started_ms", BigInteger),
    Column("limit_unit", Text, nullable=False),
    Column("limit_value", Integer, nullable=False),
    Column("promised_ms", BigInteger),
    Column("due_ms", BigInteger),
    Column("warn_ms", BigInteger),
    Column("paused_ms", BigInteger),
    Column("left", Integer),
    Column("step_due_ms", BigInteger),
    Column("supplements", Integer, nullable=False),
    Column("extensions", Integer, nullable=False),
    Column("was_late", Boolean, nullable=False),
    Column("cause", Text),
    Column("late_department", Text),
    Column("outcome", Text),
    Column("ended_ms", BigInteger),
    Column("returned_ms", BigInteger),
    Column("steps", Integer, nullable=False),
    Column("updated_ms", BigInteger, nullable=False),
    Column("secret", LargeBinary),
    Index(None, "centre", "state", "due_ms"),
    Index(None, "returned_ms"),
)
"""`dossiers.Dossier`, field by field, and a keyed hash of the second secret."""

steps: Final = Table(
    "dossier_steps",
    metadata,
    Column("code", Code, primary_key=True),
    Column("n", Integer, primary_key=True, autoincrement=False),
    Column("at_ms", BigInteger, nullable=False),
    Column("change", Text, nullable=False),
    Column("actor", Text, nullable=False),
    Column("was", Text),
    Column("state", Text, nullable=False),
    Column("department", Text, nullable=False),
    Column("title", Text),
    Column("receiver", Text),
    Column("due_ms", BigInteger),
    Column("on_time", Boolean),
    Column("reason", Text),
    Column("missing", Document, nullable=False),
    Column("note", Text),
)
"""The trace: `dossiers.Step`, field by field."""

papers: Final = Table(
    "dossier_papers",
    metadata,
    Column("code", Code, primary_key=True),
    Column("n", Integer, primary_key=True, autoincrement=False),
    Column("name", Text, nullable=False),
    Column("originals", Integer, nullable=False),
    Column("copies", Integer, nullable=False),
    Column("status", Text, nullable=False),
)
"""What was handed in."""

people: Final = Table(
    "dossier_people",
    metadata,
    Column("code", Code, primary_key=True),
    Column("name", Text, nullable=False),
    Column("phone", Text),
    Column("identity_end", Text),
    Column("identity", LargeBinary),
    Index(None, "identity"),
)
"""Whose it is: the only table with personal data; of an identity number the last digits and a keyed hash."""

procedure_versions: Final = Table(
    "procedure_versions",
    metadata,
    Column("version", Text, primary_key=True),
    Column("code", Text, nullable=False),
    Column("body", Document, nullable=False),
    Column("since_ms", BigInteger, nullable=False),
)
"""Records of the catalogue that dossiers were received under, by their digest."""

sequences: Final = Table(
    "code_sequences",
    metadata,
    Column("prefix", Code, primary_key=True),
    Column("last", BigInteger, nullable=False),
)
"""The last number of each agency and day."""

outbox: Final = Table(
    "dossier_outbox",
    metadata,
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
    Column("centre", Text, nullable=False),
    Column("code", Code, nullable=False),
    Column("n", Integer, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    Column("fact", Document, nullable=False),
)
"""Facts that the centre's events do not have yet; a row goes when they do."""

answers: Final = Table(
    "dossier_answers",
    metadata,
    Column("key", Text, primary_key=True),
    Column("fingerprint", LargeBinary, nullable=False),
    Column("answer", Document),
    Column("day", Text, nullable=False),
    Index(None, "day"),
)
"""The first answer to each press, by who pressed and what; without anything that was told only once."""

_before: Final = select(func.max(dossiers.c.code)).where(dossiers.c.code <= bindparam("code")).scalar_subquery()
NEAREST: Final = select(dossiers).where(
    dossiers.c.code == func.coalesce(_before, select(func.min(dossiers.c.code)).scalar_subquery())
)
"""The row of a code, or of its neighbour: one row either way, and the same steps down the same index."""

T = TypeVar("T")


class Envelope(Struct, frozen=True, kw_only=True):
    """
    A press as it is remembered.

    Args:
        key: the press id, scoped by centre, actor and operation.
        fingerprint: of everything the press says.
        day: the centre's business day.
    """

    key: str
    fingerprint: bytes
    day: str


class Reception(Struct, frozen=True, kw_only=True):
    """
    A dossier to be taken in.

    Args:
        code: given by another system; None: the next one of *prefix*.
        make: code -> the dossier and its first step. secret: code -> keyed hash of the slip's secret.
        record: the procedure's record, kept by the version that the dossier names.
    """

    code: str | None
    prefix: str
    digits: int
    make: Callable[[str], Change]
    secret: Callable[[str], bytes]
    papers: tuple[Paper, ...]
    person: Person | None
    record: dict[str, Any]


class Waiting(Struct, frozen=True):
    """A fact in the outbox."""

    id: int
    centre: str
    code: str
    n: int
    at_ms: int
    fact: dict[str, Any]


class Load(Struct, frozen=True):
    """How many open dossiers somebody has, and how many of them are late."""

    centre: str
    department: str
    state: str
    number: int
    late: int


class DossierStore:
    """
    The dossiers of an installation.

    Args:
        archive: where they are kept.
    """

    def __init__(self, archive: Archive) -> None:
        self._archive = archive

    # -- changes -------------------------------------------------------------------------------------------------------

    async def receive(self, envelope: Envelope, reception: Reception) -> Dossier:
        """
        Take a dossier in; a repeated press gets the dossier as it was then.

        Raises:
            CodeTaken: another dossier has the code.
            KeyReused, ArchiveAway.
        """
        async with self._archive.begin() as connection:
            if (first := await _claim(connection, envelope)) is not None:
                return first
            change = await _put(connection, reception)
            dossier = change.dossier
            record = {
                "version": dossier.procedure_version,
                "code": dossier.procedure,
                "body": reception.record,
                "since_ms": dossier.updated_ms,
            }
            await connection.execute(insert(connection, procedure_versions).values(record).on_conflict_do_nothing())
            if reception.papers:
                rows = [
                    {"code": dossier.code, "n": n, **msgspec.structs.asdict(paper)}
                    for n, paper in enumerate(reception.papers, 1)
                ]
                await connection.execute(insert(connection, papers), rows)
            if reception.person is not None:
                row = {"code": dossier.code, **msgspec.structs.asdict(reception.person)}
                await connection.execute(insert(connection, people).values(row))
            await _write(connection, envelope, change)
        return dossier

    async def change(self, envelope: Envelope, centre: str, code: str, decide: Callable[[Dossier], Change]) -> Dossier:
        """
        Change a dossier as *decide* says; what it raises undoes everything.

        Raises:
            UnknownDossier: the centre has no such dossier.
            KeyReused, ArchiveAway.
        """
        async with self._archive.begin() as connection:
            if (first := await _claim(connection, envelope)) is not None:
                return first
            change = decide(await _locked(connection, centre, code))
            await connection.execute(
                update(dossiers).where(dossiers.c.code == code).values(msgspec.structs.asdict(change.dossier))
            )
            await _write(connection, envelope, change)
        return change.dossier

    async def renew_secret(self, envelope: Envelope, centre: str, code: str, secret: bytes) -> Dossier:
        """
        Give the slip of a dossier another secret; the old one is worth nothing from now on.

        Raises:
            UnknownDossier: the centre has no such dossier.
            KeyReused, ArchiveAway.
        """
        async with self._archive.begin() as connection:
            if (first := await _claim(connection, envelope)) is not None:
                return first
            dossier = await _locked(connection, centre, code)
            await connection.execute(update(dossiers).where(dossiers.c.code == code).values(secret=secret))
            await _keep_answer(connection, envelope, dossier)
        return dossier

    # -- reading -------------------------------------------------------------------------------------------------------

    async def read(self, centre: str, code: str) -> Whole:
        """
        Everything about one dossier.

        Raises:
            UnknownDossier: the centre has no such dossier.
            ArchiveAway: no answer.
        """
        async with self._archive.read() as connection:
            row = (await connection.execute(_of(centre, code))).first()
            if row is None:
                raise UnknownDossier(f"There is no dossier {code} at this centre.")
            person = (await connection.execute(select(people).where(people.c.code == code))).first()
            return Whole(
                _dossier(row),
                await _steps(connection, code),
                await _papers(connection, code),
                _as(person, Person) if person is not None else None,
            )

    async def answered(self, envelope: Envelope) -> Dossier | None:
        """
        The first answer to this press, or None if it has none.

        Raises:
            KeyReused: the key was used for something else.
        """
        async with self._archive.read() as connection:
            return await _first(connection, envelope)

    async def find(self, code: str, proves: Callable[[bytes | None], bool]) -> tuple[Dossier, tuple[Step, ...]] | None:
        """
        A dossier of any centre by its code, and its steps.

        Where there is none, the row of the code before it is read in its place, or the first one of all: so nobody
        learns from the time whether there is one.

        Args:
            proves: is shown the keyed hash of the secret, None where there is no such dossier, before anything is made
            of the row or read besides.
        """
        async with self._archive.read() as connection:
            row = (await connection.execute(NEAREST, {"code": code})).first()
            found = row if row is not None and row.code == code else None
            if not proves(found.secret if found is not None else None) or found is None:
                return None
            return _dossier(found), await _steps(connection, code)

    async def search(self, search: Search) -> tuple[Dossier, ...]:
        """Dossiers by due date and code; those whose limit does not run come last."""
        due = func.coalesce(dossiers.c.due_ms, NEVER_MS)
        found = select(dossiers).where(*_conditions(search))
        if search.after is not None:
            found = found.where(tuple_(due, dossiers.c.code) > tuple_(*map(literal, search.after)))
        async with self._archive.read() as connection:
            rows = await connection.execute(found.order_by(due, dossiers.c.code).limit(search.limit))
            return tuple(_dossier(row) for row in rows)

    async def load(self, now_ms: int) -> tuple[Load, ...]:
        """Open dossiers by centre, department and state."""
        late = func.coalesce(func.sum(case((dossiers.c.due_ms < now_ms, 1), else_=0)), 0)
        groups = (dossiers.c.centre, dossiers.c.department, dossiers.c.state)
        counted = select(*groups, func.count().label("number"), late.label("late")).where(_is_open()).group_by(*groups)
        async with self._archive.read() as connection:
            return tuple(_as(row, Load) for row in await connection.execute(counted))

    # -- the relay -----------------------------------------------------------------------------------------------------

    async def waiting(self, limit: int) -> tuple[Waiting, ...]:
        """
        The oldest facts of the outbox; those of one dossier in their order.

        On PostgreSQL a number may be taken before a smaller one is seen, but never for the same dossier.
        """
        async with self._archive.read() as connection:
            rows = await connection.execute(select(outbox).order_by(outbox.c.id).limit(limit))
            return tuple(_as(row, Waiting) for row in rows)

    async def settle(self, ids: Iterable[int]) -> None:
        """Drop facts that the centre's events have."""
        async with self._archive.begin() as connection:
            await connection.execute(delete(outbox).where(outbox.c.id.in_(list(ids))))

    async def backlog(self) -> int:
        """How many facts wait."""
        async with self._archive.read() as connection:
            return await connection.scalar(select(func.count()).select_from(outbox)) or 0

    # -- keeping no more than needed -----------------------------------------------------------------------------------

    async def forget_answers(self, before_day: str) -> int:
        """Drop answers of business days before *before_day*; returns how many."""
        async with self._archive.begin() as connection:
            return (await connection.execute(delete(answers).where(answers.c.day < before_day))).rowcount

    async def erase_people(self, returned_before_ms: int) -> int:
        """Erase persons, and what staff noted, of dossiers that were returned before; returns how many persons."""
        old = select(dossiers.c.code).where(dossiers.c.returned_ms < returned_before_ms)
        async with self._archive.begin() as connection:
            await connection.execute(
                update(steps).where(steps.c.code.in_(old), steps.c.note.is_not(None)).values(note=None)
            )
            return (await connection.execute(delete(people).where(people.c.code.in_(old)))).rowcount


async def _claim(connection: AsyncConnection, envelope: Envelope) -> Dossier | None:
    """
    The first answer to this press, or None: then this transaction is the one that gives it.

    Two presses with one key meet here: the second waits until the first is done or has failed.

    Raises:
        KeyReused: the key was used for something else.
    """
    row = msgspec.structs.asdict(envelope)
    put = insert(connection, answers).values(row).on_conflict_do_nothing().returning(answers.c.key)
    if (await connection.execute(put)).first() is not None:
        return None
    return await _first(connection, envelope)


async def _first(connection: AsyncConnection, envelope: Envelope) -> Dossier | None:
    first = (await connection.execute(select(answers).where(answers.c.key == envelope.key))).first()
    if first is None:
        return None
    if first.fingerprint != envelope.fingerprint:
        raise KeyReused("This key was used for another request; make a new key for a new press.")
    return msgspec.convert(first.answer, Dossier)


async def _put(connection: AsyncConnection, reception: Reception) -> Change:
    while True:
        code = reception.code or await _next_code(connection, reception.prefix, reception.digits)
        change = reception.make(code)
        row = {**msgspec.structs.asdict(change.dossier), "secret": reception.secret(code)}
        put = insert(connection, dossiers).values(row).on_conflict_do_nothing().returning(dossiers.c.code)
        if (await connection.execute(put)).first() is not None:
            return change
        if reception.code:
            raise CodeTaken(f"There is a dossier {code} already.")
        # Somebody brought a code that looks like ours: the number is taken, and the next one is tried.


async def _write(connection: AsyncConnection, envelope: Envelope, change: Change) -> None:
    """The step, the fact and the answer of a change."""
    dossier, step = change.dossier, change.step
    row = {"code": dossier.code, **msgspec.structs.asdict(step), "missing": msgspec.to_builtins(step.missing)}
    await connection.execute(insert(connection, steps).values(row))
    await connection.execute(
        insert(connection, outbox).values(
            centre=dossier.centre, code=dossier.code, n=step.n, at_ms=step.at_ms, fact=fact_of(change)
        )
    )
    await _keep_answer(connection, envelope, dossier)


async def _keep_answer(connection: AsyncConnection, envelope: Envelope, dossier: Dossier) -> None:
    kept = update(answers).where(answers.c.key == envelope.key).values(answer=msgspec.to_builtins(dossier))
    await connection.execute(kept)


async def _locked(connection: AsyncConnection, centre: str, code: str) -> Dossier:
    row = (await connection.execute(_of(centre, code).with_for_update())).first()
    if row is None:
        raise UnknownDossier(f"There is no dossier {code} at this centre.")
    return _dossier(row)


async def _next_code(connection: AsyncConnection, prefix: str, digits: int) -> str:
    """The next code of *prefix*; other receptions of the same agency and day wait for this one."""
    put = insert(connection, sequences).values(prefix=prefix, last=1)
    put = put.on_conflict_do_update(index_elements=["prefix"], set_={"last": sequences.c.last + 1})
    number = await connection.scalar(put.returning(sequences.c.last))
    return f"{prefix}{number:0{digits}}"


async def _steps(connection: AsyncConnection, code: str) -> tuple[Step, ...]:
    rows = await connection.execute(select(steps).where(steps.c.code == code).order_by(steps.c.n))
    return tuple(_as(row, Step) for row in rows)


async def _papers(connection: AsyncConnection, code: str) -> tuple[Paper, ...]:
    rows = await connection.execute(select(papers).where(papers.c.code == code).order_by(papers.c.n))
    return tuple(_as(row, Paper) for row in rows)


def _of(centre: str, code: str) -> Any:
    return select(dossiers).where(dossiers.c.code == code, dossiers.c.centre == centre)


def _is_open() -> ColumnElement[bool]:
    return dossiers.c.state.in_(sorted(OPEN))


def _conditions(search: Search) -> Sequence[ColumnElement[bool]]:
    found = [dossiers.c.centre == search.centre]
    if search.states:
        found.append(dossiers.c.state.in_(search.states))
    if search.department is not None:
        found.append(dossiers.c.department == search.department)
    if search.begins:
        found += [dossiers.c.code >= search.begins, dossiers.c.code < search.begins + "\x7f"]
    if search.due_before_ms is not None:
        found.append(dossiers.c.due_ms < search.due_before_ms)
    if search.late_at_ms is not None:
        found.append(dossiers.c.was_late | (_is_open() & (dossiers.c.due_ms < search.late_at_ms)))
    if search.warned_at_ms is not None:
        found += [_is_open(), dossiers.c.warn_ms <= search.warned_at_ms]
    return found


def _as(row: Row[Any], kind: type[T]) -> T:
    # Names of columns are strings of a kind of their own, which msgspec does not take for strings.
    return msgspec.convert({str(name): value for name, value in row._mapping.items()}, kind, builtin_types=(bytes,))


def _dossier(row: Row[Any]) -> Dossier:
    return _as(row, Dossier)
