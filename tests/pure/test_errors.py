"""Refusals: the drawn tree is the real one, and a code leads back to its class."""

from __future__ import annotations

import inspect
import re

import pytest

from queue_service import errors
from queue_service.errors import CODES, Later, QueueError, StoreAway, WrongState, from_code


def tree(root: type[QueueError], depth: int = 0) -> list[tuple[int, str, int, str]]:
    """Depth, name, status and code of *root* and everything below, as the docstring draws them."""
    found = [(depth, root.__name__, root.http_status, root.code)]
    for child in root.__subclasses__():
        found += tree(child, depth + 1)
    return found


def test_the_drawn_tree_is_the_real_one():
    """Each class stands in the module's docstring under its parent, with its code, and its status where that is new."""
    drawn = []
    statuses: list[int] = []
    for line in inspect.getdoc(errors).splitlines():
        if not (match := re.fullmatch(r" {4}((?:[│ ]   )*(?:[├└]── )?)(\w+) +(\d{3})? +([A-Z_]+)(?: +.*)?", line)):
            continue
        depth = len(match[1]) // 4
        statuses[depth:] = [int(match[3]) if match[3] else statuses[depth - 1]]
        drawn.append((depth, match[2], statuses[depth], match[4]))

    assert tree(QueueError) == drawn


def test_every_class_has_a_code_of_its_own():
    """No code means two things."""
    names = [name for _, name, _, _ in tree(QueueError)]

    assert len(CODES) == len(names)
    assert sorted(names) == sorted(kind.__name__ for kind in CODES.values())


def test_every_refusal_is_an_error_status_and_a_sentence_can_be_given():
    """Doors never answer a refusal with a success."""
    for code, kind in CODES.items():
        refusal = kind("Ticket A012 is at counter 5.")

        assert 400 <= refusal.http_status <= 599
        assert code == refusal.code
        assert "Ticket A012 is at counter 5." == refusal.detail == str(refusal)


def test_a_code_from_the_core_leads_to_its_class():
    """The sentence stays as the core wrote it."""
    refusal = from_code("WRONG_STATE", "Ticket A012 is served already.")

    assert isinstance(refusal, WrongState)
    assert ("Ticket A012 is served already.", "Wrong state") == (refusal.detail, refusal.title())


def test_an_unknown_code_is_no_refusal():
    """It means that core and service are of different versions, which nobody at a counter can mend."""
    with pytest.raises(LookupError, match="FROBBED"):
        from_code("FROBBED", "What?")


def test_what_is_refused_for_now_says_for_how_long():
    """Retry-After is never forgotten."""
    assert 1.0 == StoreAway("Gone.").retry_after_s
    assert 2.5 == Later("Later.", 2.5).retry_after_s
