"""
Accounts of staff, for administrators.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Annotated, Final

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from queue_service.authority import ACCOUNT_NAME, EVERYWHERE, Account, By, Identity, StaffRole
from queue_service.centre import Centre
from queue_service.contract import clean_text, operation
from queue_service.dispatch import Dispatch
from queue_service.errors import Conflict, UnknownDepartment
from queue_service.http_api.words import ADMINS, BASE, Body, Slug
from queue_service.staff import Staff

PersonName = Annotated[str, clean_text(120, 1)]
Roles = Annotated[tuple[StaffRole, ...], Meta(min_length=1, max_length=5)]
Place = Annotated[str, Meta(pattern=r"\A(?:\*|[a-z0-9](?:[a-z0-9-]{0,30}[a-z0-9])?)\Z")]
Places = Annotated[tuple[Place, ...], Meta(min_length=1, max_length=64)]

USERS: Final = BASE + "/users"
USER: Final = USERS + "/{user}"


class NewUser(Body, frozen=True):
    """Somebody of the staff."""

    name: Annotated[str, Meta(pattern=rf"\A{ACCOUNT_NAME}\Z")]
    display_name: PersonName
    roles: Roles
    centres: Places | None = None
    """Where the person works; left out: here.  `*` is every centre of the installation."""
    home_department: Slug | None = None


class ChangedUser(Body, frozen=True):
    """What is to be different; what is left out stays."""

    display_name: PersonName | UnsetType = UNSET
    roles: Roles | UnsetType = UNSET
    centres: Places | UnsetType = UNSET
    home_department: Slug | UnsetType | None = UNSET
    is_disabled: bool | UnsetType = UNSET


class Reset(Body, frozen=True):
    """Whether the person has lost the authenticator, too."""

    forget_second_factor: bool = False


class UserView(Struct, frozen=True, kw_only=True):
    """Somebody of the staff, without anything secret."""

    name: str
    display_name: str
    roles: tuple[str, ...]
    centres: tuple[str, ...]
    home_department: str | None
    is_disabled: bool
    password_at_ms: int
    must_change_password: bool
    has_second_factor: bool
    created_at_ms: int
    is_yours: bool
    """Whether whoever asks may change this account: an administrator of all its centres."""


class UsersReply(Struct, frozen=True):
    """By name."""

    users: tuple[UserView, ...]


class UserReply(Struct, frozen=True):
    """The account as it is now."""

    user: UserView


class PasswordReply(Struct, frozen=True):
    """The account, and a password that is shown this once and good for one sign-in within three days."""

    user: UserView
    one_time_password: str


class Users:
    """Accounts of staff."""

    def __init__(self, staff: Staff, dispatch: Dispatch) -> None:
        self._staff = staff
        self._dispatch = dispatch

    @operation("GET", USERS, summary="Who works here", roles=ADMINS, answers={200: UsersReply}, tags=("users",))
    async def list_users(self, centre: str, identity: Identity) -> UsersReply:
        """Accounts of the centre; administrators of the whole installation see their own kind, too."""
        await self._dispatch.centre(centre)
        found = await self._staff.list_all(identity, centre)
        return UsersReply(tuple(_user(account, identity) for account in found))

    @operation(
        "POST",
        USERS,
        summary="A new account",
        roles=ADMINS,
        press=True,
        body=NewUser,
        answers={201: PasswordReply},
        refusals=(Conflict, UnknownDepartment),
        tags=("users",),
    )
    async def create_user(self, centre: str, body: NewUser, press_id: str, identity: Identity) -> PasswordReply:
        """The password is good for one sign-in; a repeat of the press makes another."""
        configured = await self._dispatch.centre(centre)
        await self._check(configured, body.centres or (), body.home_department)
        account, password = await self._staff.create(
            body.name,
            roles=body.roles,
            centres=body.centres or (centre,),
            display_name=body.display_name,
            home_department=body.home_department,
            by=self._by(identity, press_id),
        )
        return PasswordReply(_user(account, identity), password)

    @operation(
        "POST",
        USER,
        summary="Change an account",
        roles=ADMINS,
        press=True,
        body=ChangedUser,
        answers={200: UserReply},
        refusals=(Conflict, UnknownDepartment),
        tags=("users",),
    )
    async def change_user(
        self, centre: str, user: str, body: ChangedUser, press_id: str, identity: Identity
    ) -> UserReply:
        """Other roles or centres, or being disabled, end the account's sessions."""
        configured = await self._dispatch.centre(centre)
        changes = {
            name: frozenset(value) if isinstance(value, tuple) else value
            for name, value in msgspec.structs.asdict(body).items()
            if value is not UNSET
        }
        await self._check(configured, body.centres or (), body.home_department or None)
        account = await self._staff.change(user, self._by(identity, press_id), **changes)
        return UserReply(_user(account, identity))

    @operation(
        "POST",
        USER + "/password",
        summary="A new password for somebody",
        roles=ADMINS,
        press=True,
        body=Reset,
        answers={200: PasswordReply},
        tags=("users",),
    )
    async def reset_password(
        self, centre: str, user: str, body: Reset, press_id: str, identity: Identity
    ) -> PasswordReply:
        """Good for one sign-in; all sessions of the account end.  A repeat of the press makes another."""
        await self._dispatch.centre(centre)
        account, password = await self._staff.reset_password(
            user, self._by(identity, press_id), forget_second_factor=body.forget_second_factor
        )
        return PasswordReply(_user(account, identity), password)

    @operation(
        "POST",
        USER + "/sign-out",
        summary="End somebody's sessions",
        roles=ADMINS,
        press=True,
        answers={200: UserReply},
        tags=("users",),
    )
    async def end_sessions(self, centre: str, user: str, press_id: str, identity: Identity) -> UserReply:
        """Everywhere within five seconds, with the streams that they opened."""
        await self._dispatch.centre(centre)
        account = await self._staff.end_sessions(user, self._by(identity, press_id))
        return UserReply(_user(account, identity))

    def _by(self, identity: Identity, press_id: str) -> By:
        return By(identity, self._dispatch.clock.now_ms(), press_id)

    async def _check(self, configured: Centre, centres: Collection[str], home_department: str | None) -> None:
        """Centres and departments that are named exist."""
        for id in centres:
            if id != EVERYWHERE:
                await self._dispatch.centre(id)
        if home_department is not None:
            configured.department(home_department)


def _user(account: Account, by: Identity) -> UserView:
    return UserView(
        name=account.name,
        display_name=account.display_name,
        roles=tuple(sorted(account.roles)),
        centres=tuple(sorted(account.centres)),
        home_department=account.home_department,
        is_disabled=account.is_disabled,
        password_at_ms=account.password_at_ms,
        must_change_password=account.must_change_password,
        has_second_factor=account.has_second_factor,
        created_at_ms=account.created_at_ms,
        is_yours=by.covers(account.centres),
    )
