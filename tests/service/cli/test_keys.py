"""The command `saring keys` shows a new key once, and no secret again."""

import os
import re
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from model.errors import SaringError
from service.cli import keys as cli_keys
from service.security.api_keys import ApiKeys, Principal, Role
from service.security.key_store import list_keys, read_key_rows
from service.store.database import connect
from service.timestamps import microseconds

ROOT = Path(__file__).parents[3]


def id_of(key: str) -> str:
    return key.split("_")[1]


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
    held = ApiKeys(read_key_rows(engine))
    known = held.authenticate(f"Bearer {key}".encode(), microseconds(datetime.now(UTC)))
    assert known == Principal(id_of(key), "pbx", Role.INTAKE)
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
