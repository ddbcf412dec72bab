"""Looks for texts in the unused space of a SQLite file: a process of its own, which knows nothing of SQLite.

    python -I -S unused_space.py < what to look for > true or false

Whoever closes a file lets go of every POSIX lock that its process holds on it, and SQLite holds its own on the very
file. So no process that has a database open may open it in another way; this one never has.

SQLite writes zeros over what is deleted, but when it moves entries between pages it may leave copies of them in the
gap between a page's list of cells and its first cell (`rebuildPage` of its btree.c). Everywhere else unused space is
zeros (PRAGMA secure_delete). So a gap that is not is looked through, and what is stored is never taken for a copy.
https://www.sqlite.org/fileformat2.html, section 1.6.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

READ_AT_ONCE = 4 * 2**20
_HEAD_BYTES = 100  # of the file; on its first page the tree's own head stands behind it
_TREE_PAGES = {2: 12, 5: 12, 10: 8, 13: 8}  # by kind, the bytes of its head


def contains_any(path: Path, texts: list[bytes]) -> bool:
    """Tell whether one of these texts stands in space that belongs to nothing.

    Parameters
    ----------
    path : Path
        A SQLite file, whose log has been carried over; others may write it meanwhile.
    texts : list of bytes
    """
    return any(text in gap for gap in gaps(path) for text in texts)


def gaps(path: Path) -> Iterator[bytes]:
    """Return what stands in the gaps of a file's pages, without the zeros around it: of a thousand pages at once."""
    with path.open("rb") as file:
        size = int.from_bytes(file.read(18)[16:], "big")
        size = 65_536 if size == 1 else size
        file.seek(0)
        head = _HEAD_BYTES
        while read := file.read(READ_AT_ONCE):
            starts = range(0, len(read) - size + 1, size)
            yield b"\0".join(filter(None, (_gap(read[at : at + size], head if at == 0 else 0) for at in starts)))
            head = 0


def _gap(page: bytes, head: int) -> bytes:
    of_tree = _TREE_PAGES.get(page[head])
    if of_tree is None:
        return b""
    cells = int.from_bytes(page[head + 3 : head + 5], "big")
    first = int.from_bytes(page[head + 5 : head + 7], "big") or 65_536
    return page[head + of_tree + 2 * cells : first].strip(b"\0")


if __name__ == "__main__":
    asked = json.load(sys.stdin)
    json.dump(contains_any(Path(asked["path"]), [bytes.fromhex(text) for text in asked["texts"]]), sys.stdout)
