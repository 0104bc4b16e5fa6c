"""
The accounts of staff: who they are, what they may, where they work, and what proves who they are.

`staff` reads and writes them, within a transaction that it also uses for the audit.  Passwords are argon2id; the secret
of a second factor is kept as it is, because a code can only be checked with it.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from sqlalchemy import BigInteger, Boolean, Column, ForeignKey, Index, Row, String, Table, delete, select, update

from queue_service.archive.tables import Document, Transaction, insert, metadata
from queue_service.authority import Account

accounts: Final = Table(
    "accounts",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("display_name", String(120), nullable=False),
    Column("roles", Document, nullable=False),
    Column("home_department", String(64)),
    Column("is_disabled", Boolean, nullable=False),
    Column("password", String(128), nullable=False),
    Column("password_at_ms", BigInteger, nullable=False),
    Column("must_change_password", Boolean, nullable=False),
    Column("second_factor", String(32)),
    Column("second_factor_step", BigInteger),
    Column("created_at_ms", BigInteger, nullable=False),
    Column("created_by_press", String(300)),
)
"""One row for each person; `second_factor_step` is the latest half minute whose code was used."""

workplaces: Final = Table(
    "workplaces",
    metadata,
    Column("account", String(64), ForeignKey(accounts.c.name, ondelete="CASCADE"), primary_key=True),
    Column("centre", String(64), primary_key=True),
    Index(None, "centre"),
)
"""The centres where an account works; `*` is all of them."""


class Proofs(NamedTuple):
    """What an account is asked for at sign-in."""

    password: str
    second_factor: str | None
    second_factor_step: int


async def find(connection: Transaction, name: str, *, to_change: bool = False) -> tuple[Account, Proofs] | None:
    """The account *name* and its proofs, or None; locked if it is *to_change*."""
    asked = select(accounts).where(accounts.c.name == name)
    row = (await connection.execute(asked.with_for_update() if to_change else asked)).one_or_none()
    if row is None:
        return None
    at = await connection.execute(select(workplaces.c.centre).where(workplaces.c.account == name))
    proofs = Proofs(row.password, row.second_factor, -1 if row.second_factor_step is None else row.second_factor_step)
    return _account(row, frozenset(at.scalars())), proofs


async def list_all(connection: Transaction, centre: str | None = None) -> list[Account]:
    """All accounts, or those that work at *centre*, by name."""
    chosen = select(accounts).order_by(accounts.c.name)
    places = select(workplaces)
    if centre is not None:
        here = select(workplaces.c.account).where(workplaces.c.centre == centre)
        chosen = chosen.where(accounts.c.name.in_(here))
        places = places.where(workplaces.c.account.in_(here))
    centres: dict[str, set[str]] = {}
    for account, place in await connection.execute(places):
        centres.setdefault(account, set()).add(place)
    return [_account(row, frozenset(centres.get(row.name, ()))) for row in await connection.execute(chosen)]


async def add(connection: Transaction, account: Account, password: str, by_press: str | None) -> bool:
    """Write a new account; False if its name is taken, and nothing was written."""
    row = {
        "name": account.name,
        **_columns(account),
        "password": password,
        "password_at_ms": account.password_at_ms,
        "must_change_password": account.must_change_password,
        "created_at_ms": account.created_at_ms,
        "created_by_press": by_press,
    }
    written = await connection.execute(insert(connection, accounts).values(row).on_conflict_do_nothing())
    if not written.rowcount:
        return False
    await _move(connection, account)
    return True


async def is_new_by(connection: Transaction, name: str, press: str) -> bool:
    """Whether the account *name* was made by *press*, and nobody has signed in since: then this is its repeat."""
    asked = select(accounts.c.name).where(
        accounts.c.name == name, accounts.c.created_by_press == press, accounts.c.must_change_password
    )
    return (await connection.execute(asked)).one_or_none() is not None


async def replace(connection: Transaction, account: Account) -> None:
    """Write what an administrator may change."""
    await _set(connection, account.name, **_columns(account))
    await connection.execute(delete(workplaces).where(workplaces.c.account == account.name))
    await _move(connection, account)


async def set_password(connection: Transaction, name: str, password: str, *, must_change: bool, at_ms: int) -> None:
    """Write the hash of another password."""
    await _set(connection, name, password=password, password_at_ms=at_ms, must_change_password=must_change)


async def set_second_factor(connection: Transaction, name: str, secret: str | None, step: int | None) -> None:
    """Write or forget the secret, with the latest step whose code was used."""
    await _set(connection, name, second_factor=secret, second_factor_step=step)


async def remove(connection: Transaction, name: str) -> None:
    """Delete the account and where it works."""
    await connection.execute(delete(accounts).where(accounts.c.name == name))


async def _set(connection: Transaction, name: str, **values: Any) -> None:
    await connection.execute(update(accounts).where(accounts.c.name == name).values(values))


async def _move(connection: Transaction, account: Account) -> None:
    places = [{"account": account.name, "centre": centre} for centre in sorted(account.centres)]
    await connection.execute(workplaces.insert(), places)


def _columns(account: Account) -> dict[str, Any]:
    return {
        "display_name": account.display_name,
        "roles": sorted(account.roles),
        "home_department": account.home_department,
        "is_disabled": account.is_disabled,
    }


def _account(row: Row[Any], centres: frozenset[str]) -> Account:
    return Account(
        name=row.name,
        display_name=row.display_name,
        roles=frozenset(row.roles),
        centres=centres,
        home_department=row.home_department,
        is_disabled=row.is_disabled,
        password_at_ms=row.password_at_ms,
        must_change_password=row.must_change_password,
        has_second_factor=row.second_factor is not None,
        created_at_ms=row.created_at_ms,
    )
