"""The contract without a network: declarations, addresses, forms, texts and the OpenAPI document."""

from __future__ import annotations

import json
from typing import Annotated

import msgspec
import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Meta, Struct
from openapi_spec_validator import OpenAPIV31SpecValidator

from queue_service import contract
from queue_service.authority import Identity
from queue_service.commands import PressId
from queue_service.contract import (
    IDENTITY,
    JSON,
    MSGPACK,
    Answer,
    _Cleaner,
    clean_text,
    openapi,
    operation,
    operation_of,
    problem,
    register,
)
from queue_service.errors import (
    KeyMalformed,
    KeyMissing,
    Malformed,
    NotAcceptable,
    NotAllowed,
    SignInRequired,
    TooMany,
    UnknownTicket,
    WrongState,
)

TICKET = "abcdefghijklmnopqrstuv"
KIOSK = Identity(name="device:k1", roles=frozenset({"kiosk"}), centres=frozenset({"demo-xa"}), kind="device")

BOARD = Identity(name="device:b1", roles=frozenset({"board"}), centres=frozenset({"demo-xa"}), kind="device")


class Wish(Struct, frozen=True, forbid_unknown_fields=True):
    service: Annotated[str, Meta(pattern=r"\A[a-z-]{1,32}\Z")]
    note: Annotated[str, clean_text(10)] | None = None


class Search(Struct, frozen=True, forbid_unknown_fields=True):
    q: Annotated[str, clean_text(20, 2)]
    limit: Annotated[int, Meta(ge=1, le=100)] = 20


class Slip(Struct, frozen=True):
    number: str
    note: str | None = None


class Hits(Struct, frozen=True):
    q: str
    limit: int


class Door:
    """A small door with one of everything."""

    @operation(
        "POST",
        "/api/v1/centres/{centre}/tickets",
        summary="Issue a ticket",
        roles=("kiosk", "desk"),
        press=True,
        body=Wish,
        answers={201: Slip},
        tags=("tickets",),
        issues=True,
    )
    async def issue(self, centre: str, body: Wish, press_id: PressId, identity: Identity) -> Slip:
        """The longer story."""
        return Slip(f"{centre} {body.service} {press_id} {identity.name}", body.note)

    @operation("GET", "/api/v1/centres/{centre}/tickets/{ticket}", summary="A ticket", answers={200: Slip})
    async def ticket(self, ticket: str) -> Slip:
        raise UnknownTicket(f"There is no ticket {ticket} today.")

    @operation(
        "POST",
        "/api/v1/centres/{centre}/tickets/{ticket}/cancel",
        summary="Give up a place",
        press=True,
        answers={200: Slip},
        refusals=(WrongState,),
    )
    async def cancel(self, ticket: str, press_id: PressId) -> Slip:
        return Slip(ticket)

    @operation("GET", "/api/v1/procedures", summary="Search", query=Search, answers={200: Hits})
    async def search(self, query: Search) -> Hits:
        return Hits(query.q, query.limit)

    @operation("GET", "/api/v1/centres/{centre}", summary="A centre", answers={200: Slip})
    async def centre(self, centre: str) -> Answer:
        return Answer(Slip(centre), etag="v7", headers={"X-Colour": "red"})

    @operation("DELETE", "/api/v1/session", summary="Sign out", answers={204: None})
    async def sign_out(self) -> None:
        return None

    @operation("GET", "/api/v1/boards", summary="Boards", answers={200: list[Slip]}, stream=True)
    async def boards(self, request: web.Request) -> web.StreamResponse:
        return web.Response(text=request.query_string)


@pytest.fixture
def app() -> web.Application:
    app = web.Application()
    register(app, Door())
    return app


async def ask(
    app: web.Application, method: str, path: str, identity: Identity | None = None, **headers: str
) -> web.Response:
    """What the app answers to a request without a body, or the refusal it raises."""
    request = make_mocked_request(
        method, path, headers={name.replace("_", "-"): value for name, value in headers.items()}, app=app
    )
    if identity is not None:
        request[IDENTITY] = identity
    match = await app.router.resolve(request)
    match.add_app(app)
    request._match_info = match
    answer = await match.handler(request)
    assert isinstance(answer, web.Response)
    return answer


# Addresses


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/centres/demo-xa/tickets/",
        "/api/v1/centres/demo-xa/tickets/short",
        f"/api/v1/centres/Demo/tickets/{TICKET}",
        f"/api/v1/centres/demo%2Fxa/tickets/{TICKET}",
        f"/api/v1/centres/demo-xa-/tickets/{TICKET}",
        f"/api/v1/centres/{'a' * 33}/tickets/{TICKET}",
        f"/api/v1/centres/demo-xa/tickets/{TICKET}%0A",
        "/api/v1/centres",
        "/api/v1//centres/demo-xa",
    ],
)
async def test_what_is_no_address_is_not_found(app, path):
    """Ids of the wrong shape never reach a handler."""
    with pytest.raises(web.HTTPNotFound):
        await ask(app, "GET", path)


