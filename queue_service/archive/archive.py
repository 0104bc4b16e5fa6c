"""
The archive: one engine on SQLite or PostgreSQL, transactions, and an answer when it is away.

It knows no table; each room beside it brings its own (`tables.py`).  The same statements run on both databases.  What a
hall does today never waits for it: the store of the day (`store.py`) is another memory, and an archive that is away at
the start is opened all the same and used when it is back.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, nullcontext
from functools import cache
from pathlib import Path
from typing import Any, Final

import msgspec
import structlog
from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, event, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import (
    ArgumentError,
    DataError,
    DBAPIError,
    IntegrityError,
    NotSupportedError,
    ProgrammingError,
)
from sqlalchemy.exc import TimeoutError as NoneFree
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from queue_service import metrics
from queue_service.errors import ArchiveAway

PATIENCE_S: Final = 2
"""How long a transaction waits for its turn or a free connection, and for a server to take a new one."""
LOCKED_S: Final = 5
"""How long a change waits on SQLite for one of another process."""
STATEMENT_S: Final = 60
CONNECTIONS: Final = 8
MIGRATIONS: Final = Path(__file__).parent / "migrations"
UPGRADE_LOCK: Final = 0x71756575
"""The advisory lock under which one process at a time changes the tables of a PostgreSQL archive."""

_log = structlog.get_logger(__name__)
logging.getLogger("aiosqlite").setLevel(logging.INFO)  # below that it writes down every value, and some are of people


class ArchiveUnusable(Exception):
    """The archive will never do as it is; the text says why in one sentence."""

    exit_code: Final = 3


class Archive:
    """
    One installation's second memory.  Made by `open`.

    Args:
        engine: speaks to the database.
    """

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        # The same pool: on SQLite a reader never waits for a writer, on PostgreSQL all it reads is of one moment.
        self._reader = engine.execution_options(
            **{"begin": "BEGIN"}
            if engine.dialect.name == "sqlite"
            else {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
        )
        # SQLite has one pen, handed on in order here: to wait for it in the file is to sleep on a reader's connection.
        self._pen = asyncio.Lock() if engine.dialect.name == "sqlite" else nullcontext()
        self._is_prepared = False
        self._preparing = asyncio.Lock()
        self._is_away = False

    @classmethod
    async def open(cls, url: str) -> Archive:
        """
        The archive at *url*, with the tables of this version.

        One that is away is opened, too: its tables are made when it first answers.

        Args:
            url: ``sqlite:///relative``, ``sqlite:////absolute`` or ``postgresql://…``; with a password, if it likes.

        Raises:
            ArchiveUnusable: the address is wrong, its driver is missing, or a newer version has changed the tables.
        """
        archive = cls(_engine(url))
        try:
            await archive._prepare()
        except ArchiveAway:
            pass  # said in the log
        except TypeError as fault:
            await archive.close()
            raise ArchiveUnusable(
                "QUEUE_DATABASE_URL says something behind its ? that the driver does not know."
            ) from fault
        except BaseException:
            await archive.close()
            raise
        return archive

    @property
    def words(self) -> str:
        """What it is, for ``/health/ready`` and the log: never an address, which may hold a password."""
        version = getattr(self._engine.dialect, "server_version_info", None) or ()
        return " ".join([self._engine.dialect.name, ".".join(map(str, version[:3]))]).strip()

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[AsyncConnection]:
        """
        A transaction that may change something: all of it is kept, or nothing.

        On SQLite one at a time; on PostgreSQL lock what you read before you change it (``with_for_update``, which
        SQLite does not need).

        Raises:
            ArchiveAway: no definite answer: what was to change may have been changed.
            sqlalchemy.exc.IntegrityError: a constraint of the tables was broken; nothing was changed.
        """
        async with self._with_pen(), self._transaction(self._engine) as connection:
            yield connection

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        """
        A transaction that only reads, and sees everything as it was at one moment.

        Raises:
            ArchiveAway: no answer.
        """
        async with self._transaction(self._reader) as connection:
            yield connection

    async def check(self) -> None:
        """
        Ask whether it answers.

        Raises:
            ArchiveAway: it does not.
        """
        async with self.read() as connection:
            await connection.execute(text("SELECT 1"))

    async def close(self) -> None:
        """End all connections."""
        await self._engine.dispose()

    @asynccontextmanager
    async def _with_pen(self) -> AsyncIterator[None]:
        async with AsyncExitStack() as held:
            try:
                async with asyncio.timeout(PATIENCE_S):
                    await held.enter_async_context(self._pen)
            except TimeoutError:
                raise ArchiveAway("the archive is busy; repeat with the same key") from None
            yield

    @asynccontextmanager
    async def _transaction(self, engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
        with self._telling():
            if not self._is_prepared:
                if self._preparing.locked():  # nobody queues up behind somebody who waits already
                    raise ArchiveAway("the archive is being prepared; come back in a moment")
                await self._prepare()
            async with engine.begin() as connection:
                yield connection

    async def _prepare(self) -> None:
        """Bring the tables to this version; one process at a time, and all of it or nothing."""
        async with self._preparing:
            with self._telling():
                async with self._engine.begin() as connection:
                    if connection.dialect.name == "postgresql":
                        await connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": UPGRADE_LOCK})
                    await connection.run_sync(upgrade)
            self._is_prepared = True

    @contextmanager
    def _telling(self) -> Iterator[None]:
        """Turn the database's troubles into one refusal; what is our mistake stays what it is."""
        try:
            yield
        except (IntegrityError, ProgrammingError, DataError, NotSupportedError):
            raise
        except (DBAPIError, NoneFree, OSError) as trouble:
            metrics.ARCHIVE_UP.set(0)
            if not self._is_away:
                self._is_away = True
                _log.warning("the archive is away", trouble=str(getattr(trouble, "orig", trouble)))
            raise ArchiveAway("the archive does not answer; repeat with the same key") from trouble
        else:
            metrics.ARCHIVE_UP.set(1)
            if self._is_away:
                self._is_away = False
                _log.info("the archive is back")


