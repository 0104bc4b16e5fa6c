"""
Signing in and out, and what people do about their own passwords.
"""

from __future__ import annotations

from typing import Annotated

from aiohttp import web
from msgspec import Meta, Struct

from queue_service import second_factor
from queue_service.authority import Identity
from queue_service.clock import Clock
from queue_service.contract import Answer, operation
from queue_service.errors import NewPasswordRequired, SecondFactorMissing, SecondFactorRequired, WrongPassword
from queue_service.guard import credential, session_cookie
from queue_service.http_api.words import STAFF, Body
from queue_service.staff import SignIn as Proof
from queue_service.staff import Staff

Password = Annotated[str, Meta(max_length=200)]
Code = Annotated[str, Meta(pattern=r"\A[0-9]{6}\Z")]
Secret = Annotated[str, Meta(pattern=rf"\A{second_factor.SECRET}\Z")]


class SignIn(Body, frozen=True):
    """A name and a password; what else is asked for; and whether to answer with a bearer token instead of a cookie."""

    name: Annotated[str, Meta(max_length=64)]
    password: Password
    code: Code | None = None
    """Of the authenticator, where the account has one."""
    secret: Secret | None = None
    """Of an authenticator that is set up with this sign-in, proven by ``code``."""
    new_password: Password | None = None
    """One's own, in place of one that an administrator made."""
    bearer: bool = False


class OwnPassword(Body, frozen=True):
    """The password of now and the next one."""

    password: Password
    new_password: Password
    bearer: bool = False


class SecondFactor(Body, frozen=True):
    """A secret that the authenticator has taken, proven by its code."""

    password: Password
    secret: Secret
    code: Code


class User(Struct, frozen=True):
    """Whoever is signed in."""

    name: str
    display_name: str
    roles: tuple[str, ...]
    centres: tuple[str, ...]


class SessionReply(Struct, frozen=True, omit_defaults=True):
    """A session."""

    user: User
    token: str | None = None


class SecretReply(Struct, frozen=True):
    """A secret that nobody has yet, and the address that an authenticator scans."""

    secret: str
    address: str


class Sessions:
    """Signing in and out."""

    def __init__(self, staff: Staff, clock: Clock, *, is_secure: bool, installation: str) -> None:
        self._staff = staff
        self._clock = clock
        self._is_secure = is_secure
        self._installation = installation

    @operation(
        "POST",
        "/api/v1/session",
        summary="Sign in",
        body=SignIn,
        answers={200: SessionReply},
        refusals=(WrongPassword, SecondFactorRequired, SecondFactorMissing, NewPasswordRequired),
        tags=("session",),
    )
    async def sign_in(self, body: SignIn, address: str) -> Answer:
        """Answers with a cookie for browsers, or with a token for programs that ask for a bearer."""
        proof = Proof(body.name, body.password, body.code, body.secret, body.new_password)
        return self._begun(await self._staff.sign_in(proof, address, self._clock.now_ms()), body.bearer)

    @operation(
        "GET",
        "/api/v1/session",
        summary="Who is signed in",
        roles=(*STAFF, "integrator"),
        answers={200: SessionReply},
        tags=("session",),
    )
    async def who(self, identity: Identity) -> SessionReply:
        """The account of the cookie or bearer token."""
        return SessionReply(_user(identity))

    @operation("DELETE", "/api/v1/session", summary="Sign out", answers={204: None}, tags=("session",))
    async def sign_out(self, request: web.Request, identity: Identity) -> Answer:
        """Ends the session everywhere."""
        token, _ = credential(request)
        if token is not None:
            await self._staff.sign_out(token, identity, self._clock.now_ms())
        return Answer(None, headers=session_cookie(None, is_secure=self._is_secure))

    @operation(
        "POST",
        "/api/v1/session/password",
        summary="Change one's own password",
        roles=STAFF,
        body=OwnPassword,
        answers={200: SessionReply},
        refusals=(WrongPassword,),
        tags=("session",),
    )
    async def change_own_password(self, body: OwnPassword, identity: Identity, address: str) -> Answer:
        """All sessions of the account end; the answer brings a new one."""
        begun = await self._staff.change_own_password(
            identity, body.password, body.new_password, address, self._clock.now_ms()
        )
        return self._begun(begun, body.bearer)

    @operation(
        "GET",
        "/api/v1/session/second-factor",
        summary="A secret for an authenticator",
        roles=STAFF,
        answers={200: SecretReply},
        tags=("session",),
    )
    async def make_secret(self, identity: Identity) -> SecretReply:
        """A new one at each call; it means nothing until it is sent back with a code."""
        secret = second_factor.new_secret()
        return SecretReply(secret, second_factor.address(secret, identity.name, self._installation))

    @operation(
        "POST",
        "/api/v1/session/second-factor",
        summary="Sign in with an authenticator from now on",
        roles=STAFF,
        body=SecondFactor,
        answers={204: None},
        refusals=(WrongPassword,),
        tags=("session",),
    )
    async def set_second_factor(self, body: SecondFactor, identity: Identity, address: str) -> None:
        """Replaces one that was set before.  Only an administrator, or the command line, takes it away."""
        await self._staff.set_second_factor(
            identity, body.password, body.secret, body.code, address, self._clock.now_ms()
        )

    def _begun(self, begun: tuple[str, Identity], is_bearer: bool) -> Answer:
        token, identity = begun
        if is_bearer:
            return Answer(SessionReply(_user(identity), token))
        return Answer(SessionReply(_user(identity)), headers=session_cookie(token, is_secure=self._is_secure))


def _user(identity: Identity) -> User:
    return User(identity.name, identity.display_name, tuple(sorted(identity.roles)), tuple(sorted(identity.centres)))
