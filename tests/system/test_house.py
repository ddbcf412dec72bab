"""The house keeps its shape: short chains of imports, rooms of few files, files of one noun."""

import re
from functools import cache
from pathlib import Path

import grimp
import pytest

LONGEST_CHAIN, MOST_FILES, MOST_LINES = 9, 10, 300


@pytest.mark.parametrize("package", ["model", "service"])
def test_no_chain_of_imports_inside_a_package_is_long(package):
    graph = grimp.build_graph(package, exclude_type_checking_imports=True, cache_dir=None)
    imports = {module: sorted(graph.find_modules_directly_imported_by(module)) for module in graph.modules}

    @cache
    def chain(module: str) -> tuple[str, ...]:
        return (module, *max((chain(one) for one in imports[module]), key=len, default=()))

    longest = max(map(chain, imports), key=len)
    assert len(longest) <= LONGEST_CHAIN, " > ".join(longest)


@pytest.mark.parametrize("house", ["model", "service", "tests"])
def test_no_room_has_many_files_and_no_file_is_long(house):
    files = [path for path in Path(house).rglob("*.py") if path.name != "conftest.py"]
    assert len(files) > 50
    for room in {path.parent for path in files}:
        assert sum(path.parent == room for path in files) <= MOST_FILES, room
    long = {str(path): lines for path in files if (lines := len(path.read_text().splitlines())) > MOST_LINES}
    assert not long


def test_no_test_stands_on_another():
    imports = re.compile(r"^from tests\.(?!support)", re.MULTILINE)
    assert not [path for path in Path("tests").rglob("*.py") if imports.search(path.read_text())]
