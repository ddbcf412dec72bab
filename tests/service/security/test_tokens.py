"""Signed tokens: good for one thing, for one key or call, for a short time, and for nothing else."""

import re
import string
from base64 import urlsafe_b64encode

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from service.security.tokens import Grant, Tokens

NOW_US = 1_793_534_400_000_000
TOKENS = Tokens([bytes(range(32))])
ENDS_US = NOW_US + 60_000_000
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=200)
scopes = st.sampled_from(["badge", "stream", "", "badge2", "stréam"])
grants = st.builds(
    Grant,
    texts,
    st.integers(NOW_US + 1, NOW_US + 10**12),
    st.none() | st.tuples(texts, st.integers(0, 2**60)),
    st.none() | texts,
)


@given(scopes, grants)
def test_a_token_says_what_it_was_issued_for_until_it_ends(scope, grant):
    token = TOKENS.issue(scope, grant)
    assert TOKENS.check(token, scope, NOW_US) == TOKENS.check(token, scope, grant.until_us - 1) == grant
    assert TOKENS.check(token, scope, grant.until_us) is None
    assert re.fullmatch(r"[A-Za-z0-9_.-]+", token)


@given(grants, st.integers(0), st.characters(exclude_categories=["Cs"]))
def test_a_token_with_one_character_changed_is_none(grant, place, character):
    token = TOKENS.issue("badge", grant)
    place %= len(token)
    assume(token[place] != character)
    assert TOKENS.check(token[:place] + character + token[place + 1 :], "badge", NOW_US) is None


@given(grants, st.integers(0), st.text(min_size=1, max_size=8))
def test_a_token_with_something_put_in_or_taken_out_is_none(grant, place, more):
    token = TOKENS.issue("badge", grant)
    place %= len(token) + 1
    assert TOKENS.check(token[:place] + more + token[place:], "badge", NOW_US) is None
    assert TOKENS.check(token[:place] + token[place + 1 :], "badge", NOW_US) is None or place == len(token)


@pytest.mark.parametrize("key_id", ["", "a", "ab", "abc"])
def test_a_token_is_written_in_one_way_alone(key_id):
    """The last character of what is written in base64 may hold bits that no byte takes."""
    token = TOKENS.issue("badge", Grant(key_id, ENDS_US))
    ways = [token[:-1] + last for last in string.ascii_letters + string.digits + "-_"]
    assert [way for way in ways if TOKENS.check(way, "badge", NOW_US) is not None] == [token]


@given(grants, scopes, scopes)
def test_a_token_is_good_for_its_scope_alone(grant, scope, other):
    assume(scope != other)
    assert TOKENS.check(TOKENS.issue(scope, grant), other, NOW_US) is None


def test_the_end_of_one_token_does_not_fit_another():
    long, short = (TOKENS.issue("badge", Grant("key", NOW_US + life_us)) for life_us in (10**12, 10**6))
    head, _, signature = long.rpartition(".")
    assert TOKENS.check(f"{head}.{short.rpartition('.')[2]}", "badge", NOW_US) is None
    assert TOKENS.check(f"{short.rpartition('.')[0]}.{signature}", "badge", NOW_US) is None


def test_tokens_of_an_earlier_secret_are_good_while_it_is_known():
    old, new = bytes(range(32)), bytes(range(1, 33))
    token = TOKENS.issue("badge", Grant("key", ENDS_US))
    assert Tokens([new]).check(token, "badge", NOW_US) is None
    assert Tokens([new, old]).check(token, "badge", NOW_US) == Grant("key", ENDS_US)
    assert Tokens([new, old]).issue("badge", Grant("key", ENDS_US)) == Tokens([new]).issue(
        "badge", Grant("key", ENDS_US)
    )


@given(st.text(max_size=80))
def test_any_text_is_none(text):
    assert TOKENS.check(text, "badge", NOW_US) is None


@pytest.mark.parametrize(
    "text", ["", "=", ".", "..", "a" * 32, "a.b", "-" * 1_000_000, "\0", "é" * 32, "a" * 32 + "\n", ".eJw." + "a" * 64]
)
def test_odd_texts_are_none(text):
    assert TOKENS.check(text, "badge", NOW_US) is None


def test_what_is_not_signed_is_not_read():
    unsigned = urlsafe_b64encode(b'["key",9999999999999999,null,null]').rstrip(b"=").decode()
    assert TOKENS.check(unsigned, "badge", NOW_US) is None
    assert TOKENS.check(f"{unsigned}.", "badge", NOW_US) is None
    assert TOKENS.check(f"{unsigned}.{'A' * 64}", "badge", NOW_US) is None


def test_a_short_secret_or_none_is_a_mistake():
    for secrets in ([], [bytes(31)], [bytes(32), bytes(31)]):
        with pytest.raises(ValueError, match="at least 32 bytes"):
            Tokens(secrets)
