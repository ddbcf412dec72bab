"""`saring train` on a million calls of a made-up city, from the log's table to the release's files."""

import json
import resource
import time
from datetime import UTC, datetime

from model.params import Params
from model.release.pipeline import make_release
from model.simulation.city import simulate

CALLS = 1_000_000


def main() -> None:
    started = time.perf_counter()
    city = simulate("metro", 0, calls=CALLS)
    simulated = time.perf_counter() - started
    now = datetime.now(UTC)
    started = time.perf_counter()
    made = make_release(city.calls, Params(), now, corrections=city.corrections)
    made.files()
    seconds = time.perf_counter() - started
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(
        json.dumps(
            [
                (f"simulate {len(city.calls):,} calls", f"{simulated:.1f} s", "< 30 s"),
                (f"train on {len(city.calls):,} calls, report included", f"{seconds:.1f} s", "8 min for 10 million"),
                ("its peak memory, the log included", f"{memory:.1f} GB", "<= 12 GB for 10 million"),
            ]
        )
    )


if __name__ == "__main__":
    main()
