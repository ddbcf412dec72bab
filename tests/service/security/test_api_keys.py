"""Keys are made, rotated and revoked, each change is a decision, and no secret is stored."""

import json
import logging
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from hashlib import sha256

import pytest
import sqlalchemy as sa

from model.errors import SaringError, StoreError
from service.security.api_keys import ApiKeys, Principal, Role
from service.security.key_store import create_key, list_keys, read_key_rows, revoke_key, rotate_key
from service.store.database import connect
from service.store.tables import decisions
from service.timestamps import microseconds

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)
NOW_US = microseconds(NOW)
HOUR = timedelta(hours=1)


@pytest.fixture
def postgresql(postgres: str) -> Iterator[sa.Engine]:
    engine = connect(postgres)
    yield engine
    engine.dispose()


@pytest.fixture(params=["sqlite", "postgresql"])
def engine(request) -> sa.Engine:
    return request.getfixturevalue(request.param)


def who(engine: sa.Engine, key: str, now: datetime = NOW) -> Principal | None:
    return ApiKeys(read_key_rows(engine)).authenticate(f"Bearer {key}".encode(), microseconds(now))


def id_of(key: str) -> str:
    return key.split("_")[1]


def decided(engine: sa.Engine) -> list[dict]:
    with engine.connect() as connection:
        found = connection.execute(sa.select(decisions).order_by(decisions.c.seq)).mappings().all()
    assert {row["kind"] for row in found} <= {"key"}
    return [json.loads(row["body"]) | {"who": row["who"], "at_us": row["at_us"]} for row in found]


@pytest.mark.parametrize("role", list(Role))
def test_a_key_opens_for_its_name_and_role_as_long_as_it_is_live(engine, role):
    key = create_key(engine, "pbx of Bengkulu", role.value, NOW, NOW + HOUR)
    assert re.fullmatch(r"saring_[0-9a-f]{10}_[A-Za-z0-9_-]{43}", key)
    assert who(engine, key) == Principal(id_of(key), "pbx of Bengkulu", role)
    assert who(engine, key, NOW + HOUR - timedelta(microseconds=1)) is not None
    assert who(engine, key, NOW + HOUR) is None
    revoke_key(engine, id_of(key), NOW)
    assert who(engine, key) is None


def test_a_key_without_an_end_is_good_for_ever(sqlite):
    key = create_key(sqlite, "pbx", "intake", NOW)
    assert who(sqlite, key, datetime(9999, 1, 1, tzinfo=UTC)) is not None


def test_rotation_gives_a_new_key_and_the_old_one_stays_for_the_grace(engine):
    old = create_key(engine, "pbx", "intake", NOW)
    new = rotate_key(engine, id_of(old), NOW + HOUR, timedelta(minutes=5))
    for minutes, expected in ((61, True), (64.9, True), (65, False), (600, False)):
        assert (who(engine, old, NOW + timedelta(minutes=minutes)) is not None) == expected
    assert who(engine, new, NOW + 1000 * HOUR) == Principal(id_of(new), "pbx", Role.INTAKE)
    assert id_of(new) != id_of(old)


def test_rotation_prolongs_nothing(sqlite):
    old = create_key(sqlite, "pbx", "intake", NOW, NOW + 24 * HOUR)
    new = rotate_key(sqlite, id_of(old), NOW + 23 * HOUR, grace=10 * HOUR)
    ends = {key.key_id: key.expires_at for key in list_keys(sqlite)}
    assert ends == {id_of(old): NOW + 24 * HOUR, id_of(new): NOW + 47 * HOUR}


def test_only_the_newest_live_key_of_a_name_is_rotated(sqlite):
    first = create_key(sqlite, "pbx", "intake", NOW)
    second = rotate_key(sqlite, id_of(first), NOW, HOUR)
    with pytest.raises(SaringError, match=f"was rotated already, expected {id_of(second)}"):
        rotate_key(sqlite, id_of(first), NOW, HOUR)
    third = rotate_key(sqlite, id_of(second), NOW, timedelta(0))
    assert [who(sqlite, key) is not None for key in (first, second, third)] == [True, False, True]
    with pytest.raises(SaringError, match="no longer live"):
        rotate_key(sqlite, id_of(second), NOW, HOUR)


def test_every_change_is_a_decision_without_a_secret(engine):
    old = create_key(engine, "pbx", "intake", NOW, NOW + HOUR, who="lead")
    new = rotate_key(engine, id_of(old), NOW, timedelta(minutes=5))
    revoke_key(engine, id_of(old), NOW + HOUR)
    revoke_key(engine, id_of(old), NOW + 2 * HOUR)  # is revoked, and stays as it was
    did = decided(engine)
    assert [(d["did"], d["key_id"], d["who"]) for d in did] == [
        ("create", id_of(old), "lead"),
        ("rotate", id_of(new), "command"),
        ("revoke", id_of(old), "command"),
    ]
    assert [d["at_us"] for d in did] == [NOW_US, NOW_US, NOW_US + 3_600_000_000]
    assert did[1]["replaces"] == id_of(old)
    assert did[1]["replaced_until"] == "2026-11-01T12:05:00.000000+00:00"
    written = json.dumps(did)
    assert all(key.split("_", 2)[2] not in written for key in (old, new))
    assert {key.state(NOW + HOUR) for key in list_keys(engine) if key.key_id == id_of(old)} == {"revoked"}


