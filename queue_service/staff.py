"""
The staff: accounts, signing in, and what administrators do about them.

Accounts are in the archive, sessions in the store of the day.  A change of an account is one transaction with its entry
in the audit, and then ends the account's sessions where it takes power away.  While the archive is away nobody signs in
and no account changes; whoever is signed in goes on working.  It knows no HTTP.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Collection
from typing import Any, Final, NamedTuple, Unpack, cast

import msgspec

from queue_service import metrics, second_factor
from queue_service.archive import accounts
from queue_service.archive.accounts import Proofs
from queue_service.archive.archive import Archive
from queue_service.archive.tables import Transaction
from queue_service.audit import DONE, Audit
from queue_service.authority import (
    ACCOUNT_NAME,
    EVERYWHERE,
    STAFF_ROLES,
    Account,
    Action,
    AuditEntry,
    By,
    Identity,
    Said,
    actor_of,
    known_roles,
)
from queue_service.errors import (
    Conflict,
    Malformed,
    NewPasswordRequired,
    NotAllowed,
    NotFound,
    SecondFactorMissing,
    SecondFactorRequired,
    WrongPassword,
)
from queue_service.identity import Identities
from queue_service.passwords import Passwords, one_time_password

ONE_TIME_MS: Final = 3 * 86_400_000
"""How long a password that an administrator made may wait for its first sign-in."""

_WRONG = "Name or password is wrong."
_WRONG_CODE = "The code is wrong, or was used already."
_POWERS = frozenset({"roles", "centres", "is_disabled"})


class SignIn(NamedTuple):
    """
    What somebody proves who they are with.

    Args:
        code: of the second factor, where the account has one.
        secret: of a second factor that is set up with this sign-in, proven by *code*.
        new_password: in place of one that an administrator made.
    """

    name: str
    password: str
    code: str | None = None
    secret: str | None = None
    new_password: str | None = None


class Staff:
    """
    Args:
        archive: keeps accounts.
        identities: knows sessions.
        passwords: checks passwords, slowly.
        audit: keeps the trace.
        wants_second_factor: whether one of the account's centres wants a second factor of one of its roles; None
            where nobody signs in.
    """

    def __init__(
        self,
        archive: Archive,
        identities: Identities,
        passwords: Passwords,
        audit: Audit,
        wants_second_factor: Callable[[Account], Awaitable[bool]] | None = None,
    ) -> None:
        self._archive, self._identities, self._passwords, self._audit = archive, identities, passwords, audit
        self._wants_second_factor = wants_second_factor

    # Looking

    async def get(self, name: str) -> Account | None:
        """The account, or None."""
        found = await self._find(name)
        return found[0] if found is not None else None

    async def list_all(self, by: Identity, centre: str | None = None) -> list[Account]:
        """All accounts of *centre* that *by* may see, by name; without a centre those of the installation."""
        async with self._archive.read() as connection:
            found = await accounts.list_all(connection, centre)
            if centre is not None and EVERYWHERE in by.centres:
                found = sorted(
                    [*found, *await accounts.list_all(connection, EVERYWHERE)], key=lambda account: account.name
                )
        return found

    # Signing in

    async def sign_in(self, given: SignIn, address: str, now_ms: int) -> tuple[str, Identity]:
        """
        A new session for whoever proves to be *given.name*.

        Unknown name, wrong password and disabled account get the same answer after the same work.

        Args:
            address: where the try comes from; wrong tries make the next one from there wait longer.

        Raises:
            WrongPassword: name, password or code is wrong.
            SecondFactorRequired: password right; the code of the second factor must come, too.
            SecondFactorMissing: password right; a centre wants a second factor, and the account has none yet.
            NewPasswordRequired: all right; a password of one's own must come, too.
            TooMany: too many wrong tries from *address*; nothing was checked.
        """

        async def prove() -> tuple[Account, int]:
            generation = await self._identities.sessions.generation(given.name)
            found = await self._find(given.name)
            try:
                account, proofs = await self._proven(found, given.password, now_ms)
                await self._complete(account, proofs, given, now_ms)
            except WrongPassword as refusal:
                self._note_refused(found[0] if found is not None else None, "sign-in", refusal, now_ms)
                raise
            return account, generation

        account, generation = await self._passwords.attempt(given.name, address, prove)
        return await self._begin(account, generation, "sign-in", now_ms)

    async def sign_in_as(self, name: str, now_ms: int) -> tuple[str, Identity]:
        """
        A new session for *name*, proven by an identity server that we trust.

        Raises:
            WrongPassword: there is no such account, or it is disabled.
        """
        generation = await self._identities.sessions.generation(name)
        account = await self.get(name)
        if account is None or account.is_disabled:
            refusal = WrongPassword("This identity has no account here. Ask an administrator of the centre for one.")
            self._note_refused(account, "sign-in-oidc", refusal, now_ms)
            raise refusal
        return await self._begin(account, generation, "sign-in-oidc", now_ms)

    async def sign_out(self, token: str, identity: Identity, now_ms: int) -> None:
        """End the session of *token*."""
        await self._identities.sign_out(token)
        if identity.kind == "staff":
            self._note(identity, "sign-out", now_ms)

    async def change_own_password(
        self, identity: Identity, password: str, new_password: str, address: str, now_ms: int
    ) -> tuple[str, Identity]:
        """
        Another password for whoever is signed in; all sessions end, and a new one begins.

        Raises:
            WrongPassword: *password* is wrong.
            TooMany: too many wrong tries.
            Malformed: the new one is too short, too long, or the old one.
        """
        account = await self._passwords.attempt(
            identity.name, address, lambda: self._prove_again(identity.name, password, now_ms)
        )
        await self._set_password(account, password, new_password, now_ms)
        await self._identities.sessions.end_all(account.name)
        generation = await self._identities.sessions.generation(account.name)
        return await self._identities.sessions.create(account.identity(), generation, now_ms), account.identity()

    async def set_second_factor(
        self, identity: Identity, password: str, secret: str, code: str, address: str, now_ms: int
    ) -> None:
        """
        From now on whoever is signed in needs codes of *secret*, too.

        Raises:
            WrongPassword: the password is wrong, or the code is not of this secret and moment.
            TooMany: too many wrong tries.
        """

        async def prove() -> tuple[Account, int]:
            account = await self._prove_again(identity.name, password, now_ms)
            step = second_factor.step_of(secret, code, now_ms)
            if step is None:
                raise WrongPassword("This code is not of this secret and this moment; is the phone's clock right?")
            return account, step

        account, step = await self._passwords.attempt(identity.name, address, prove)
        async with self._archive.begin() as connection:
            await accounts.set_second_factor(connection, account.name, secret, step)
            await self._audit.write(
                connection, *self._entries(account, actor_of(identity), "set-second-factor", now_ms)
            )

    # What administrators do

    async def create(
        self,
        name: str,
        *,
        roles: Collection[str],
        centres: Collection[str],
        by: By,
        display_name: str = "",
        home_department: str | None = None,
        password: str | None = None,
    ) -> tuple[Account, str]:
        """
        A new account; a repeat of its press finds it made, and makes another password: nobody has seen the first.

        Args:
            password: where the person chose it; otherwise one is made that is good for one sign-in.

        Returns:
            The account and its password.

        Raises:
            Conflict: the name is taken.
            Malformed: name, password, a role or a centre is not of the documented shape.
            NotAllowed: *by* does not cover all of *centres*.
        """
        if not re.fullmatch(ACCOUNT_NAME, name):
            raise Malformed("An account name is 1 to 64 of a-z, 0-9, dot, hyphen and underscore.")
        account = Account(
            name=name,
            display_name=display_name or name,
            roles=known_roles(roles, STAFF_ROLES),
            centres=frozenset(centres),
            home_department=home_department,
            password_at_ms=by.now_ms,
            must_change_password=password is None,
            created_at_ms=by.now_ms,
        )
        _check_reach(by.identity, account)
        word = password or one_time_password()
        hashed = await self._passwords.hash(word)
        press = _scoped(by)
        async with self._archive.begin() as connection:
            if await accounts.add(connection, account, hashed, press):
                await self._audit.write(connection, *self._changed(account, "create-user", by, **_said(account)))
            elif press is not None and await accounts.is_new_by(connection, name, press):
                account, _ = await self._to_change(connection, name, by.identity)
                await accounts.set_password(connection, name, hashed, must_change=True, at_ms=by.now_ms)
            else:
                raise Conflict(f"The account {name} exists already.")
        return account, word

    async def change(self, name: str, by: By, **changes: Any) -> Account:
        """
        Another display name, roles, centres, home department, or disabled or not.  Whatever takes power away or moves
        it ends the account's sessions.

        Raises:
            NotFound: there is no such account, or *by* may not see it.
            NotAllowed: *by* does not cover all centres of the account, before and after.
            Conflict: nobody takes power from themselves.
        """
        async with self._archive.begin() as connection:
            before, _ = await self._to_change(connection, name, by.identity)
            after = msgspec.structs.replace(before, **changes)
            known_roles(after.roles, STAFF_ROLES)
            _check_reach(by.identity, after)
            if name == by.identity.name and any(getattr(after, power) != getattr(before, power) for power in _POWERS):
                raise Conflict("Roles, centres and the end of an administrator are another administrator's business.")
            if after != before:
                await accounts.replace(connection, after)
                was = _said(before).items()
                said = cast(Said, dict(one for one in _said(after).items() if one not in was))
                entries = self._changed(after, "change-user", by, also=before.centres, **said)
                await self._audit.write(connection, *entries)
        if "display_name" in changes:
            await self._identities.sessions.rename(name, after.display_name)
        if not _POWERS.isdisjoint(changes):  # also on a repeat, whose first try may have come no further than here
            await self._identities.sessions.end_all(name)
        return after

    async def reset_password(
        self,
        name: str,
        by: By,
        *,
        password: str | None = None,
        forget_second_factor: bool = False,
    ) -> tuple[Account, str]:
        """
        Another password for *name*, and the end of all its sessions.

        Args:
            password: where the person chose it; otherwise one is made that is good for one sign-in.
            forget_second_factor: for somebody who lost the phone.

        Raises:
            NotFound, NotAllowed: see `change`.
            Malformed: the password is too short or too long.
        """
        word = password or one_time_password()
        hashed = await self._passwords.hash(word)
        async with self._archive.begin() as connection:
            account, _ = await self._to_change(connection, name, by.identity)
            await accounts.set_password(connection, name, hashed, must_change=password is None, at_ms=by.now_ms)
            if forget_second_factor:
                await accounts.set_second_factor(connection, name, None, None)
            entries = self._changed(account, "reset-password", by, forget_second_factor=forget_second_factor or None)
            await self._audit.write(connection, *entries)
        await self._identities.sessions.end_all(name)
        changed = msgspec.structs.replace(
            account,
            password_at_ms=by.now_ms,
            must_change_password=password is None,
            has_second_factor=account.has_second_factor and not forget_second_factor,
        )
        return changed, word

    async def end_sessions(self, name: str, by: By) -> Account:
        """
        End all sessions of *name*.

        Raises:
            NotFound, NotAllowed: see `change`.
        """
        async with self._archive.begin() as connection:
            account, _ = await self._to_change(connection, name, by.identity)
            await self._audit.write(connection, *self._changed(account, "end-sessions", by))
        await self._identities.sessions.end_all(name)
        return account

    async def remove(self, name: str, by: By) -> None:
        """
        Delete the account and end its sessions; the audit keeps its name.

        Raises:
            NotFound, NotAllowed: see `change`.
        """
        async with self._archive.begin() as connection:
            account, _ = await self._to_change(connection, name, by.identity)
            await accounts.remove(connection, name)
            await self._audit.write(connection, *self._changed(account, "remove-user", by))
        await self._identities.sessions.rename(name, None)
        await self._identities.sessions.end_all(name)

    # Within

    async def _find(self, name: str) -> tuple[Account, Proofs] | None:
        async with self._archive.read() as connection:
            return await accounts.find(connection, name)

    async def _prove_again(self, name: str, password: str, now_ms: int) -> Account:
        """The account of somebody who is signed in, if *password* is its own."""
        account, _ = await self._proven(await self._find(name), password, now_ms)
        return account

    async def _proven(self, found: tuple[Account, Proofs] | None, password: str, now_ms: int) -> tuple[Account, Proofs]:
        """The account, if *password* is its own and still good."""
        is_right = await self._passwords.matches(found[1].password if found is not None else None, password)
        if not is_right or found is None or found[0].is_disabled:
            raise WrongPassword(_WRONG)
        if found[0].must_change_password and now_ms - found[0].password_at_ms > ONE_TIME_MS:
            raise WrongPassword(_WRONG)
        return found

    async def _complete(self, account: Account, proofs: Proofs, given: SignIn, now_ms: int) -> None:
        """What an account is asked for beside its password; a code is used up together with what it opens."""
        secret, step = proofs.second_factor, None
        if secret is None and (given.secret is not None or await self._must_enrol(account)):
            if given.secret is None:
                raise SecondFactorMissing("Set an authenticator up: send a secret that it has taken, and its code.")
            secret = given.secret
        if secret is not None:
            if given.code is None:
                raise SecondFactorRequired("The code of the second factor must be sent, too.")
            step = second_factor.step_of(secret, given.code, now_ms, proofs.second_factor_step)
            if step is None:
                raise WrongPassword(_WRONG_CODE)
        if account.must_change_password:
            if given.new_password is None:
                raise NewPasswordRequired("An administrator made this password. Send a new one of your own, too.")
            await self._set_password(account, given.password, given.new_password, now_ms)
        if step is not None:
            async with self._archive.begin() as connection:
                found = await accounts.find(connection, account.name, to_change=True)
                if found is None or found[1].second_factor != proofs.second_factor:
                    raise WrongPassword(_WRONG_CODE)  # somebody set one up in the meantime
                if found[1].second_factor_step >= step:
                    raise WrongPassword(_WRONG_CODE)  # somebody used it
                await accounts.set_second_factor(connection, account.name, secret, step)
                if proofs.second_factor is None:
                    entries = self._entries(account, f"staff:{account.name}", "set-second-factor", now_ms)
                    await self._audit.write(connection, *entries)

    async def _must_enrol(self, account: Account) -> bool:
        return self._wants_second_factor is not None and await self._wants_second_factor(account)

    async def _set_password(self, account: Account, password: str, new_password: str, now_ms: int) -> None:
        """Write the password that the person chose."""
        if new_password == password:
            raise Malformed("The new password is the old one.")
        hashed = await self._passwords.hash(new_password)
        async with self._archive.begin() as connection:
            await accounts.set_password(connection, account.name, hashed, must_change=False, at_ms=now_ms)
            entries = self._entries(account, f"staff:{account.name}", "change-password", now_ms)
            await self._audit.write(connection, *entries)

    async def _begin(self, account: Account, generation: int, action: Action, now_ms: int) -> tuple[str, Identity]:
        identity = account.identity()
        token = await self._identities.sessions.create(identity, generation, now_ms)
        self._note(identity, action, now_ms)
        return token, identity

    async def _to_change(self, connection: Transaction, name: str, by: Identity) -> tuple[Account, Proofs]:
        found = await accounts.find(connection, name, to_change=True)
        if found is None or not _sees(by, found[0]):
            raise NotFound(f"There is no account {name}.")
        _check_reach(by, found[0])
        return found

    def _note(self, identity: Identity, action: Action, now_ms: int) -> None:
        for entry in self._entries(identity, actor_of(identity), action, now_ms):
            self._audit.note(entry)

    def _note_refused(self, account: Account | None, action: Action, refusal: WrongPassword, now_ms: int) -> None:
        """A name that is not ours is not written down: it may be a password, typed into the wrong field."""
        metrics.REFUSED_SIGN_INS.inc()
        if account is None:
            self._audit.note(
                self._audit.entry(now_ms, actor="nobody", action=action, object="unknown", outcome=refusal.code)
            )
            return
        for entry in self._entries(account, "nobody", action, now_ms, outcome=refusal.code):
            self._audit.note(entry)

    def _changed(
        self, account: Account, action: Action, by: By, also: Collection[str] = (), **said: Unpack[Said]
    ) -> list[AuditEntry]:
        """Entries about what an administrator did."""
        said["press"] = by.press_id
        return self._entries(account, actor_of(by.identity), action, by.now_ms, also=also, **said)

    def _entries(
        self,
        about: Account | Identity,
        actor: str,
        action: Action,
        now_ms: int,
        *,
        also: Collection[str] = (),
        outcome: str = DONE,
        **said: Unpack[Said],
    ) -> list[AuditEntry]:
        """An entry for each centre where *about* works, and one for the installation where that is all of them."""
        centres = {*about.centres, *also}
        return [
            self._audit.entry(
                now_ms,
                centre=None if centre == EVERYWHERE else centre,
                actor=actor,
                action=action,
                object=about.name,
                outcome=outcome,
                **said,
            )
            for centre in sorted(centres)
        ]


def _said(account: Account) -> Said:
    """What the audit says of an account: no name of a person."""
    return {
        "roles": sorted(account.roles),
        "centres": sorted(account.centres),
        "home_department": account.home_department,
        "is_disabled": account.is_disabled,
    }


def _sees(by: Identity, account: Account) -> bool:
    return EVERYWHERE in by.centres or not by.centres.isdisjoint(account.centres)


def _check_reach(by: Identity, account: Account) -> None:
    """Nobody has power over, or gives somebody power in, a centre that is not their own."""
    if not account.centres:
        raise Malformed("An account works at one centre at least.")
    if not by.covers(account.centres):
        raise NotAllowed(f"The account {account.name} also works at a centre that is not yours.")


def _scoped(by: By) -> str | None:
    return f"{actor_of(by.identity)}|{by.press_id}" if by.press_id is not None else None
