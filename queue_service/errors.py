"""
Every refusal of the queue service, in one tree with stable codes.

It knows no ticket's life, no store and no web framework: a code, the HTTP status that doors answer with, and one
sentence that names ticket and counter and says what to do.  `lua/` refuses with the same codes, `store` turns them into
these classes with `from_code`, and only the doors translate them into problem documents.

    QueueError                    400  REFUSED
    ├── NotFound                      404  NOT_FOUND
    │   ├── UnknownCentre                  UNKNOWN_CENTRE
    │   ├── UnknownDepartment              UNKNOWN_DEPARTMENT
    │   ├── UnknownService                 UNKNOWN_SERVICE
    │   ├── UnknownCounter                 UNKNOWN_COUNTER
    │   ├── UnknownTicket                  UNKNOWN_TICKET
    │   ├── UnknownBoard                   UNKNOWN_BOARD
    │   ├── UnknownMedia                   UNKNOWN_MEDIA
    │   ├── UnknownProcedure               UNKNOWN_PROCEDURE
    │   └── UnknownDossier                 UNKNOWN_DOSSIER
    ├── Conflict                      409  CONFLICT
    │   ├── WrongState                     WRONG_STATE         the ticket's life has no such step
    │   ├── CounterBusy                    COUNTER_BUSY        a ticket is already at the counter
    │   ├── CounterClosed                  COUNTER_CLOSED
    │   ├── CounterPaused                  COUNTER_PAUSED
    │   ├── CounterIdle                    COUNTER_IDLE        no ticket is at the counter
    │   ├── SeatTaken                      SEAT_TAKEN          another officer sits there
    │   ├── NotYourSeat               403  NOT_YOUR_SEAT
    │   ├── IssuingClosed                  ISSUING_CLOSED
    │   ├── NumbersExhausted               NUMBERS_EXHAUSTED   the department's daily cap is reached
    │   ├── NobodyServes                   NOBODY_SERVES       no counter serves the service
    │   ├── UndoExpired                    UNDO_EXPIRED
    │   ├── NothingToUndo                  NOTHING_TO_UNDO
    │   ├── TicketElsewhere                TICKET_ELSEWHERE    the ticket is at another counter
    │   ├── DayNotLater                    DAY_NOT_LATER
    │   ├── TooEarlyNoShow                 TOO_EARLY_NO_SHOW   call again first
    │   ├── OfficerNotSeated               OFFICER_NOT_SEATED  who is meant sits at no counter now
    │   ├── AlreadyHere                    ALREADY_HERE        a transfer that would move nobody
    │   ├── RecordMissing                  RECORD_MISSING      the centre wants to know what was done
    │   ├── GroundMissing                  GROUND_MISSING      the centre wants to know why somebody goes first
    │   ├── InboxFull                      INBOX_FULL          too many messages that nobody has read
    │   ├── MediaInUse                     MEDIA_IN_USE        a board shows the picture or film
    │   ├── CodeTaken                      CODE_TAKEN          another dossier has this code
    │   ├── SupplementAgain                SUPPLEMENT_AGAIN    a second time needs a reason
    │   ├── ExtendedAlready                EXTENDED_ALREADY
    │   ├── CauseNeeded                    CAUSE_NEEDED        a late dossier needs a cause
    │   └── StaleCentre                    STALE_CENTRE        the configuration held here is old: read it again
    ├── BadRequest                    400  BAD_REQUEST
    │   ├── Malformed                      MALFORMED
    │   ├── KeyMissing                     KEY_MISSING         no Idempotency-Key
    │   ├── KeyMalformed                   KEY_MALFORMED
    │   ├── KeyReused                 422  KEY_REUSED          same key, another press
    │   ├── TooLarge                  413  TOO_LARGE
    │   ├── UnsupportedType           415  UNSUPPORTED_TYPE
    │   ├── NotAcceptable             406  NOT_ACCEPTABLE
    │   └── MethodNotAllowed          405  METHOD_NOT_ALLOWED
    ├── NotSignedIn                   401  NOT_SIGNED_IN
    │   ├── SignInRequired                 SIGN_IN_REQUIRED
    │   ├── WrongPassword                  WRONG_PASSWORD
    │   ├── SecondFactorRequired           SECOND_FACTOR_REQUIRED
    │   ├── SecondFactorMissing            SECOND_FACTOR_MISSING   a centre wants one, and the account has none
    │   └── NewPasswordRequired            NEW_PASSWORD_REQUIRED
    ├── Forbidden                     403  FORBIDDEN
    │   ├── NotAllowed                     NOT_ALLOWED
    │   └── ForeignOrigin                  FOREIGN_ORIGIN
    ├── Later                     503  LATER               with retry_after_s
    │   ├── TooMany                   429  TOO_MANY            nothing was done
    │   ├── Overloaded                503  OVERLOADED          nothing was done
    │   ├── StoreAway                 503  STORE_AWAY          unknown: repeat with the same key
    │   └── ArchiveAway               503  ARCHIVE_AWAY        unknown: repeat with the same key
    └── Broken                        500  INTERNAL            our mistake; the log has the story

Source: docs/protocol.md, "refusals".
"""

