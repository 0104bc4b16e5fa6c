"""Bytes and values: what goes in comes out, and the configuration's pieces say what the functions read."""

from __future__ import annotations

import msgpack
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders import a_centre, a_ticket
from queue_service import commands
from queue_service.codec import (
    FINGERPRINT_BYTES,
    centre_pieces,
    fingerprint,
    pack,
    pack_command,
    read_event,
    read_record,
    read_ticket,
    unpack,
)
from queue_service.commands import CallNext, Cancel, Configure, IssueTicket, Open, Park, Press, Resume, Transfer
from queue_service.keys import CentreKeys, centre_keys
from queue_service.tickets import Ticket

values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text() | st.floats(allow_nan=False),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@given(values)
def test_what_is_packed_is_unpacked(value):
    """Numbers up to 2**53, text, lists, maps."""
    assert value == unpack(pack(value))


def test_a_command_is_a_map_of_what_was_said():
    """Field names are the words of the functions; what was left out is not sent."""
    assert {"service": "a", "class": "priority"} == unpack(pack_command(IssueTicket(service="a", cls="priority")))
    assert {"counter": "q01"} == unpack(pack_command(Open(counter="q01")))
    assert {"counter": "q01", "take_over": True} == unpack(pack_command(Open(counter="q01", take_over=True)))


def test_packed_pieces_stay_bytes_inside_a_command():
    """The functions store them without looking."""
    piece = pack({"number": 5})
    wish = pack_command(Configure(new_version="v", day="d", epoch="e", pieces={"counter:q01": piece}, file=b"{}"))

    assert {b"counter:q01": piece} == msgpack.unpackb(wish, raw=True)[b"pieces"]


def test_a_fingerprint_tells_presses_apart():
    """By command, by field and by value; equal presses have equal ones."""
    wishes = [
        CallNext(counter="q01"),
        CallNext(counter="q02"),
        Park(counter="q01"),
        Park(counter="q01", reason="a copy"),
        Cancel(ticket="q01"),
        Resume(counter="q01", ticket="t1"),
        Transfer(counter="q01", service="a"),
        Transfer(counter="q01", to_counter="a"),
    ]
    marks = {fingerprint(wish.function, pack_command(wish)) for wish in wishes}

    assert len(wishes) == len(marks)
    assert {FINGERPRINT_BYTES} == {len(mark) for mark in marks}
    assert marks == {fingerprint(wish.function, pack_command(msgspec.structs.replace(wish))) for wish in wishes}


def test_every_functions_name_fits_a_fingerprint():
    """The digest takes sixteen bytes of the name: they must differ."""
    names = {
        command.function
        for command in vars(commands).values()
        if isinstance(command, type) and issubclass(command, commands.Command) and command is not commands.Command
    }

    assert len(names) == len({name[:16] for name in names})


def test_a_record_is_a_ticket():
    """What only the core needs is left out."""
    ticket = a_ticket(counter="q01", rings=2)
    record = {**msgspec.to_builtins(ticket), "group": "a.1", "work_ms": 300_000, "missed": 1}

    assert ticket == read_ticket(read_record(pack(record)))


@pytest.mark.parametrize("nobody", [{}, [], None])
def test_a_ticket_that_names_no_counter(nobody):
    """An empty table leaves Lua as a map."""
    record = {**msgspec.to_builtins(a_ticket()), "counters": nobody}

    assert () == read_ticket(record).counters


def test_a_record_with_less_than_a_ticket_is_refused():
    """A damaged record is no half ticket."""
    with pytest.raises(msgspec.ValidationError):
        read_ticket({"id": "t1"})


def test_every_field_of_a_ticket_is_json_and_back():
    """The door shows tickets as they are."""
    ticket = a_ticket()

    assert ticket == msgspec.json.decode(msgspec.json.encode(ticket), type=Ticket)
    assert "class" in msgspec.to_builtins(ticket)


def test_an_event_is_a_map():
    """As it was recorded."""
    assert {"type": "TicketPrinted", "seq": 7} == read_event(pack({"type": "TicketPrinted", "seq": 7}))


def test_an_envelope_has_what_the_functions_read():
    """A repeat may bring another id for a ticket; the press is still the same."""
    assert {"press_id", "actor", "now_ms", "over", "new_ticket", "wait", "after"} == {
        field.name for field in msgspec.structs.fields(Press)
    }


def test_pieces_of_a_centre():
    """The order of counters and the clusters are decided once, outside the functions."""
    pieces = {
        name: unpack(piece)
        for name, piece in centre_pieces(
            a_centre(
                {"q01": "a", "q02": "a b:2", "q03": "b"},
                modes={"a": "cluster", "b": "department"},
                means={"a": 240},
                kappa=0.5,
            )
        ).items()
    }

    own = {"group": "a.1", "members": ["q01", "q02"]}
    assert {"policy", "service:a", "service:b", "counter:q01", "counter:q02", "counter:q03"} == set(pieces)
    assert {
        "department": {"id": "a", "letter": "A", "cap": 999},
        "mode": "cluster",
        "mean_ms": 240_000,
        "counters": [
            {"id": "q01", "level": 1, "lines": 1, "position": 1, "clusters": [own], "group": "a.1"},
            {"id": "q02", "level": 1, "lines": 2, "position": 2, "clusters": [own], "group": "a.1"},
        ],
        "clusters": [["q01", "q02"]],
    } == pieces["service:a"]
    assert ["q03", "q02"] == [entry["id"] for entry in pieces["service:b"]["counters"]]
    assert {
        "number": 2,
        "zone": "z",
        "lines": [
            {"service": "a", "level": 1, "mode": "cluster", "group": "a.1", "cluster": ["q01", "q02"]},
            {"service": "b", "level": 2, "mode": "department"},
        ],
    } == pieces["counter:q02"]
    assert 0.5 == pieces["policy"]["kappa"]
    assert {"standard": 1_800_000, "priority": 300_000, "appointment": 300_000} == pieces["policy"]["promise_ms"]


def test_keys_share_the_tag_of_their_centre():
    """One slot on a Cluster, and the bell beside them."""
    keys = centre_keys("xa-a")

    assert all(key.startswith("qs:{xa-a}:") for key in (*keys.as_list(), keys.bell))
    assert "qs:{xa-a}:bell" == keys.bell
    assert len(CentreKeys.__slots__) == len(set(keys.as_list())) == 14
