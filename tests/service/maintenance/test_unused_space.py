"""Copies that SQLite leaves in unused space are found and wiped."""

import random
import sqlite3
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from service.maintenance.scrubbing.unused_space import contains_any
from service.security.pseudonyms import Pseudonyms, read_keys
from tests.support.call_histories import saring
from tests.support.store.erasures import NUMBER, OTHER, erase, take_place, traces


def test_a_copy_that_sqlite_left_in_unused_space_goes_too(serving, tmp_path, release_folder):
    with serving(tmp_path, release_folder) as client:
        take_place(client, "mine")
        take_place(client, "theirs", OTHER)
    left = Pseudonyms(read_keys(tmp_path / "saring.key")).hash(NUMBER)
    path = tmp_path / "saring.db"
    content = bytearray(path.read_bytes())
    pages = range(4096, len(content), 4096)  # of each: kind, then where the cells' pointers end and the cells begin
    heads = {at: struct.unpack(">BHHH", content[at : at + 7]) for at in pages}
    at = next(at for at, (kind, _, cells, begin) in heads.items() if kind in (10, 13) and begin - 2 * cells > 100)
    gap = at + 8 + 2 * heads[at][2]
    content[gap : gap + len(left)] = left
    path.write_bytes(content)
    with serving(tmp_path, release_folder) as client:
        assert traces(tmp_path, ["mine"])
        assert erase(client).status_code == 200
        assert traces(tmp_path, ["mine"]) == []
        assert client.get("/v1/calls/theirs").status_code == 200
    assert saring("rebuild", "--database", f"sqlite:///{path}")[0] == 0


@pytest.mark.parametrize(("size", "page"), [(8, 512), (8, 4096), (36, 4096)])
def test_copies_in_unused_space_are_found_and_what_is_stored_is_not_taken_for_one(tmp_path, size, page):
    """SQLite leaves copies behind when it moves entries between pages."""
    chance = random.Random(size)
    ids = [f"{chance.getrandbits(64):0{size}x}"[-size:].encode() for _ in range(6_000)]
    path = tmp_path / "saring.db"
    with made_file(path, page) as connection:
        connection.executemany("INSERT INTO calls VALUES (?)", [(one,) for one in ids])
        connection.commit()
        gone, stay = ids[::2] + ids[1::4], ids[3::4]
        connection.executemany("DELETE FROM calls WHERE call_id = ?", [(one,) for one in gone])
        connection.commit()
        content = path.read_bytes()
        left = [one for one in gone if one in content]
        assert left
        for one in (*left[:50], *gone[:50]):
            assert contains_any(path, [b"never", one]) == (one in left)
        connection.execute("VACUUM")
        assert not contains_any(path, [b"never", *gone])
        content = path.read_bytes()
        assert all(one in content for one in stay)


@pytest.mark.parametrize("page", [512, 4096, 65_536])
def test_a_copy_in_any_page_is_found_whatever_its_size(tmp_path, page):
    path = tmp_path / "saring.db"
    with made_file(path, page) as connection:
        connection.executemany("INSERT INTO calls VALUES (?)", [(b"call %d" % n,) for n in range(20)])
    content, text = path.read_bytes(), b"a copy that is left"
    assert not contains_any(path, [text, b"call 7"])
    free = bytes(2 * len(text))
    places = [place for start in range(0, len(content), page) if (place := content.find(free, start, start + page)) > 0]
    assert len(places) == len(content) // page > 2
    for place in places:
        path.write_bytes(content[: place + 9] + text + content[place + 9 + len(text) :])
        assert contains_any(path, [b"call 7", text])
        assert not contains_any(path, [b"call 7"])


@contextmanager
def made_file(path: Path, page: int) -> Iterator[sqlite3.Connection]:
    with sqlite3.connect(path) as connection:
        for pragma in (f"page_size = {page}", "secure_delete = ON"):
            connection.execute(f"PRAGMA {pragma}")
        connection.execute("CREATE TABLE calls (call_id BLOB PRIMARY KEY)")
        yield connection
