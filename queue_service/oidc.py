"""
Whether a token of an identity server proves who somebody is (OpenID Connect, authorization code with PKCE).

It judges what it is handed and speaks to nobody: `http_api/oidc.py` fetches keys and tokens.  The package that knows
signatures is an extra (``queue-service[oidc]``); without it nobody signs in this way.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from typing import Any, Final, NamedTuple

from queue_service.errors import WrongPassword

try:
    from joserfc import jws, jwt
    from joserfc.errors import JoseError
    from joserfc.jwk import KeySet
except ModuleNotFoundError:
    IS_INSTALLED = False
else:
    IS_INSTALLED = True

ALGORITHMS: Final = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
"""Signatures by a key that only the server has: never `none`, never a shared secret."""
CLOCKS_DIFFER_S: Final = 60
OLDEST_S: Final = 600
"""A token is made while somebody waits: one that was made longer ago is an old one, sent again."""


class Attempt(NamedTuple):
    """What binds a sign-in to the browser that began it: kept in a cookie of that browser, and nowhere else."""

    state: str
    nonce: str
    verifier: str
    next: str

    @classmethod
    def begun(cls, next: str) -> Attempt:
        """A new one, that leads to the page *next*."""
        return cls(secrets.token_urlsafe(24), secrets.token_urlsafe(24), secrets.token_urlsafe(48), next)

    @property
    def challenge(self) -> str:
        """What the identity server is told of the verifier (RFC 7636, S256)."""
        digest = hashlib.sha256(self.verifier.encode()).digest()
        return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


class UnknownKey(Exception):
    """The token names a key that is not among ours: the server may have new ones."""


def claims_of(token: str, keys: dict[str, Any], *, issuer: str, client: str, nonce: str, now_ms: int) -> dict[str, Any]:
    """
    What *token* says, if it was made by *issuer* for us, now, and for this very attempt.

    Args:
        keys: the server's JSON Web Key Set.

    Raises:
        UnknownKey: no key of *keys* is the one that is named; fetch them again.
        WrongPassword: it proves nothing.
    """
    try:
        header = jws.extract_compact(token.encode()).headers()
        known = [key for key in keys["keys"] if key.get("kid") == header.get("kid") and key.get("use", "sig") == "sig"]
        if header.get("alg") not in ALGORITHMS or "crit" in header:
            raise WrongPassword("The identity server's token is not signed as it should be.")
        if len(known) != 1:
            raise UnknownKey
        claims = dict(jwt.decode(token, KeySet.import_key_set({"keys": known}), algorithms=list(ALGORITHMS)).claims)
    except (JoseError, ValueError, TypeError, KeyError, AttributeError) as fault:
        raise WrongPassword("The identity server's token is not signed as it should be.") from fault
    audience = claims.get("aud")
    audiences = [audience] if isinstance(audience, str) else audience
    now_s = now_ms / 1000
    is_ours = (
        claims.get("iss") == issuer
        and isinstance(audiences, list)
        and client in audiences
        and (claims.get("azp", client if len(audiences) == 1 else None) == client)
        and _is_time(claims.get("exp"))
        and now_s < claims["exp"] + CLOCKS_DIFFER_S
        and _is_time(claims.get("iat"))
        and now_s - OLDEST_S < claims["iat"] < now_s + CLOCKS_DIFFER_S
        and (claims.get("nbf") is None or (_is_time(claims["nbf"]) and claims["nbf"] < now_s + CLOCKS_DIFFER_S))
        and isinstance(claims.get("nonce"), str)
        and hmac.compare_digest(claims["nonce"].encode(), nonce.encode())
    )
    if not is_ours:
        raise WrongPassword("The identity server's token is not for us, not for this sign-in, or too old.")
    return claims


def _is_time(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
