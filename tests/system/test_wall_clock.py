"""A clock that is put wrong under a process is wrong in nothing but the time of day."""

import subprocess
import sys

import pytest

from tests.support.walk.wall_clock import WallClock

TELL = """
import time, datetime
for _ in range(2):
    before = time.monotonic()
    time.sleep(0.2)
    print(time.time(), datetime.datetime.now().timestamp(), 0.2 <= time.monotonic() - before < 5.0, flush=True)
    input()
"""


def test_a_step_reaches_a_running_process_and_no_sleep(tmp_path):
    clock = WallClock(tmp_path / "clock")
    if not clock.steps:
        pytest.skip("the clock of a process can be put wrong only where there is a C compiler")
    with subprocess.Popen(
        [sys.executable, "-c", TELL], env=clock.environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        first = process.stdout.readline().split()
        clock.step(1_200)
        process.stdin.write("\n")
        process.stdin.flush()
        second = process.stdout.readline().split()
        process.stdin.write("\n")
    for place in (0, 1):
        assert 1_200.0 <= float(second[place]) - float(first[place]) < 1_220.0
    assert first[2] == second[2] == "True"
