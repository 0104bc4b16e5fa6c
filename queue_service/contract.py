"""
The contract of the HTTP door: one declaration per operation, from which requests are checked and OpenAPI is written.

`@operation(...)` stands above a typed async handler; `register` puts the handlers on an aiohttp application, `openapi`
describes them.  Whatever can be decided from types (decoders, patterns, documents) is decided once, at the start; a
request pays for a lookup and a decode.  It holds no rule of the queue: handlers are fed decoded values, and what they
return is encoded in the form the caller accepts.

A handler takes, by name, what it needs: the segments of its path, and

    body      the decoded body                  press_id   the Idempotency-Key (with press=True)
    query     the decoded query                 identity   who asks (put there by `guard`)
    request   the aiohttp request, for streams  address    where the request comes from

and returns a value to encode (sent with the first status of `answers`), an `Answer`, None for no content, or an aiohttp
response of its own.
"""

from __future__ import annotations

import inspect
import json
import re
import unicodedata
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from functools import lru_cache
from http import HTTPStatus
from typing import Any, Final, NamedTuple, TypeVar, cast

import msgpack
import msgspec
from aiohttp import hdrs, web
from aiohttp.http_exceptions import HttpProcessingError
from msgspec import Meta, Struct
from msgspec import inspect as shapes
from multidict import CIMultiDict
from yarl import URL

from queue_service.authority import ACCOUNT_NAME, NOBODY, Identity, require
from queue_service.centre_file import MEDIA_NAME
from queue_service.commands import PressId
from queue_service.errors import (
    ForeignOrigin,
    KeyMalformed,
    KeyMissing,
    KeyReused,
    Later,
    Malformed,
    NotAcceptable,
    NotAllowed,
    NotFound,
    NotSignedIn,
    Overloaded,
    QueueError,
    SignInRequired,
    StoreAway,
    TooLarge,
    TooMany,
    UnknownBoard,
    UnknownCentre,
    UnknownCounter,
    UnknownDossier,
    UnknownMedia,
    UnknownProcedure,
    UnknownTicket,
    UnsupportedType,
)

JSON: Final = "application/json"
MSGPACK: Final = "application/vnd.msgpack"
PROBLEM: Final = "application/problem+json"
IDEMPOTENCY_KEY: Final = "Idempotency-Key"

MOST_BODY_BYTES: Final = 64 * 1024
"""No request of ours needs more; give it to `web.Application(client_max_size=…)` too, which stops reading early."""
MOST_DEPTH: Final = 32

IDENTITY: Final = web.RequestKey("identity", Identity)
ADDRESS: Final = web.RequestKey("address", str)

SECURITY_HEADERS: Final[Mapping[str, str]] = {
    "Content-Security-Policy": (
        "default-src 'self'; img-src 'self' data:; connect-src 'self'; object-src 'none'; base-uri 'none'; "
        "form-action 'self'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Server": "queue-service",
}
"""On every answer, whatever made it."""

Handler = Callable[..., Awaitable[object]]
H = TypeVar("H", bound=Handler)

_SLUG = r"[a-z0-9](?:[a-z0-9-]{0,30}[a-z0-9])?"
_SEGMENTS: Final = {  # what may stand in a path; everything that is not named here is a slug
    "ticket": r"[A-Za-z0-9_-]{22}",
    "code": r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}",
    "dossier": r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}",
    "user": ACCOUNT_NAME,
    "device": r"[A-Za-z0-9_-]{12}",
    "file": MEDIA_NAME,
}
_UNKNOWN: Final[dict[str, type[NotFound]]] = {
    "centre": UnknownCentre,
    "counter": UnknownCounter,
    "ticket": UnknownTicket,
    "board": UnknownBoard,
    "code": UnknownProcedure,
    "dossier": UnknownDossier,
    "file": UnknownMedia,
}
_KEY = re.compile(r"[A-Za-z0-9-]{8,200}")
_GIVEN = frozenset({"body", "query", "press_id", "identity", "address", "request"})


