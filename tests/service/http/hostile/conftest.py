"""Nobody gets in and nothing stops it: hostile bodies, texts, batches and connections.

All that a file says is told to one service, in the order of the file; in the end the service looks as ever: the log,
the store, the memory, and how a call is scored.
"""

import pytest

from tests.support.hostile import watching


@pytest.fixture(scope="module")
def watched(tmp_path_factory, release_folder):
    """A service whose log and memory are watched, and which has to be unharmed in the end."""
    with watching(tmp_path_factory.mktemp("hostile"), release_folder) as found:
        yield found


@pytest.fixture(scope="module")
def service(watched):
    return watched.service
