"""Codes of authenticators, as RFC 6238 prints them."""

from __future__ import annotations

import base64
import re

import pytest

from queue_service.second_factor import SECRET, STEP_MS, address, code_at, new_secret, step_of

PRINTED = base64.b32encode(b"12345678901234567890").decode()
"""The secret of RFC 6238, appendix B."""
NOW = 1_795_000_000_000


@pytest.mark.parametrize(
    ("second", "code"),
    [
        (59, "287082"),
        (1111111109, "081804"),
        (1111111111, "050471"),
        (1234567890, "005924"),
        (2000000000, "279037"),
        (20000000000, "353130"),
    ],
)
def test_codes_are_those_of_the_standard(second, code):
    """The last six of the eight digits of its table for SHA-1."""
    assert code == code_at(PRINTED, second // 30)


def test_a_code_is_good_for_its_half_minute_and_the_neighbours():
    """Clocks of phones differ."""
    step = NOW // STEP_MS
    found = [step_of(PRINTED, code_at(PRINTED, step + away), NOW) for away in (-2, -1, 0, 1, 2)]

    assert [None, step - 1, step, step + 1, None] == found


def test_a_used_code_and_those_before_it_are_worth_nothing():
    step = NOW // STEP_MS

    assert step_of(PRINTED, code_at(PRINTED, step), NOW, used=step) is None
    assert step_of(PRINTED, code_at(PRINTED, step - 1), NOW, used=step) is None
    assert step + 1 == step_of(PRINTED, code_at(PRINTED, step + 1), NOW, used=step)


@pytest.mark.parametrize("code", ["", "00000", "0000000", "abcdef", "１２３４５６", "-12345"])
def test_what_is_no_code_is_refused(code):
    assert step_of(PRINTED, code, NOW) is None


def test_secrets_are_new_and_of_the_documented_shape():
    made = {new_secret() for _ in range(50)}

    assert 50 == len(made)
    assert all(re.fullmatch(SECRET, secret) for secret in made)


def test_the_address_names_who_and_where():
    """As authenticators read it: the name may hold anything."""
    said = address(PRINTED, "xa.lan", "một cửa")

    assert said == f"otpauth://totp/m%E1%BB%99t%20c%E1%BB%ADa:xa.lan?secret={PRINTED}&issuer=m%E1%BB%99t%20c%E1%BB%ADa"
