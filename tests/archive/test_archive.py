"""The archive: tables of this version on both databases, transactions, and what it says when it is away."""

from __future__ import annotations

import asyncio
import re
import sqlite3
from contextlib import suppress
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, func, select, text
from sqlalchemy.exc import IntegrityError

from postgres_world import Postgres
from queue_service.archive.archive import CONNECTIONS, MIGRATIONS, Archive, ArchiveUnusable
from queue_service.archive.history import cursors
from queue_service.archive.tables import all_tables, insert, metadata
from queue_service.errors import ArchiveAway


def a_cursor(centre: str, seq: int = 1) -> dict[str, object]:
    return {"centre": centre, "epoch": "e", "seq": seq, "day": "2026-11-23"}


async def seqs(archive: Archive) -> dict[str, int]:
    async with archive.read() as connection:
        return {row.centre: row.seq for row in await connection.execute(select(cursors))}


async def test_the_steps_from_nothing_make_the_tables_of_this_version(archive: Archive):
    """Alembic finds nothing to add, to change or to drop."""

    def differences(connection: Connection) -> list[object]:
        return list(compare_metadata(MigrationContext.configure(connection), metadata))

    async with archive.read() as connection:
        assert {"cursors", "events", "visits"} <= {table.name for table in all_tables()}
        assert [] == await connection.run_sync(differences)