async def test_an_address_knows_its_methods(app):
    """405 says which ones there are, HEAD included where there is a GET."""
    with pytest.raises(web.HTTPMethodNotAllowed) as refusal:
        await ask(app, "PUT", f"/api/v1/centres/demo-xa/tickets/{TICKET}")

    assert "GET,HEAD" == refusal.value.headers["Allow"]


async def test_other_resources_keep_their_place(app):
    """The tree takes only its own addresses; pages and assets are found as ever."""

    async def page(_request: web.Request) -> web.Response:
        return web.Response(text="page")

    app.router.add_get("/", page)
    app.router.add_get("/kiosk/{centre}/{kiosk}", page)

    assert "page" == (await ask(app, "GET", "/")).text
    assert "page" == (await ask(app, "GET", "/kiosk/demo-xa/k1")).text


def test_two_operations_at_one_address_stop_the_start():
    with pytest.raises(ValueError, match="declared twice"):
        register(web.Application(), Door(), Door())


# Declarations


def test_a_handler_that_wants_what_nobody_gives_stops_the_start():
    with pytest.raises(TypeError, match="nothing gives the handler colour"):

        @operation("GET", "/x", summary="x", answers={200: Slip})
        async def x(colour: str) -> Slip: ...


def test_a_declared_body_that_nobody_takes_stops_the_start():
    with pytest.raises(TypeError, match="body must be both declared and taken"):

        @operation("POST", "/x", summary="x", body=Wish, answers={200: Slip})
        async def x() -> Slip: ...


def test_a_body_that_lets_unknown_fields_pass_stops_the_start():
    with pytest.raises(TypeError, match="Slip must forbid unknown fields"):

        @operation("POST", "/x", summary="x", body=Slip, answers={200: Slip})
        async def x(body: Slip) -> Slip: ...


def test_texts_in_lists_stop_the_start():
    """They would not be cleaned."""

    class Notes(Struct, forbid_unknown_fields=True):
        notes: list[Annotated[str, clean_text(5)]]

    @operation("POST", "/x", summary="x", body=Notes, answers={200: Slip})
    async def x(body: Notes) -> Slip: ...

    with pytest.raises(TypeError, match="does not reach into lists"):
        register(web.Application(), x)


class Note(Struct, forbid_unknown_fields=True):
    text: Annotated[str, clean_text(5)]


class Notes(Struct, forbid_unknown_fields=True):
    notes: tuple[Note, ...] = ()
    more: tuple[Note, ...] | None = None


def test_texts_of_things_in_lists_are_cleaned():
    """Wherever they stand, and none is forgotten."""

    clean = _Cleaner(Notes)
    notes = Notes((Note(" a "), Note("e\u0302 ")), (Note("b "),))
    clean(notes)
    assert Notes((Note("a"), Note("ê")), (Note("b"),)) == notes
    clean(Notes())
    for faulty in (Notes((Note("a"), Note("123456"))), Notes(more=(Note("\u202e"),))):
        with pytest.raises(Malformed):
            clean(faulty)


# Who, what and in which form


async def test_a_press_needs_somebody_of_the_role_in_the_centre(app):
    """401 for nobody, 403 for the wrong role or the wrong centre, in that order and before the body is looked at."""
    with pytest.raises(SignInRequired):
        await ask(app, "POST", "/api/v1/centres/demo-xa/tickets")
    with pytest.raises(NotAllowed):
        await ask(app, "POST", "/api/v1/centres/demo-tinh/tickets", KIOSK)
    with pytest.raises(NotAllowed):
        await ask(app, "POST", "/api/v1/centres/demo-xa/tickets", BOARD)


@pytest.mark.parametrize("key", ["", "short", "a" * 201, "with space", "ümlaut-key", "under_score", "a1b2c3d4\n"])
async def test_a_key_of_the_wrong_shape_is_refused(app, key):
    with pytest.raises(KeyMalformed):
        contract._press_id([key])


async def test_a_press_needs_one_key(app):
    """None and two are refused; 8 and 200 characters are fine."""
    with pytest.raises(KeyMissing):
        await ask(app, "POST", f"/api/v1/centres/demo-xa/tickets/{TICKET}/cancel")
    with pytest.raises(KeyMalformed):
        contract._press_id(["a" * 8, "b" * 8])

    assert ["a" * 8, "b" * 200] == [contract._press_id(["a" * 8]), contract._press_id(["b" * 200])]


