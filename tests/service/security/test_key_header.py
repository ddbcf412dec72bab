"""Only a header that is exactly a live key opens."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.security.api_keys import ApiKeys
from service.security.key_store import create_key, read_key_rows, revoke_key
from service.store.database import connect
from service.timestamps import microseconds

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)
NOW_US = microseconds(NOW)


def id_of(key: str) -> str:
    return key.split("_")[1]


@pytest.fixture(scope="module")
def held(tmp_path_factory) -> tuple[ApiKeys, str]:
    engine = connect(f"sqlite:///{tmp_path_factory.mktemp('held') / 'saring.db'}")
    key = create_key(engine, "pbx", "intake", NOW)
    keys = ApiKeys(read_key_rows(engine))
    engine.dispose()
    return keys, key


TRICKS = [
    lambda key: b"",
    lambda key: b"Bearer",
    lambda key: b"Bearer ",
    lambda key: key.encode(),
    lambda key: b"Bearer  " + key.encode(),
    lambda key: b" Bearer " + key.encode(),
    lambda key: b"Bearer " + key.encode() + b" ",
    lambda key: b"Bearer " + key.encode() + b"\n",
    lambda key: b"Bearer\t" + key.encode(),
    lambda key: b"Bearer," + key.encode(),
    lambda key: b"Basic  " + key.encode(),
    lambda key: b"Bearer " + key.encode() + b", Bearer " + key.encode(),
    lambda key: b"Bearer " + key.upper().encode(),
    lambda key: b"Bearer Saring" + key[6:].encode(),
    lambda key: b"Bearer " + key.replace("_", "-", 1).encode(),
    lambda key: b"Bearer " + key[:17].encode() + b"-" + key[18:].encode(),
    lambda key: b"Bearer " + key[:-1].encode(),
    lambda key: b"Bearer " + key[:-1].encode() + b"=",
    lambda key: b"Bearer " + key[:18].encode() + b"\xff" * 43,
    lambda key: b"Bearer " + key[:18].encode() + b"\0" * 43,
    lambda key: b"Bearer saring_" + b"\xff" * 10 + key[17:].encode(),
    lambda key: b"Bearer saring_0123456789" + key[17:].encode(),
    lambda key: "Bearer ｓaring".encode() + key[6:].encode(),
    lambda key: b"Bearer " + key.encode() * 20_000,
    lambda key: b"a" * 1_000_000,
]


@pytest.mark.parametrize("trick", TRICKS)
def test_a_header_that_is_not_exactly_a_key_is_nobody(held, trick):
    keys, key = held
    assert keys.authenticate(trick(key), NOW_US) is None
    assert keys.authenticate(f"Bearer {key}".encode(), NOW_US) is not None


@given(st.binary(max_size=100))
def test_any_bytes_are_nobody(noise):
    keys = ApiKeys([{"key_id": "0123456789", "name": "a", "role": "admin", "digest": bytes(32),
                  "expires_at_us": None, "revoked_at_us": None}])  # fmt: skip
    assert keys.authenticate(noise, 0) is None
    assert keys.authenticate(b"Bearer saring_0123456789_" + noise, 0) is None


@given(st.integers(0, 60), st.integers(1, 255))
def test_a_key_with_one_byte_changed_is_nobody(held, place, change):
    keys, key = held
    changed = bytearray(key.encode())
    changed[place] ^= change
    assert keys.authenticate(b"Bearer " + bytes(changed), NOW_US) is None


def test_loading_again_takes_revoked_keys_and_unknown_roles_away(sqlite):
    first, second = (create_key(sqlite, name, "intake", NOW) for name in ("pbx", "board"))
    keys = ApiKeys(read_key_rows(sqlite))
    revoke_key(sqlite, id_of(first), NOW)
    assert keys.authenticate(f"Bearer {first}".encode(), NOW_US) is not None
    keys.load(read_key_rows(sqlite))
    assert keys.authenticate(f"Bearer {first}".encode(), NOW_US) is None
    assert keys.authenticate(f"Bearer {second}".encode(), NOW_US) is not None
    assert keys.principal_of(id_of(second), NOW_US).name == "board"
    assert (
        keys.principal_of(id_of(first), NOW_US)
        is keys.principal_of("", NOW_US)
        is keys.principal_of("\udcff", NOW_US)
        is None
    )
    keys.load([row | {"role": "emperor"} for row in read_key_rows(sqlite)])
    assert keys.authenticate(f"Bearer {second}".encode(), NOW_US) is None
