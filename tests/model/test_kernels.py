"""Machine code of a kernel is never used for another state of the code that it was compiled from."""

from pathlib import Path

import numba

from model import kernels
from model.kernels import cache_folder
from model.policy.deferral import defer_s

MODEL = Path(kernels.__file__).parent
IMPORT = "from model.kernels import kernel\n"


def test_a_change_to_a_kernel_in_any_room_changes_the_cache(tmp_path):
    for room in ("history", "policy"):
        (tmp_path / room).mkdir()
        (tmp_path / room / "kernels_of_it.py").write_text(IMPORT + "LIMIT = 1.0\n")
    seen = {cache_folder(tmp_path)}
    for room in ("history", "policy"):
        (tmp_path / room / "kernels_of_it.py").write_text(IMPORT + "LIMIT = 2.0\n")
        seen.add(cache_folder(tmp_path))
    assert len(seen) == 3
    (tmp_path / "policy" / "words.py").write_text("HELLO = 1\n")
    assert cache_folder(tmp_path) in seen


def test_every_file_with_a_kernel_counts():
    holds = [
        path for path in MODEL.rglob("*.py") if "\n@kernel\n" in (text := path.read_text()) or "\n@log_kernel\n" in text
    ]
    assert len(holds) > 5
    assert all("from model.kernels import" in path.read_text() for path in holds)


def test_kernels_are_kept_where_the_hash_says():
    folder = cache_folder(MODEL)
    assert Path(numba.config.CACHE_DIR) == folder
    defer_s(0.5, 60.0, False, 2.0, 120.0, 300.0)
    assert any(folder.rglob("deferral.defer_s-*.nbi"))