# ----------------------------------------------------------------------------------------------------------------
# Text from people
# ----------------------------------------------------------------------------------------------------------------

# Controls, line and paragraph separators, marks and overrides of writing direction (they make one name look like
# another), byte order marks, annotation characters, non-characters, tags.  Joiners stay: several scripts need them.
_HARMFUL = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u206f\ufeff\ufff9-\uffff\U000e0000-\U000e007f]"
)


def clean_text(max_length: int, min_length: int = 0) -> Meta:
    """
    The mark of a text typed by people, for `Annotated[str, clean_text(200)]` in a body or query.

    The handler gets it NFC-normalised and trimmed; control characters, direction overrides and texts that are longer or
    shorter, counted after that, are refused.  Allowed directly in a body or query and in Structs inside it, also those
    of lists.
    """
    return Meta(
        extra={"clean": (min_length, max_length)},
        extra_json_schema={"minLength": min_length, "maxLength": max_length},
    )


def _clean(text: str, place: str, min_length: int, max_length: int) -> str:
    if not text.isascii():
        text = unicodedata.normalize("NFC", text)
    text = text.strip()
    if not min_length <= len(text) <= max_length:
        raise Malformed(f"{place}: {min_length} to {max_length} characters, please.")
    if _HARMFUL.search(text):
        raise Malformed(f"{place}: control characters and changes of writing direction are not allowed.")
    return text


_EACH: Final = "*"
"""Stands in the path to a text for every entry of a list."""


def _texts(shape: shapes.Type, place: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], int, int]]:
    """Where the texts to clean are, as attribute paths, and how long they may be."""
    match shape:
        case shapes.Metadata(extra={"clean": (int(shortest), int(longest))}):
            yield place, shortest, longest
        case shapes.Metadata(type=inner):
            yield from _texts(inner, place)
        case shapes.UnionType(types=kinds):
            for kind in kinds:
                yield from _texts(kind, place)
        case shapes.StructType(fields=parts):
            for part in parts:
                yield from _texts(part.type, (*place, part.name))
        case shapes.ListType(item_type=inner) | shapes.VarTupleType(item_type=inner):
            for found in _texts(inner, (*place, _EACH)):
                if found[0][-1] == _EACH:
                    raise TypeError(f"{'.'.join(place)}: clean_text does not reach into lists of texts")
                yield found


class _Cleaner:
    """Cleans the marked texts of a decoded value in place: it is ours alone until the handler sees it."""

    def __init__(self, kind: type[Struct]) -> None:
        self._texts = [
            (path[:-1], path[-1], shortest, longest) for path, shortest, longest in _texts(shapes.type_info(kind))
        ]

    def __call__(self, value: Struct) -> None:
        for way, name, shortest, longest in self._texts:
            for owner in _owners(value, way):
                text = getattr(owner, name, None)
                if isinstance(text, str):
                    cleaned = _clean(text, ".".join((*way, name)), shortest, longest)
                    if cleaned is not text:
                        msgspec.structs.force_setattr(owner, name, cleaned)


def _owners(value: Any, way: tuple[str, ...]) -> Iterator[Any]:
    """Whatever stands at the end of *way*, once for each entry of the lists on it; nothing where a step is None."""
    for place, step in enumerate(way):
        if step == _EACH:
            for entry in value or ():
                yield from _owners(entry, way[place + 1 :])
            return
        value = getattr(value, step, None)
    yield value


# ----------------------------------------------------------------------------------------------------------------
# Forms: JSON and MessagePack
# ----------------------------------------------------------------------------------------------------------------


def _headers(content_type: str) -> CIMultiDict[str]:
    return CIMultiDict({**SECURITY_HEADERS, "Cache-Control": "no-store", "Content-Type": content_type})


class Form(NamedTuple):
    """One way to write an answer."""

    media_type: str
    encode: Callable[[object], bytes]
    headers: CIMultiDict[str]  # copied for each answer, in C: cheaper than seven assignments


