import pytest

from model.calls.call_log import BrokenLogError, read_calls


@pytest.fixture
def log_file(tmp_path):
    """A function that writes a text of these very characters."""

    def write(text, name="calls.csv"):
        path = tmp_path / name
        path.write_text(text, encoding="utf-8", newline="")
        return path

    return write


@pytest.fixture
def problems_of():
    """A function that lists what is wrong with a log, as (line, column, value, expected)."""

    def problems(path, *given, **also):
        with pytest.raises(BrokenLogError) as caught:
            read_calls(path, *given, **also)
        return [tuple(row) for row in caught.value.problems.itertuples(index=False)]

    return problems