def test_steps_stand_in_one_row():
    """Each has the next number, in its file's name too, and the one before it."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    steps = list(ScriptDirectory.from_config(config).walk_revisions())[::-1]

    assert [f"{number:04}" for number in range(1, len(steps) + 1)] == [step.revision for step in steps]
    assert [None, *(step.revision for step in steps[:-1])] == [step.down_revision for step in steps]
    assert all(Path(step.path).name.startswith(f"v{step.revision}_") for step in steps)


async def test_two_workers_may_start_together(database_url: str):
    """One makes the tables, the others find them."""
    archives = await asyncio.gather(*(Archive.open(database_url) for _ in range(4)))
    for archive in archives:
        await archive.check()
        await archive.close()


async def test_an_archive_of_a_newer_version_stops_the_start(database_url: str, archive: Archive):
    """Nothing is read or written with words that may have changed their meaning."""
    async with archive.begin() as connection:
        await connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))

    with pytest.raises(ArchiveUnusable, match="newer version"):
        await Archive.open(database_url)
    assert 3 == ArchiveUnusable.exit_code


async def test_a_change_is_kept_whole_or_not_at_all(database_url: str, archive: Archive):
    """What broke off half way has never been; what was done is there for another process."""
    async with archive.begin() as connection:
        await connection.execute(insert(connection, cursors), a_cursor("kept"))
    with suppress(ZeroDivisionError):
        async with archive.begin() as connection:
            await connection.execute(insert(connection, cursors), a_cursor("half"))
            raise ZeroDivisionError

    other = await Archive.open(database_url)
    assert {"kept": 1} == await seqs(other)
    await other.close()


async def test_the_same_words_put_a_row_once_or_anew(archive: Archive):
    """`insert` knows what to do with a row that is there, on both databases."""
    async with archive.begin() as connection:
        once = insert(connection, cursors).on_conflict_do_nothing()
        await connection.execute(once, [a_cursor("a", 1), a_cursor("a", 2)])
        anew = insert(connection, cursors)
        anew = anew.on_conflict_do_update(index_elements=["centre"], set_={"seq": anew.excluded.seq})
        await connection.execute(anew, [a_cursor("b", 1), a_cursor("b", 2)])

    assert {"a": 1, "b": 2} == await seqs(archive)


async def test_a_broken_constraint_is_no_archive_that_is_away(archive: Archive):
    """Whoever changes something hears what was wrong with it."""
    with pytest.raises(IntegrityError):
        async with archive.begin() as connection:
            await connection.execute(insert(connection, cursors), [a_cursor("a"), a_cursor("a")])
    assert {} == await seqs(archive)


async def test_a_reader_sees_one_moment(archive: Archive):
    """What is changed while it reads is not there yet, and it holds nobody up."""
    count = select(func.count()).select_from(cursors)
    async with archive.read() as reader:
        assert 0 == await reader.scalar(count)
        async with archive.begin() as connection:
            await connection.execute(insert(connection, cursors), a_cursor("a"))
        assert 0 == await reader.scalar(count)
    assert {"a": 1} == await seqs(archive)


async def test_changes_at_once_wait_for_each_other(archive: Archive):
    """Reading before changing is safe: nobody overwrites what another has just counted."""
    async with archive.begin() as connection:
        await connection.execute(insert(connection, cursors), a_cursor("a", 0))

    async def count_on() -> None:
        async with archive.begin() as connection:
            seq = await connection.scalar(select(cursors.c.seq).where(cursors.c.centre == "a").with_for_update())
            assert seq is not None
            await connection.execute(cursors.update().where(cursors.c.centre == "a").values(seq=seq + 1))

    await asyncio.gather(*(count_on() for _ in range(20)))

    assert {"a": 20} == await seqs(archive)


async def test_whoever_waits_for_the_pen_takes_no_readers_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """More changes than connections wait for one that is slow: people read meanwhile; who waited too long is told."""
    archive = await Archive.open(f"sqlite:///{tmp_path / 'archive.db'}")
    monkeypatch.setattr("queue_service.archive.archive.PATIENCE_S", 0.05)

    async def put(centre: str) -> None:
        async with archive.begin() as connection:
            await connection.execute(insert(connection, cursors), a_cursor(centre))

    async with archive.begin() as connection:
        waiting = [asyncio.create_task(put(f"c{number}")) for number in range(2 * CONNECTIONS)]
        await asyncio.sleep(0)  # all of them stand in line
        assert {} == await seqs(archive)
        await asyncio.wait(waiting)
        await connection.execute(insert(connection, cursors), a_cursor("a"))
    assert {ArchiveAway} == {type(task.exception()) for task in waiting}
    await put("b")

    assert {"a": 1, "b": 1} == await seqs(archive)
    await archive.close()


async def test_sqlite_keeps_what_it_has_said(tmp_path: Path):
    """A change is on the disk before it is answered, references hold, readers do not wait, and the file is ours."""
    file = tmp_path / "deep" / "archive.db"
    archive = await Archive.open(f"sqlite:///{file}")
    assert [0o600] == sorted({path.stat().st_mode & 0o777 for path in file.parent.iterdir()})
    async with archive.read() as connection:
        said = {name: await connection.scalar(text(f"PRAGMA {name}")) for name in ("journal_mode", "synchronous")}
        assert {"journal_mode": "wal", "synchronous": 2} == said
        assert 1 == await connection.scalar(text("PRAGMA foreign_keys"))
    await archive.close()


async def test_a_locked_file_is_away_and_comes_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Somebody else holds the pen for too long: one refusal; then all is as before."""
    monkeypatch.setattr("queue_service.archive.archive.LOCKED_S", 0)
    file = tmp_path / "archive.db"
    archive = await Archive.open(f"sqlite:///{file}")
    other = sqlite3.connect(file, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")

    with pytest.raises(ArchiveAway):
        async with archive.begin():
            raise AssertionError("nobody comes here")
    await archive.check()  # reading goes on
    other.close()
    async with archive.begin() as connection:
        await connection.execute(insert(connection, cursors), a_cursor("a"))

    assert {"a": 1} == await seqs(archive)
    await archive.close()


async def test_an_archive_that_is_away_is_opened_and_used_when_it_is_there(
    postgres: Postgres, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    """A worker starts without it; its tables are made when it first answers.  Nobody is told a password."""
    secret, url = "geheim", postgres.new_database()
    place = tmp_path / "s"
    away = url.replace("postgres@", f"postgres:{secret}@").replace(str(postgres.folder), str(place))
    archive = await Archive.open(away)
    assert "postgresql" == archive.words
    with pytest.raises(ArchiveAway) as refused:
        await archive.check()
    assert 503 == refused.value.http_status

    place.symlink_to(postgres.folder)
    await archive.check()
    assert {} == await seqs(archive)
    assert archive.words.startswith("postgresql 18")
    said = capsys.readouterr()
    assert secret not in said.out + said.err + archive.words
    await archive.close()


@pytest.mark.parametrize(
    ("url", "sentence"),
    [("nonsense", "no address"), ("oracle://h/d", "no address"), ("postgresql://h/d?nonsense=1", "behind its ?")],
)
async def test_an_address_that_cannot_be_one_stops_the_start(url: str, sentence: str):
    """With a sentence."""
    with pytest.raises(ArchiveUnusable, match=re.escape(sentence)):
        await Archive.open(url)