_JSON_FORM = Form(JSON, msgspec.json.Encoder().encode, _headers(f"{JSON}; charset=utf-8"))
_MSGPACK_FORM = Form(MSGPACK, msgspec.msgpack.Encoder().encode, _headers(MSGPACK))
_PROBLEM_HEADERS = _headers(PROBLEM)


@lru_cache(maxsize=256)
def _answer_form(accept: str | None) -> Form | None:
    """The form for an Accept header: JSON unless MessagePack is asked for by name and not liked less."""
    if accept is None:
        return _JSON_FORM
    liking = {}
    for part in accept.lower().split(","):
        media_type, *parameters = (word.strip() for word in part.split(";"))
        quality = next((word[2:] for word in parameters if word.startswith("q=")), "1")
        liking[media_type] = float(quality) if re.fullmatch(r"[01](\.\d{0,3})?", quality) else 0.0
    anything = liking.get("application/*", liking.get("*/*", 0.0))
    json_liking = liking.get(JSON, anything)
    msgpack_liking = liking.get(MSGPACK, 0.0)
    if msgpack_liking > 0 and msgpack_liking >= liking.get(JSON, 0.0):
        return _MSGPACK_FORM
    return _JSON_FORM if json_liking > 0 else None


@lru_cache(maxsize=256)
def _body_form(content_type: str) -> str | None:
    """JSON or MSGPACK for a Content-Type header, None for what we do not read (forms and text/plain among them)."""
    media_type, *parameters = (word.strip() for word in content_type.lower().split(";"))
    if media_type == JSON:
        return JSON if all(word in ("", "charset=utf-8", 'charset="utf-8"') for word in parameters) else None
    return MSGPACK if media_type == MSGPACK and not any(parameters) else None


