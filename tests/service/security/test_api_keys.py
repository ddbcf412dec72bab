"""Access keys in real databases, and the command that keeps them."""

import json
import logging
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from model.errors import SaringError, StoreError
from service.cli import keys as cli_keys
from service.security.api_keys import ApiKeys, Principal, Role
from service.security.key_store import create_key, list_keys, read_key_rows, revoke_key, rotate_key
from service.store.database import connect
from service.store.tables import decisions
from service.timestamps import microseconds

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)
NOW_US = microseconds(NOW)
HOUR = timedelta(hours=1)
ROOT = Path(__file__).parents[3]


@pytest.fixture
def sqlite(tmp_path: Path) -> Iterator[sa.Engine]:
    engine = connect(f"sqlite:///{tmp_path / 'saring.db'}")
    yield engine
    engine.dispose()


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


def keys_command(*words: str) -> None:
    cli_keys.app(words, standalone_mode=False)


def test_the_command_prints_a_new_key_alone(tmp_path):
    run = [sys.executable, "-c", "from service.cli.keys import app; app()"]
    words = ["create", "--name", "pbx", "--role", "intake", "--expires", "90d"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    made = subprocess.run(
        [*run, *words], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60, check=True
    )
    key = made.stdout.removesuffix("\n")
    assert re.fullmatch(r"saring_[0-9a-f]{10}_[A-Za-z0-9_-]{43}", key)
    assert "not shown again" in made.stderr
    assert key.split("_", 2)[2] not in made.stderr
    engine = connect(f"sqlite:///{tmp_path / 'saring.db'}")
    (found,) = list_keys(engine)
    assert who(engine, key, datetime.now(UTC)) == Principal(id_of(key), "pbx", Role.INTAKE)
    engine.dispose()
    assert found.expires_at - found.created_at == timedelta(days=90)


def test_the_command_shows_no_secret_again(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("SARING_DATABASE", f"sqlite:///{tmp_path / 'here.db'}")
    keys_command("list")
    assert capsys.readouterr() == ("", "no keys yet: saring keys create\n")
    keys_command("create", "--name", "pbx", "--role", "intake")
    key = capsys.readouterr().out.strip()
    keys_command("rotate", id_of(key), "--grace", "0m")
    out, err = capsys.readouterr()
    new = out.removesuffix("\n")
    assert f"takes the place of {id_of(key)}" in err
    keys_command("revoke", id_of(new))
    assert capsys.readouterr().out == ""
    keys_command("list")
    shown = capsys.readouterr().out
    lines = [line.split() for line in shown.splitlines()]
    assert lines[0] == ["key_id", "role", "state", "created", "ends", "name"]
    assert [(line[0], line[1], line[2], line[-1]) for line in lines[1:]] == [
        (id_of(key), "intake", "expired", "pbx"),
        (id_of(new), "intake", "revoked", "pbx"),
    ]
    assert not any(secret.split("_", 2)[2] in shown for secret in (key, new))


def test_an_option_of_the_command_goes_before_the_environment(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("SARING_DATABASE", f"sqlite:///{tmp_path / 'here.db'}")
    words = ["create", "--name", "pbx", "--role", "intake", "--database", f"sqlite:///{tmp_path / 'there.db'}"]
    keys_command(*words)
    assert capsys.readouterr().out.startswith("saring_")
    assert not (tmp_path / "here.db").exists()
    for mistake, told in (
        (words, "name: 'pbx' has a live key"),
        ([*words[:4], "king", *words[5:]], "role: 'king', expected one of intake, operator, scientist, admin"),
        ([*words, "--expires", "90"], "--expires: '90', expected"),
        ([*words, "--expires", "90000d"], "--expires: '90000d', expected"),
        (["rotate", "nothing", "--grace", "-1h"], "--grace: '-1h', expected"),
        (["revoke", "nothing"], "key_id: no such key"),
        (["list", "--database", "mysql://x:secret@y/z"], "mysql://x:***@y/z: expected sqlite"),
    ):
        with pytest.raises(SaringError, match="^" + re.escape(told)):
            keys_command(*mistake)
        assert capsys.readouterr().out == ""