from __future__ import annotations

from typing import ClassVar


class QueueError(Exception):
    """
    A refusal: a stable code, an HTTP status, and a sentence for the person in front of the screen.

    Args:
        detail: names ticket and counter and says what to do; never personal data, never internals.
    """

    code: ClassVar[str] = "REFUSED"
    http_status: ClassVar[int] = 400

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail

    @classmethod
    def title(cls) -> str:
        """The code in words, the same for every instance (RFC 9457 `title`)."""
        return cls.code.replace("_", " ").capitalize()


class NotFound(QueueError):
    """Something named in the address or the body does not exist here."""

    code, http_status = "NOT_FOUND", 404


class UnknownCentre(NotFound):
    """No such centre on this installation."""

    code = "UNKNOWN_CENTRE"


class UnknownDepartment(NotFound):
    """The centre has no such department."""

    code = "UNKNOWN_DEPARTMENT"


class UnknownService(NotFound):
    """The centre has no such service."""

    code = "UNKNOWN_SERVICE"


class UnknownCounter(NotFound):
    """The centre has no such counter."""

    code = "UNKNOWN_COUNTER"


class UnknownTicket(NotFound):
    """The centre has no such ticket today."""

    code = "UNKNOWN_TICKET"


class UnknownBoard(NotFound):
    """The centre has no such board."""

    code = "UNKNOWN_BOARD"


class UnknownMedia(NotFound):
    """The centre has no such picture or film."""

    code = "UNKNOWN_MEDIA"


class UnknownProcedure(NotFound):
    """The catalogue has no such procedure."""

    code = "UNKNOWN_PROCEDURE"


class UnknownDossier(NotFound):
    """No such dossier here, or the secret is not that of its slip; which of the two is not said."""

    code = "UNKNOWN_DOSSIER"


class Conflict(QueueError):
    """The request is well formed, and the hall is not in a state that allows it.  Nothing was done."""

    code, http_status = "CONFLICT", 409


class WrongState(Conflict):
    """The life of the ticket, or of the dossier, has no such step from where it stands."""

    code = "WRONG_STATE"


class CounterBusy(Conflict):
    """A ticket is already called to or served at the counter."""

    code = "COUNTER_BUSY"


class CounterClosed(Conflict):
    """The counter is closed; open it first."""

    code = "COUNTER_CLOSED"


class CounterPaused(Conflict):
    """The counter is paused; open it again first."""

    code = "COUNTER_PAUSED"


class CounterIdle(Conflict):
    """The press needs a ticket at the counter and there is none."""

    code = "COUNTER_IDLE"


class SeatTaken(Conflict):
    """Another officer sits at the counter; taking over is explicit."""

    code = "SEAT_TAKEN"


class NotYourSeat(Conflict):
    """The officer presses at a counter where somebody else, or nobody, sits."""

    code, http_status = "NOT_YOUR_SEAT", 403


class IssuingClosed(Conflict):
    """Tickets are not issued now."""

    code = "ISSUING_CLOSED"


class NumbersExhausted(Conflict):
    """The department's daily cap is reached."""

    code = "NUMBERS_EXHAUSTED"


class NobodyServes(Conflict):
    """No counter of the centre serves the service."""

    code = "NOBODY_SERVES"


class UndoExpired(Conflict):
    """The seconds in which the last press could be taken back are over."""

    code = "UNDO_EXPIRED"


class NothingToUndo(Conflict):
    """The counter has no press that could be taken back."""

    code = "NOTHING_TO_UNDO"


class TicketElsewhere(Conflict):
    """The ticket is at another counter."""

    code = "TICKET_ELSEWHERE"


class DayNotLater(Conflict):
    """A business day only moves forward."""

    code = "DAY_NOT_LATER"


class TooEarlyNoShow(Conflict):
    """The visitor was not called often enough to be marked absent."""

    code = "TOO_EARLY_NO_SHOW"


class OfficerNotSeated(Conflict):
    """The officer who is meant sits at no counter now."""

    code = "OFFICER_NOT_SEATED"


class AlreadyHere(Conflict):
    """The visitor is at this counter for this service already; who should wait here is parked."""

    code = "ALREADY_HERE"


class RecordMissing(Conflict):
    """The centre wants to know what was done; say it, and complete again."""

    code = "RECORD_MISSING"


class GroundMissing(Conflict):
    """The centre has grounds for this class of tickets, and none is named."""

    code = "GROUND_MISSING"


class InboxFull(Conflict):
    """Too many messages lie there that nobody has read; nothing was sent."""

    code = "INBOX_FULL"


class MediaInUse(Conflict):
    """A board shows the picture or film, or would when it goes back to the centre's file."""

    code = "MEDIA_IN_USE"