def _unique(pairs: list[tuple[object, object]]) -> dict[object, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a field is given twice")
    return found


_NAMES = re.compile(rb'"([^"\\]*)"\s*:')
_BRACKETS = re.compile(rb'"(?:[^"\\]|\\.)*"?|[\[{]|[\]}]')


def _check_json(body: bytes) -> None:
    """
    Refuse what msgspec lets pass or takes long to refuse: deep nesting, and a field given twice.

    Two readers of `{"a": 1, "a": 2}` may disagree, which is a way around a check.  The exact look costs microseconds,
    so a cheap one that can only err towards suspicion goes first.
    """
    if len(body) > MOST_DEPTH and body.count(b"[") + body.count(b"{") > MOST_DEPTH:
        depth = 0
        for found in _BRACKETS.finditer(body):
            mark = body[found.start()]
            depth += 1 if mark in b"[{" else -1 if mark in b"]}" else 0
            if depth > MOST_DEPTH:
                raise ValueError(f"nested deeper than {MOST_DEPTH}")
    if body.count(b":") > 1:
        names = _NAMES.findall(body)
        if b"\\" in body or len(names) != len(set(names)):
            json.loads(body, object_pairs_hook=_unique)


class _Reader:
    """Reads one type from request bodies."""

    def __init__(self, kind: type[Struct]) -> None:
        self._json = msgspec.json.Decoder(kind).decode
        self._msgpack = msgspec.msgpack.Decoder(kind).decode
        self._clean = _Cleaner(kind)
        try:
            msgspec.convert({}, kind)
        except msgspec.ValidationError:
            self.is_needed = True
        else:
            self.is_needed = False

    async def read(self, request: web.Request) -> Struct:
        content_type = request.headers.get(hdrs.CONTENT_TYPE)
        form = _body_form(content_type) if content_type is not None else None
        if form is not None:
            body = await _bytes_of(request)
        elif request.body_exists or content_type not in _NO_TYPE:
            raise UnsupportedType(f"Send {JSON} or {MSGPACK}.")
        else:
            body = b""
        if not body:
            if self.is_needed:
                raise Malformed("This operation needs a body.")
            body, form = b"{}", JSON
        try:
            if form is JSON:
                _check_json(body)
                value: Struct = self._json(body)
            else:
                msgpack.unpackb(body, object_pairs_hook=_unique)
                value = self._msgpack(body)
        except RecursionError:
            raise Malformed("The body is nested too deeply.") from None
        except (ValueError, TypeError, msgpack.UnpackException) as fault:
            raise Malformed(_sentence("body", fault)) from None
        self._clean(value)
        return value


async def _bytes_of(request: web.Request) -> bytes:
    if hdrs.CONTENT_ENCODING in request.headers:
        # Ours are small: a packed one is a mistake or a bomb.  With `guard.RUNNER_OPTIONS` aiohttp leaves it packed.
        raise UnsupportedType("Send the body as it is, without Content-Encoding.")
    try:
        body = await request.read()
    except web.HTTPRequestEntityTooLarge:
        raise TooLarge(f"A body has at most {MOST_BODY_BYTES} bytes.") from None
    except (web.RequestPayloadError, HttpProcessingError):
        raise Malformed("The body is cut off or broken.") from None
    if len(body) > MOST_BODY_BYTES:
        raise TooLarge(f"A body has at most {MOST_BODY_BYTES} bytes.")
    return body


class _QueryReader:
    """Reads one type from the query part of an address; every field once, no field that is not documented."""

    def __init__(self, kind: type[Struct]) -> None:
        self._kind = kind
        self._clean = _Cleaner(kind)

    def read(self, request: web.Request) -> Struct:
        pairs = request.query
        given = dict(pairs)
        try:
            if len(given) != len(pairs):
                raise ValueError("a field is given twice")
            value: Struct = msgspec.convert(given, self._kind, strict=False)
        except (ValueError, TypeError) as fault:
            raise Malformed(_sentence("query", fault)) from None
        self._clean(value)
        return value


def _sentence(what: str, fault: Exception) -> str:
    text = "not valid UTF-8" if isinstance(fault, UnicodeError) else str(fault).partition("\n")[0] or "broken"
    return f"The {what} is malformed: {text[:200]}."


# ----------------------------------------------------------------------------------------------------------------
# Answers
# ----------------------------------------------------------------------------------------------------------------


class Answer(NamedTuple):
    """
    An answer with more to it than its value.

    Args:
        status: None means the first status of `answers`.
        etag: a version; the answer may then be kept and asked for again, and costs nothing while it is the same.
    """

    value: object
    status: int | None = None
    headers: Mapping[str, str] = {}
    etag: str | None = None


def problem(refusal: QueueError, headers: Mapping[str, str] | None = None) -> web.Response:
    """*refusal* as RFC 9457 problem document."""
    document: dict[str, object] = {
        "type": f"urn:queue-service:problem:{refusal.code.lower().replace('_', '-')}",
        "title": refusal.title(),
        "status": refusal.http_status,
        "detail": refusal.detail,
        "code": refusal.code,
    }
    all_headers = _PROBLEM_HEADERS.copy()
    if isinstance(refusal, Later):
        document["retry_after_s"] = refusal.retry_after_s
        all_headers["Retry-After"] = str(max(1, round(refusal.retry_after_s + 0.499)))
    if isinstance(refusal, NotSignedIn):
        all_headers["WWW-Authenticate"] = "Bearer"
    if headers:
        all_headers.update(headers)
    return web.Response(body=msgspec.json.encode(document), status=refusal.http_status, headers=all_headers)


class Problem(Struct, frozen=True):
    """A refusal (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    retry_after_s: float | None = None


# ----------------------------------------------------------------------------------------------------------------
# Operations
# ----------------------------------------------------------------------------------------------------------------


class Operation(NamedTuple):
    """One operation as declared: see `operation`."""

    method: str
    path: str
    summary: str
    description: str
    name: str
    roles: frozenset[str]
    press: bool
    body: type[Struct] | None
    query: type[Struct] | None
    answers: Mapping[int, Any]
    refusals: tuple[type[QueueError], ...]
    tags: tuple[str, ...]
    issues: bool
    stream: bool
    wants: frozenset[str]

    @property
    def segments(self) -> tuple[str, ...]:
        """The names of the variable segments of the path."""
        return tuple(re.findall(r"\{(\w+)\}", self.path))


class Nothing(Struct, frozen=True, forbid_unknown_fields=True):
    """The body of a change that needs no words: `{}`, or none at all."""


OPERATIONS: Final = web.AppKey("operations", tuple[Operation, ...])
_NO_TYPE = frozenset({None, "application/octet-stream"})  # what clients say of a body that is not there
_MARK = "__operation__"
_CHANGING = frozenset({hdrs.METH_POST, hdrs.METH_PUT, hdrs.METH_PATCH, hdrs.METH_DELETE})


def operation(
    method: str,
    path: str,
    *,
    summary: str,
    roles: Iterable[str] = (),
    press: bool = False,
    body: type[Struct] | None = None,
    query: type[Struct] | None = None,
    answers: Mapping[int, Any],
    refusals: Iterable[type[QueueError]] = (),
    tags: Iterable[str] = (),
    name: str | None = None,
    issues: bool = False,
    stream: bool = False,
) -> Callable[[H], H]:
    """
    Declare the operation that the decorated handler carries out.

    Args:
        path: with segments in braces; those of `_SEGMENTS` have shapes of their own, all others are slugs.
        roles: who may; nobody in particular means everybody.  With `{centre}` in the path, only in that centre.
        press: a change that is repeated safely; needs an Idempotency-Key.
        body, query: Structs that forbid unknown fields; texts in them are marked with `clean_text`.
        answers: status -> type of the value, or None for no content; the first one is what a bare return means.
        refusals: what the handler itself may refuse; what follows from the declaration is added.
        name: the operation's id in documents and metrics; the handler's name unless given.
        issues: hands out tickets, so that `guard` limits how often one device may.
        stream: answers or is told for a long time (WebSocket, SSE, a film): no form is negotiated, no deadline set, and
            the body is the handler's to read.
    """

    def declare(handler: H) -> H:
        declared = Operation(
            method=method.upper(),
            path=path,
            summary=summary,
            description=inspect.cleandoc(handler.__doc__ or ""),
            name=name or handler.__name__,
            roles=frozenset(roles),
            press=press,
            body=Nothing if body is None and method.upper() in _CHANGING and not stream else body,
            query=query,
            answers=answers,
            refusals=tuple(refusals),
            tags=tuple(tags),
            issues=issues,
            stream=stream,
            wants=frozenset(inspect.signature(handler).parameters) - {"self"},
        )
        _check(declared)
        setattr(handler, _MARK, declared)
        return handler

    return declare


def _check(declared: Operation) -> None:
    """Stop a faulty start with a sentence."""
    has = {
        "body": declared.body not in (None, Nothing),
        "query": declared.query is not None,
        "press_id": declared.press,
    }
    if strange := declared.wants - _GIVEN - set(declared.segments):
        raise TypeError(f"{declared.name}: nothing gives the handler {', '.join(sorted(strange))}")
    for what, is_declared in has.items():
        if is_declared != (what in declared.wants):
            raise TypeError(f"{declared.name}: {what} must be both declared and taken by the handler, or neither")
    for kind in (declared.body, declared.query):
        if kind is not None and not kind.__struct_config__.forbid_unknown_fields:
            raise TypeError(f"{declared.name}: {kind.__name__} must forbid unknown fields")


def operation_of(handler: object) -> Operation | None:
    """The operation that an aiohttp handler carries out, or None if it is no part of the contract."""
    return getattr(handler, _MARK, None)


def register(app: web.Application, *doors: object) -> None:
    """
    Put handlers on *app*: declared functions, or objects whose declared methods are all taken.

    May be called once for each application.
    """
    handlers: list[Handler] = []
    for door in doors:
        if operation_of(door) is not None:
            handlers.append(cast(Handler, door))
        else:
            kind = type(door)
            names = (name for name in dir(kind) if operation_of(inspect.getattr_static(kind, name)) is not None)
            handlers.extend(getattr(door, name) for name in names)
    tree = _Addresses()
    declared = []
    for handler in handlers:
        op = cast(Operation, operation_of(handler))
        tree.add(op, _endpoint(op, handler))
        declared.append(op)
    app.router.register_resource(tree)
    app[OPERATIONS] = tuple(declared)


def _endpoint(op: Operation, handler: Handler) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    """The aiohttp handler of one operation; everything that can be looked up before a request comes, is."""
    status = next(iter(op.answers))
    segments = tuple(name for name in op.segments if name in op.wants)
    has_centre = "centre" in op.segments
    roles = op.roles
    read_body = _Reader(op.body).read if op.body is not None else None
    wants_body = "body" in op.wants
    read_query = _QueryReader(op.query).read if op.query is not None else None
    wants_identity, wants_address, wants_request = (
        "identity" in op.wants,
        "address" in op.wants,
        "request" in op.wants,
    )

    async def endpoint(request: web.Request) -> web.StreamResponse:
        match = request.match_info
        identity = request.get(IDENTITY, NOBODY)
        if roles:
            require(identity, roles, match["centre"] if has_centre else None)
        headers = request.headers
        form = _answer_form(headers.get(hdrs.ACCEPT)) if not op.stream else _JSON_FORM
        if form is None:
            raise NotAcceptable(f"We answer in {JSON} or {MSGPACK}.")
        given: dict[str, Any] = {name: match[name] for name in segments}
        if op.press:
            given["press_id"] = _press_id(headers.getall(IDEMPOTENCY_KEY, ()))
        if read_query is not None:
            given["query"] = read_query(request)
        elif not op.stream and request.query_string:
            raise Malformed("This operation takes no query.")
        if read_body is not None:
            body = await read_body(request)
            if wants_body:
                given["body"] = body
        if wants_identity:
            given["identity"] = identity
        if wants_address:
            given["address"] = request.get(ADDRESS) or request.remote or ""
        if wants_request:
            given["request"] = request
        value = await handler(**given)
        if isinstance(value, web.StreamResponse):
            return value
        if value is None or isinstance(value, Answer):
            return _answer(value or Answer(None), form, status, request)
        return web.Response(body=form.encode(value), status=status, headers=form.headers.copy())

    setattr(endpoint, _MARK, op)
    return endpoint


def _answer(answer: Answer, form: Form, status: int, request: web.Request) -> web.Response:
    headers = form.headers.copy()
    headers.update(answer.headers)
    if answer.etag is not None:
        etag = f'"{answer.etag}.{"m" if form is _MSGPACK_FORM else "j"}"'
        headers.update({"ETag": etag, "Cache-Control": "no-cache", "Vary": "Accept"})
        if etag in (word.strip().removeprefix("W/") for word in request.headers.get("If-None-Match", "").split(",")):
            del headers["Content-Type"]
            return web.Response(status=304, headers=headers)
    if answer.value is None:
        del headers["Content-Type"]
        return web.Response(status=answer.status or status, headers=headers)
    return web.Response(body=form.encode(answer.value), status=answer.status or status, headers=headers)


def _press_id(keys: Iterable[str]) -> PressId:
    given = list(keys)
    if len(given) == 1 and _KEY.fullmatch(given[0]):
        return PressId(given[0])
    if not given:
        raise KeyMissing(f"A change needs the header {IDEMPOTENCY_KEY}: one new key for each press.")
    raise KeyMalformed(f"{IDEMPOTENCY_KEY} is given once and is 8 to 200 of A-Z, a-z, 0-9 and hyphen.")


class _Place:
    """One step in the tree of addresses."""

    __slots__ = ("allowed", "methods", "name", "pattern", "variable", "words")

    def __init__(self) -> None:
        self.words: dict[str, _Place] = {}
        self.variable: _Place | None = None
        self.name = ""
        self.pattern: re.Pattern[str] = re.compile("")
        self.methods: dict[str, web.ResourceRoute] = {}
        self.allowed: set[str] = set()


class _Addresses(web.AbstractResource):
    """
    All addresses of the contract as one tree of segments.

    aiohttp tries the resources below `/api/v1/centres/` one after another, 1.2 µs each: 38 µs for the thirtieth, which
    is more than the rest of a press.  The tree takes 2 µs for each of them.
    """

    def __init__(self) -> None:
        super().__init__()
        self._find = lru_cache(maxsize=1024)(self._search)  # a building presses at few addresses, again and again
        self._root = _Place()
        self._routes: list[web.AbstractRoute] = []

    def add(self, op: Operation, endpoint: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> None:
        """Put *endpoint* at its address."""
        place = self._root
        for segment in op.path.split("/"):
            if not segment.startswith("{"):
                place = place.words.setdefault(segment, _Place())
                continue
            name = segment.strip("{}")
            if place.variable is None:
                place.variable = _Place()
                place.name, place.pattern = name, re.compile(_SEGMENTS.get(name, _SLUG))
            elif place.name != name:
                raise ValueError(f"{op.path}: {{{name}}} stands where another path has {{{place.name}}}")
            place = place.variable
        if op.method in place.methods:
            raise ValueError(f"{op.method} {op.path} is declared twice")
        route = web.ResourceRoute(op.method, endpoint, self)
        place.methods[op.method] = route
        if op.method == hdrs.METH_GET and not op.stream:
            place.methods.setdefault(hdrs.METH_HEAD, route)
        place.allowed = set(place.methods)
        self._routes.append(route)

    def _search(self, path: str) -> tuple[_Place, dict[str, str]] | None:
        place = self._root
        found: dict[str, str] = {}
        for segment in path.split("/"):
            following = place.words.get(segment)
            if following is None:
                following = place.variable
                if following is None or not place.pattern.fullmatch(segment):
                    return None
                found[place.name] = segment
            place = following
        return place, found

    async def resolve(self, request: web.Request) -> tuple[web.UrlMappingMatchInfo | None, set[str]]:
        """Find the route for the request, or say which methods its address knows."""
        found = self._find(request.rel_url.raw_path)
        if found is None:
            return None, set()
        place, values = found
        route = place.methods.get(request.method)
        return (web.UrlMappingMatchInfo(values, route) if route is not None else None), place.allowed

    @property
    def canonical(self) -> str:
        """Where aiohttp looks for this resource: everywhere."""
        return "/"

    def url_for(self, **kwargs: str) -> URL:
        """Addresses are written in `docs/protocol.md`, not made here."""
        raise NotImplementedError(f"no address is made from {kwargs}")

    def add_prefix(self, prefix: str) -> None:
        """The contract's addresses are whole; it is no part of a sub-application."""
        raise NotImplementedError(f"addresses cannot be moved below {prefix}")

    def get_info(self) -> Any:
        """What aiohttp's own listing shows."""
        return {"path": self.canonical}

    def raw_match(self, path: str) -> bool:
        """Whether *path* is one of the contract's."""
        found = self._find(path)
        return found is not None and bool(found[0].methods)

    def __len__(self) -> int:
        return len(self._routes)

    def __iter__(self) -> Iterator[web.AbstractRoute]:
        return iter(self._routes)


# ----------------------------------------------------------------------------------------------------------------
# The document
# ----------------------------------------------------------------------------------------------------------------


def openapi(app: web.Application, *, title: str = "Queue service", version: str = "1") -> dict[str, Any]:
    """The OpenAPI 3.1 document of everything registered on *app*, made from the types that check the requests."""
    operations = app[OPERATIONS]
    kinds: list[Any] = [Problem]
    for op in operations:
        kinds.extend(kind for kind in (op.body, *op.answers.values()) if kind is not None and kind not in kinds)
    schemas, components = msgspec.json.schema_components(kinds, ref_template="#/components/schemas/{name}")

    def schema_of(kind: Any) -> dict[str, Any] | None:
        return schemas[kinds.index(kind)] if kind is not None else None

    paths: dict[str, dict[str, Any]] = {}
    for op in operations:
        described: dict[str, Any] = {
            "operationId": op.name,
            "summary": op.summary,
            "tags": list(op.tags),
            "parameters": list(_parameters(op)),
            "responses": {
                **{str(status): _response(status, schema_of(kind)) for status, kind in op.answers.items()},
                **_refusals(op),
            },
            "security": [{"cookie": []}, {"bearer": []}] if op.roles else [],
        }
        if op.description:
            described["description"] = op.description
        if op.roles:
            described["x-roles"] = sorted(op.roles)
        if op.body is not None:
            schema = schema_of(op.body)
            described["requestBody"] = {
                "required": _Reader(op.body).is_needed,
                "content": {JSON: {"schema": schema}, MSGPACK: {"schema": schema}},
            }
        paths.setdefault(op.path, {})[op.method.lower()] = described
    document = {
        "openapi": "3.1.0",
        "info": {"title": title, "version": version},
        "servers": [{"url": "/"}],
        "tags": [{"name": tag} for tag in sorted({tag for op in operations for tag in op.tags})],
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {
                "cookie": {"type": "apiKey", "in": "cookie", "name": "qs_staff"},
                "bearer": {"type": "http", "scheme": "bearer"},
            },
        },
    }
    return cast(dict[str, Any], _portable(document))