async def test_a_press_without_words_needs_no_body(app):
    answer = await ask(app, "POST", f"/api/v1/centres/demo-xa/tickets/{TICKET}/cancel", Idempotency_Key="12345678")

    assert (200, {"number": TICKET, "note": None}) == (answer.status, json.loads(answer.body))


async def test_a_needed_body_is_asked_for(app):
    with pytest.raises(Malformed, match="needs a body"):
        await ask(app, "POST", "/api/v1/centres/demo-xa/tickets", KIOSK, Idempotency_Key="12345678")


async def test_a_query_is_typed_and_cleaned(app):
    answer = await ask(app, "GET", "/api/v1/procedures?q=%20khai%20sinh&limit=5")

    assert {"q": "khai sinh", "limit": 5} == json.loads(answer.body)


@pytest.mark.parametrize(
    "query",
    [
        "",
        "q=a",
        "q=khai&limit=0",
        "q=khai&limit=x",
        "q=khai&limit=" + "9" * 50,
        "q=khai&page=2",
        "q=a%00b",
        "q=aa&q=bb",
    ],
)
async def test_a_query_of_the_wrong_shape_is_refused(app, query):
    with pytest.raises(Malformed):
        await ask(app, "GET", f"/api/v1/procedures?{query}")


async def test_a_query_where_none_is_known_is_refused(app):
    with pytest.raises(Malformed, match="no query"):
        await ask(app, "GET", "/api/v1/centres/demo-xa?verbose=1")


async def test_a_version_seen_before_costs_nothing(app):
    """The ETag differs between forms, and 304 has no body."""
    first = await ask(app, "GET", "/api/v1/centres/demo-xa")
    again = await ask(app, "GET", "/api/v1/centres/demo-xa", If_None_Match=f'"x", W/{first.headers["ETag"]}')
    other = await ask(app, "GET", "/api/v1/centres/demo-xa", Accept=MSGPACK, If_None_Match=first.headers["ETag"])

    assert (200, '"v7.j"', "red", "no-cache") == (
        first.status,
        first.headers["ETag"],
        first.headers["X-Colour"],
        first.headers["Cache-Control"],
    )
    assert (304, None) == (again.status, again.body)
    assert (200, "demo-xa") == (other.status, msgspec.msgpack.decode(other.body)["number"])


async def test_no_content_has_no_type(app):
    answer = await ask(app, "DELETE", "/api/v1/session")

    assert (204, None) == (answer.status, answer.body)


async def test_a_stream_answers_for_itself(app):
    answer = await ask(app, "GET", "/api/v1/boards?x=1", Accept="text/event-stream")

    assert "x=1" == answer.text


@pytest.mark.parametrize(
    ("accept", "form"),
    [
        (None, JSON),
        ("*/*", JSON),
        ("application/json", JSON),
        ("text/html,application/xhtml+xml,*/*;q=0.8", JSON),
        ("application/vnd.msgpack", MSGPACK),
        ("application/vnd.msgpack, application/json;q=0.5", MSGPACK),
        ("application/json, application/vnd.msgpack;q=0.9", JSON),
        ("application/vnd.msgpack;q=0, application/json", JSON),
        ("APPLICATION/*", JSON),
        ("text/html", None),
        ("application/json;q=0", None),
        ("application/json;q=nan", None),
        (",;,=;q", None),
    ],
)
def test_the_caller_chooses_the_form(accept, form):
    found = contract._answer_form(accept)

    assert form == (found.media_type if found else None)


async def test_a_form_we_do_not_have_is_refused_before_anything_is_done(app):
    with pytest.raises(NotAcceptable):
        await ask(app, "GET", "/api/v1/centres/demo-xa", Accept="text/html")


@pytest.mark.parametrize(
    ("content_type", "form"),
    [
        ("application/json", JSON),
        ("application/json; charset=UTF-8", JSON),
        ("application/vnd.msgpack", MSGPACK),
        ("application/json; charset=utf-16", None),
        ("application/vnd.msgpack; charset=utf-8", None),
        ("text/plain", None),
        ("application/x-www-form-urlencoded", None),
        ("multipart/form-data; boundary=x", None),
        ("application/json, text/plain", None),
        ("", None),
    ],
)
def test_only_two_forms_are_read(content_type, form):
    assert form == contract._body_form(content_type)


# Texts from people


def cleaned(text: str, longest: int = 10) -> str:
    return contract._clean(text, "note", 0, longest)


def test_text_is_composed_and_trimmed():
    """What is counted is what is kept: ten letters that came decomposed are ten letters."""
    assert "Nguyễn" == cleaned("  Nguye\u0302\u0303n ")
    assert "ế" * 10 == cleaned("e\u0302\u0301" * 10)