def test_without_its_decision_no_key_is_made(sqlite):
    old = create_key(sqlite, "board", "operator", NOW)
    with sqlite.begin() as connection:
        connection.execute(sa.text("DROP TABLE decisions"))
    for change in (
        lambda: create_key(sqlite, "pbx", "intake", NOW),
        lambda: rotate_key(sqlite, id_of(old), NOW, HOUR),
        lambda: revoke_key(sqlite, id_of(old), NOW),
    ):
        with pytest.raises(StoreError, match="not kept"):
            change()
    assert [(key.name, key.state(NOW), key.expires_at) for key in list_keys(sqlite)] == [("board", "live", None)]


WRONG = [
    ({"name": ""}, "name"),
    ({"name": " "}, "name"),
    ({"name": " pbx"}, "name"),
    ({"name": "a" * 101}, "name"),
    ({"name": "\x1b[2J"}, "name"),
    ({"name": "a\nb"}, "name"),
    ({"name": "\udcff"}, "name"),
    ({"role": "root"}, "role"),
    ({"role": ""}, "role"),
    ({"role": "INTAKE"}, "role"),
    ({"expires_at": NOW}, "expires_at"),
]


@pytest.mark.parametrize(("change", "field"), WRONG)
def test_a_wrong_field_of_a_key_is_refused_by_name(sqlite, change, field):
    with pytest.raises(SaringError, match=f"^{field}: .*expected .*") as refused:
        create_key(sqlite, **{"name": "pbx", "role": "intake", "now": NOW} | change)
    assert "\n" not in str(refused.value)
    assert list_keys(sqlite) == []
    assert decided(sqlite) == []


def test_a_name_is_free_again_when_its_key_ended(sqlite):
    first = create_key(sqlite, "pbx", "intake", NOW, NOW + HOUR)
    with pytest.raises(SaringError, match="name: 'pbx' has a live key"):
        create_key(sqlite, "pbx", "admin", NOW)
    second = create_key(sqlite, "pbx", "intake", NOW + HOUR)
    revoke_key(sqlite, id_of(second), NOW + HOUR)
    third = create_key(sqlite, "pbx", "intake", NOW + HOUR)
    assert [who(sqlite, key, NOW + HOUR) is not None for key in (first, second, third)] == [False, False, True]


def test_of_many_who_take_one_name_at_once_one_gets_it(engine):
    def take(_: int) -> str:
        try:
            return create_key(engine, "pbx", "intake", NOW)
        except SaringError as error:
            return str(error)

    with ThreadPoolExecutor(8) as threads:
        keys = list(threads.map(take, range(24)))
    assert (
        len([key for key in keys if key.startswith("saring_")]) == len(list_keys(engine)) == len(decided(engine)) == 1
    )
    assert len([told for told in keys if "has a live key" in told]) == 23


def test_an_unknown_key_id_is_refused_without_showing_what_was_pasted(sqlite):
    key = create_key(sqlite, "pbx", "intake", NOW)
    for given_id in (key, "ffffffffff", "", "' OR 1=1 --"):
        for change in (lambda: rotate_key(sqlite, given_id, NOW, HOUR), lambda: revoke_key(sqlite, given_id, NOW)):  # noqa: B023
            with pytest.raises(SaringError, match=r"^key_id: no such key, expected") as refused:
                change()
            assert key not in str(refused.value)
    with pytest.raises(SaringError, match=r"^grace: "):
        rotate_key(sqlite, id_of(key), NOW, -HOUR)
    assert len(decided(sqlite)) == 1


def test_a_database_without_tables_is_one_sentence(tmp_path):
    engine = sa.create_engine(f"sqlite:///{tmp_path / 'empty.db'}")
    for change in (lambda: create_key(engine, "pbx", "intake", NOW), lambda: read_key_rows(engine)):
        with pytest.raises(StoreError, match="no such table"):
            change()
    engine.dispose()


def test_no_secret_is_in_a_file_of_the_database_or_in_a_log(tmp_path, caplog):
    caplog.set_level(logging.DEBUG)
    engine = connect(f"sqlite:///{tmp_path / 'saring.db'}")
    engine.echo = "debug"  # every statement, its values and the rows it gives
    keys = [create_key(engine, name, "intake", NOW) for name in ("pbx", "board")]
    keys.append(rotate_key(engine, id_of(keys[0]), NOW, HOUR))
    revoke_key(engine, id_of(keys[1]), NOW)
    assert who(engine, keys[2]) is not None
    files = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    engine.dispose()
    files += b"".join(path.read_bytes() for path in tmp_path.iterdir())
    for key in keys:
        secret = key.split("_", 2)[2]
        assert id_of(key).encode() in files
        assert sha256(secret.encode()).digest() in files
        assert secret.encode() not in files
        assert id_of(key) in caplog.text
        assert secret not in caplog.text
    held = ApiKeys(read_key_rows(engine))
    engine.dispose()
    assert not any(key.split("_", 2)[2] in repr(vars(held)) for key in keys)
    assert "digest" not in repr(list_keys(engine))
    engine.dispose()
