"""Nobody is lost on a long and busy night: a random walk over real services, whatever happens to them.

`SARING_WALK_S` is how long the long walk goes in all (600 s), `SARING_WALK_SEED` where it begins.
"""

import os
import random
import time

import pytest

from model.release.folder import read_release
from tests.support.call_histories import saring
from tests.support.walk.centre import Centre
from tests.support.walk.driver import Walk
from tests.support.walk.model import Model

SHOWN_STEPS = 6


def walk(folder, release, database: str, services: int, seed: int, seconds: float, acts=None) -> None:
    """Walk for so many seconds, and fail with the seed and the shortest trace when something is broken."""
    print(f"the seed of this walk: SARING_WALK_SEED={seed}")
    centre, model = Centre(folder, release, database, services), Model(seed)
    try:
        centre.open()
        found = Walk(centre, model, read_release(release).region, acts).go(time.monotonic() + seconds)
    finally:
        (folder / "trace").write_text("\n".join(model.trace))
        centre.close()
    assert not found, report(model, found, folder)
    status, proof = saring("rebuild", "--database", database)
    assert status == 0, proof
    print(f"{model.step} steps, {len(model.calls):,} calls, {len(model.trace):,} lines of trace")


def report(model: Model, found: list[str], folder) -> str:
    """Tell what was broken, what happened to it, and the last steps."""
    named = {call_id for call_id in model.calls for line in found[:3] if call_id in line}
    lines = [f"seed {model.seed}, step {model.step}, the whole trace in {folder / 'trace'}:", *found[:20]]
    for call_id in sorted(named):
        lines += [f"what happened to {call_id}:", *model.told_of(model.calls[call_id])]
    acts = [line for line in model.trace if " tells " not in line]
    return "\n".join([*lines, "what happened last:", *acts[-8 * SHOWN_STEPS :]])


def seed_of_today() -> int:
    return int(os.environ.get("SARING_WALK_SEED") or random.SystemRandom().randrange(1_000_000))


def test_nobody_is_lost_on_a_short_walk(acting_release, tmp_path):
    acts = {"erase": 2, "step_a_clock": 1, "switch": 1, "kill": 1, "run_a_command": 1}
    walk(tmp_path, acting_release, f"sqlite:///{tmp_path / 'saring.db'}", 1, 1, 10.0, acts)


@pytest.mark.slow
@pytest.mark.parametrize("services", [1, 2])
def test_nobody_is_lost_on_a_long_walk(acting_release, tmp_path, request, services):
    if services == 1:
        database = f"sqlite:///{tmp_path / 'saring.db'}"
    else:
        database = request.getfixturevalue("postgres")
    seconds = float(os.environ.get("SARING_WALK_S", "600")) / 2
    walk(tmp_path, acting_release, database, services, seed_of_today(), seconds)