def _parameters(op: Operation) -> Iterator[dict[str, Any]]:
    for name in op.segments:
        pattern = f"^{_SEGMENTS.get(name, _SLUG)}$"
        yield {"name": name, "in": "path", "required": True, "schema": {"type": "string", "pattern": pattern}}
    if op.query is not None:
        (_, definitions) = msgspec.json.schema_components([op.query])
        schema = definitions[op.query.__name__]
        for name, field in schema["properties"].items():
            yield {"name": name, "in": "query", "required": name in schema["required"], "schema": field}
    if op.press:
        yield {
            "name": IDEMPOTENCY_KEY,
            "in": "header",
            "required": True,
            "description": "One new key for each press; repeat a press with the same key and get the first answer.",
            "schema": {"type": "string", "pattern": f"^{_KEY.pattern}$"},
        }


def _response(status: int, schema: dict[str, Any] | None) -> dict[str, Any]:
    response: dict[str, Any] = {"description": HTTPStatus(status).phrase}
    if schema is not None:
        response["content"] = {JSON: {"schema": schema}, MSGPACK: {"schema": schema}}
    return response


def _refusals(op: Operation) -> dict[str, Any]:
    """What the operation may refuse, by status; all of it in the same form."""
    kinds: set[type[QueueError]] = {*op.refusals, Malformed, NotAcceptable, TooMany, Overloaded, StoreAway}
    kinds.add(SignInRequired)  # whoever sends a token sends a good one, also where none is needed
    if op.segments:
        kinds.add(NotFound)  # a segment that is no slug leads nowhere
        kinds.update(_UNKNOWN.get(name, NotFound) for name in op.segments)
    if op.roles:
        kinds.add(NotAllowed)
    if op.method in _CHANGING:
        kinds.add(ForeignOrigin)
    if op.body is not None:
        kinds |= {TooLarge, UnsupportedType}
    if op.press:
        kinds |= {KeyMissing, KeyMalformed, KeyReused}
    codes: dict[int, list[str]] = {}
    for kind in kinds:
        codes.setdefault(kind.http_status, []).append(kind.code)
    return {
        str(status): {
            "description": ", ".join(sorted(codes[status])),
            "content": {
                PROBLEM: {
                    "schema": {
                        "allOf": [
                            {"$ref": "#/components/schemas/Problem"},
                            {"properties": {"code": {"enum": sorted(codes[status])}}},
                        ]
                    }
                }
            },
        }
        for status in sorted(codes)
    }


def _portable(value: Any) -> Any:
    """Python's \\A and \\Z in patterns as ^ and $, which every reader of JSON Schema knows."""
    match value:
        case dict():
            return {
                key: part.replace(r"\A", "^").replace(r"\Z", "$")
                if key == "pattern" and isinstance(part, str)
                else _portable(part)
                for key, part in value.items()
            }
        case list():
            return [_portable(part) for part in value]
    return value