@pytest.mark.parametrize(
    "text",
    [
        "a\x00b",
        "a\nb",
        "a\x1b[2Jb",
        "a\x7fb",
        "a\x85b",
        "\u202eabc",
        "a\u2066b",
        "\u200fa",
        "a\ufeffb",
        "\U000e0041a",
        "a\uffff",
    ],
)
def test_characters_that_deceive_are_refused(text):
    with pytest.raises(Malformed, match="note: control characters"):
        cleaned(text)


@pytest.mark.parametrize("text", ["<b>x</b>", "=1+1", "'; DROP", "ខ្មែរ", "👩‍👩‍👧", "{{x}}", "a/../b"])
def test_characters_that_only_look_dangerous_are_kept(text):
    """Pages show text as text; nothing is lost here."""
    assert text == cleaned(text)


def test_a_text_that_is_too_long_is_refused():
    with pytest.raises(Malformed, match="note: 0 to 10 characters"):
        cleaned("a" * 11)


@given(st.text(max_size=12))
def test_clean_text_is_clean_already(text):
    """Cleaning twice is cleaning once."""
    try:
        once = cleaned(text, 50)
    except Malformed:
        return
    assert once == cleaned(once, 50)


# Bodies that two readers would read differently, or that nobody should read


@pytest.mark.parametrize(
    "body",
    [
        b'{"a":1,"a":2}',
        b'{"a":1,"\\u0061":2}',
        b'{"a":{"b":1,"b":2}}',
        b"[" * 33,
        b'{"a":' * 40 + b"1" + b"}" * 40,
        b'{"x":"\\"","a":' + b"[" * 40,
    ],
)
def test_ambiguous_or_deep_json_is_refused(body):
    with pytest.raises(ValueError, match=r"twice|nested|Expecting"):
        contract._check_json(body)


@pytest.mark.parametrize(
    "body",
    [
        b'{"a":{"b":1},"c":{"b":2}}',
        b'{"note":"' + b"[{" * 100 + b'"}',
        b"[" + b",".join([b"[]"] * 100) + b"]",
        b'{"a":"b:\\"a\\":","c":":"}',
    ],
)
def test_json_that_only_looks_ambiguous_or_deep_passes(body):
    contract._check_json(body)


@given(st.recursive(st.text() | st.integers() | st.none(), lambda inner: st.dictionaries(st.text(), inner, max_size=4)))
def test_proper_json_is_never_suspected_for_good(value):
    contract._check_json(json.dumps(value).encode())
    contract._check_json(json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass"))


# Documents


def test_a_problem_says_what_and_how_long():
    answer = problem(TooMany("Wait.", 2.2), {"X-More": "1"})

    assert (429, "application/problem+json", "3", "1") == (
        answer.status,
        answer.content_type,
        answer.headers["Retry-After"],
        answer.headers["X-More"],
    )
    assert {
        "type": "urn:queue-service:problem:too-many",
        "title": "Too many",
        "status": 429,
        "detail": "Wait.",
        "code": "TOO_MANY",
        "retry_after_s": 2.2,
    } == json.loads(answer.body)


def test_the_document_is_valid_openapi(app):
    OpenAPIV31SpecValidator(openapi(app)).validate()


def test_the_document_says_everything_about_an_operation(app):
    """Path, key, body in both forms, answers, refusals by status, who may."""
    described = openapi(app)["paths"]["/api/v1/centres/{centre}/tickets"]["post"]

    assert ("issue", "The longer story.", ["desk", "kiosk"]) == (
        described["operationId"],
        described["description"],
        described["x-roles"],
    )
    assert ["centre", "Idempotency-Key"] == [parameter["name"] for parameter in described["parameters"]]
    assert {JSON, MSGPACK} == set(described["requestBody"]["content"])
    assert {"201", "400", "401", "403", "404", "406", "413", "415", "422", "429", "503"} == set(described["responses"])
    assert "KEY_MALFORMED, KEY_MISSING, MALFORMED" == described["responses"]["400"]["description"]
    assert [{"cookie": []}, {"bearer": []}] == described["security"]


def test_the_document_knows_the_bounds_of_texts_and_patterns_for_every_reader(app):
    document = openapi(app)
    wish = document["components"]["schemas"]["Wish"]["properties"]

    assert "^[a-z-]{1,32}$" == wish["service"]["pattern"]
    assert {"type": "string", "minLength": 0, "maxLength": 10} in wish["note"]["anyOf"]
    query = document["paths"]["/api/v1/procedures"]["get"]["parameters"]
    assert [("q", True), ("limit", False)] == [(field["name"], field["required"]) for field in query]


def test_an_operation_is_found_on_its_handler(app):
    """Guards and metrics read it there."""
    routes = {operation_of(route.handler).name: route.method for route in app.router.routes()}

    assert "POST" == routes["issue"]
    assert operation_of(problem) is None
