"""The same as in test_crash.py, fifty times."""

import pytest

from tests.support.crashes import check
from tests.system.test_crash import kill_and_start_anew

ROUNDS = 5


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(10))
def test_a_service_that_is_killed_fifty_times_loses_nothing_and_counts_nothing_twice(tmp_path, release_folder, seed):
    told = kill_and_start_anew(tmp_path, release_folder, ROUNDS, seed)
    assert told.degraded > 0
    check(tmp_path / "saring.db", told)