class CodeTaken(Conflict):
    """Another dossier of the installation has this code."""

    code = "CODE_TAKEN"


class SupplementAgain(Conflict):
    """Missing papers were asked for before; the law wants it once, so a second time needs a reason."""

    code = "SUPPLEMENT_AGAIN"


class ExtendedAlready(Conflict):
    """The dossier has been promised for a later day as often as the centre allows."""

    code = "EXTENDED_ALREADY"


class CauseNeeded(Conflict):
    """The dossier is late, and nobody has said why."""

    code = "CAUSE_NEEDED"


class StaleCentre(Conflict):
    """The caller's configuration is older than the store's; read it again and repeat the press."""

    code = "STALE_CENTRE"


class BadRequest(QueueError):
    """The request cannot be understood.  Nothing was done."""

    code, http_status = "BAD_REQUEST", 400


class Malformed(BadRequest):
    """Body, path or query does not have the documented shape."""

    code = "MALFORMED"


class KeyMissing(BadRequest):
    """A changing request came without an Idempotency-Key."""

    code = "KEY_MISSING"


class KeyMalformed(BadRequest):
    """The Idempotency-Key is not 8 to 200 of [A-Za-z0-9-]."""

    code = "KEY_MALFORMED"


class KeyReused(BadRequest):
    """The key was used before for another press; a new press needs a new key."""

    code, http_status = "KEY_REUSED", 422


class TooLarge(BadRequest):
    """The body is longer than the service reads."""

    code, http_status = "TOO_LARGE", 413


class UnsupportedType(BadRequest):
    """The body is neither JSON nor MessagePack, or is encoded in a way we do not read."""

    code, http_status = "UNSUPPORTED_TYPE", 415


class NotAcceptable(BadRequest):
    """The caller accepts none of the forms we can answer in."""

    code, http_status = "NOT_ACCEPTABLE", 406


class MethodNotAllowed(BadRequest):
    """The address exists; the method does not."""

    code, http_status = "METHOD_NOT_ALLOWED", 405


class NotSignedIn(QueueError):
    """Nobody we know is asking."""

    code, http_status = "NOT_SIGNED_IN", 401


class SignInRequired(NotSignedIn):
    """No valid cookie or token came with the request."""

    code = "SIGN_IN_REQUIRED"


class WrongPassword(NotSignedIn):
    """Name or password is wrong; which of the two is not said."""

    code = "WRONG_PASSWORD"


class SecondFactorRequired(NotSignedIn):
    """Name and password are right; the code of the authenticator must be sent, too."""

    code = "SECOND_FACTOR_REQUIRED"


class SecondFactorMissing(NotSignedIn):
    """A centre wants a second factor of this role, and the account has none: set one up with the sign-in."""

    code = "SECOND_FACTOR_MISSING"


class NewPasswordRequired(NotSignedIn):
    """Name and password are right; the password was made by an administrator, and one's own must be sent, too."""

    code = "NEW_PASSWORD_REQUIRED"


class Forbidden(QueueError):
    """We know who is asking, and the answer is no."""

    code, http_status = "FORBIDDEN", 403


class NotAllowed(Forbidden):
    """The role or the centre of the asker does not cover this."""

    code = "NOT_ALLOWED"


class ForeignOrigin(Forbidden):
    """A browser page of another host tried to press with our cookie."""

    code = "FOREIGN_ORIGIN"


class Later(QueueError):
    """
    Not now; doors answer with `Retry-After`.

    Args:
        retry_after_s: when to come back, in seconds.
    """

    code, http_status = "LATER", 503

    def __init__(self, detail: str, retry_after_s: float = 1.0) -> None:
        super().__init__(detail)
        self.retry_after_s = retry_after_s


class TooMany(Later):
    """One caller asks too often.  Nothing was done."""

    code, http_status = "TOO_MANY", 429


class Overloaded(Later):
    """The service has more work in hand than it can answer in time.  Nothing was done."""

    code = "OVERLOADED"


class StoreAway(Later):
    """The store did not answer: whether the press took effect is unknown, so repeat it with the same key."""

    code = "STORE_AWAY"


class ArchiveAway(Later):
    """The archive did not answer: whether the change took effect is unknown, so repeat it with the same key."""

    code = "ARCHIVE_AWAY"


class Broken(QueueError):
    """A mistake of ours; the caller sees no more than that."""

    code, http_status = "INTERNAL", 500


def _family(root: type[QueueError]) -> dict[str, type[QueueError]]:
    found = {root.code: root}
    for child in root.__subclasses__():
        found |= _family(child)
    return found


CODES: dict[str, type[QueueError]] = _family(QueueError)


def from_code(code: str, detail: str) -> QueueError:
    """
    The error for a refusal that arrived as code and sentence, from the core or from another process.

    Raises:
        LookupError: the code is in no table of ours: core and service are of different versions.
    """
    try:
        return CODES[code](detail)
    except KeyError:
        raise LookupError(f"unknown refusal {code!r} ({detail}); core and service are of different versions") from None