def _engine(url: str) -> AsyncEngine:
    try:
        address = make_url(url)
        return {"sqlite": _sqlite, "postgresql": _postgresql}[address.drivername](address)
    except (ArgumentError, KeyError) as fault:
        raise ArchiveUnusable("QUEUE_DATABASE_URL is no address of a database.") from fault
    except ModuleNotFoundError as fault:
        raise ArchiveUnusable(
            f"The archive's driver {fault.name} is not installed: pip install 'queue-service[postgres]'."
        ) from fault


def _sqlite(address: URL) -> AsyncEngine:
    file = Path(address.database or "")
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    file.touch(mode=0o600)  # what people came for is nobody else's business
    engine = create_async_engine(
        address.set(drivername="sqlite+aiosqlite"),
        pool_size=CONNECTIONS,
        max_overflow=0,
        pool_timeout=PATIENCE_S,
        **_manners(),
    )

    @event.listens_for(engine.sync_engine, "connect")
    def prepare(connection: Any, _: Any) -> None:
        connection.isolation_level = None  # we say BEGIN ourselves: the driver would not say it before a SELECT
        cursor = connection.cursor()
        for pragma in (f"busy_timeout={LOCKED_S * 1000}", "journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine.sync_engine, "begin")
    def begin(connection: Connection) -> None:
        # A change takes the file's only pen at once: two that had begun to read could both wait for it for ever.
        connection.exec_driver_sql(connection.get_execution_options().get("begin", "BEGIN IMMEDIATE"))

    return engine


def _postgresql(address: URL) -> AsyncEngine:
    query = dict(address.query)
    if mode := query.pop("sslmode", None):  # libpq's word for what asyncpg calls ssl
        query["ssl"] = mode
    return create_async_engine(
        address.set(drivername="postgresql+asyncpg", query=query),
        pool_size=CONNECTIONS,
        max_overflow=0,
        pool_timeout=PATIENCE_S,
        pool_pre_ping=True,  # a connection of before a restart is replaced, not handed out
        connect_args={"timeout": PATIENCE_S, "command_timeout": STATEMENT_S},
        **_manners(),
    )


def _manners() -> dict[str, Any]:
    return {
        "hide_parameters": True,  # they are of people
        "json_serializer": lambda value: msgspec.json.encode(value).decode(),
        "json_deserializer": msgspec.json.decode,
    }


def revision_of(connection: Connection) -> str:
    """The step that the tables of an archive have reached; empty before the first."""
    return MigrationContext.configure(connection).get_current_revision() or ""


@cache
def known_revisions() -> tuple[str, ...]:
    """The steps that this version knows, the first one first."""
    return tuple(step.revision for step in ScriptDirectory.from_config(_alembic()).walk_revisions())[::-1]


def upgrade(connection: Connection, revision: str = "head") -> None:
    """
    Bring the tables to *revision*, in the transaction of *connection*.

    Raises:
        ArchiveUnusable: they are of a newer version than this one.
    """
    before = revision_of(connection)
    if before and before == (known_revisions()[-1] if revision == "head" else revision):
        return
    if before not in ("", *known_revisions()):
        raise ArchiveUnusable(
            "The archive was changed by a newer version of the service; install that version, or restore a backup."
        )
    config = _alembic()
    config.attributes["connection"] = connection
    command.upgrade(config, revision)


def _alembic() -> Config:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    return config
