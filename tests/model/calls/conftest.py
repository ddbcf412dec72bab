"""What the tests of call logs share."""

import pytest


@pytest.fixture
def log_file(tmp_path):
    """A function that writes a CSV of these very characters."""

    def write(text, name="calls.csv"):
        path = tmp_path / name
        path.write_bytes(text.encode("utf-8"))
        return path

    return write
