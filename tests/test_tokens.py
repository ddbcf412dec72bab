"""Signed tokens: good for one thing, for one subject, for a short time, and for nothing else."""

import hmac
import re
import string
from base64 import urlsafe_b64decode, urlsafe_b64encode

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from service.tokens import Tokens

NOW_US = 1_793_534_400_000_000
TOKENS = Tokens(bytes(range(32)))
subjects = st.text(st.characters(exclude_categories=["Cs"]), max_size=200)
scopes = st.sampled_from(["badge", "stream", "", "badge2", "stréam"])


@given(scopes, subjects, st.floats(0.001, 1e6))
def test_a_token_gives_its_subject_until_it_ends(scope, subject, life_s):
    token = TOKENS.issue(scope, subject, NOW_US, life_s)
    end_us = NOW_US + round(life_s * 1e6)
    assert TOKENS.check(token, scope, NOW_US) == TOKENS.check(token, scope, end_us - 1) == subject
    assert TOKENS.check(token, scope, end_us) is None
    assert re.fullmatch(r"[A-Za-z0-9_-]+", token)


@given(subjects, st.integers(0), st.characters(exclude_categories=["Cs"]))
def test_a_token_with_one_character_changed_is_none(subject, place, character):
    token = TOKENS.issue("badge", subject, NOW_US, 60)
    place %= len(token)
    assume(token[place] != character)
    assert TOKENS.check(token[:place] + character + token[place + 1 :], "badge", NOW_US) is None


@given(subjects, st.integers(0), st.text(min_size=1, max_size=8))
def test_a_token_with_something_put_in_or_taken_out_is_none(subject, place, more):
    token = TOKENS.issue("badge", subject, NOW_US, 60)
    place %= len(token) + 1
    assert TOKENS.check(token[:place] + more + token[place:], "badge", NOW_US) is None
    assert TOKENS.check(token[:place] + token[place + 1 :], "badge", NOW_US) is None or place == len(token)


@pytest.mark.parametrize("subject", ["", "a", "ab", "abc"])
def test_a_token_is_written_in_one_way_alone(subject):
    """The last character may hold bits that no byte takes; others that say the same bytes are no token."""
    token = TOKENS.issue("badge", subject, NOW_US, 60)
    ways = [token[:-1] + last for last in string.ascii_letters + string.digits + "-_"]
    assert [way for way in ways if TOKENS.check(way, "badge", NOW_US) is not None] == [token]


@given(subjects, st.integers(0), st.integers(1, 255))
def test_a_token_with_one_byte_changed_is_none(subject, place, change):
    token = TOKENS.issue("badge", subject, NOW_US, 60)
    raw = bytearray(urlsafe_b64decode(token + "=" * (-len(token) % 4)))
    raw[place % len(raw)] ^= change
    assert TOKENS.check(urlsafe_b64encode(raw).rstrip(b"=").decode(), "badge", NOW_US) is None


@given(subjects, subjects, scopes, scopes)
def test_a_token_is_good_for_its_scope_alone_even_when_scope_and_subject_read_the_same_together(one, two, scope, other):
    assume(scope != other)
    assert TOKENS.check(TOKENS.issue(scope, one, NOW_US, 60), other, NOW_US) is None
    # The bytes of a subject moved into the scope are another token.
    assert TOKENS.check(TOKENS.issue(scope + one, two, NOW_US, 60), scope, NOW_US) is None or not one


def test_the_end_of_one_token_does_not_fit_another():
    long, short = (TOKENS.issue("badge", "call", NOW_US, life_s) for life_s in (3_600, 1))
    assert TOKENS.check(long[:10] + short[10:], "badge", NOW_US) is None
    assert TOKENS.check(short[:10] + long[10:], "badge", NOW_US) is None


def test_tokens_of_another_secret_are_none_and_the_same_secret_gives_the_same_token():
    other = Tokens(bytes(32))
    token = TOKENS.issue("badge", "call", NOW_US, 60)
    assert other.check(token, "badge", NOW_US) is None
    assert Tokens(bytes(range(32))).issue("badge", "call", NOW_US, 60) == token


def test_the_token_is_not_signed_with_the_secret_itself():
    raw = urlsafe_b64decode(TOKENS.issue("badge", "", NOW_US, 60))
    message = (5).to_bytes(4, "big") + b"badge" + raw[:8]
    assert raw[8:] != hmac.digest(bytes(range(32)), message, "sha256")[:16]
    derived = hmac.digest(bytes(range(32)), b"saring tokens 1", "sha256")
    assert raw[8:] == hmac.digest(derived, message, "sha256")[:16]


@given(st.text(max_size=80))
def test_any_text_is_none(text):
    assert TOKENS.check(text, "badge", NOW_US) is None


@pytest.mark.parametrize("text", ["", "=", "a" * 32, "a" * 33, "-" * 1_000_000, "\0", "é" * 32, "a" * 32 + "\n"])
def test_odd_texts_are_none(text):
    assert TOKENS.check(text, "badge", NOW_US) is None


def test_a_token_is_short():
    assert len(TOKENS.issue("stream", "0123456789", NOW_US, 60)) == 46


def test_a_short_secret_or_no_life_is_a_mistake():
    with pytest.raises(ValueError, match="31 bytes, expected at least 32"):
        Tokens(bytes(31))
    for life_s in (0, -1, float("nan")):
        with pytest.raises(ValueError, match="life_s"):
            TOKENS.issue("badge", "call", NOW_US, life_s)
