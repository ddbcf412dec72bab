"""Runs every benchmark, each in a process of its own so that memory is its own, and prints one table."""

import json
import os
import platform
import subprocess
import sys

from rich.console import Console
from rich.table import Table

BENCHMARKS = ("scoring", "http", "replay", "training")


def main() -> None:
    names = sys.argv[1:] or BENCHMARKS
    table = Table(
        "what", "measured", "to reach", title=f"{platform.machine()}, {os.cpu_count()} cores", title_justify="left"
    )
    for name in names:
        command = [sys.executable, "-m", f"benchmarks.{name}"]
        done = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True)
        for row in json.loads(done.stdout.splitlines()[-1]):
            table.add_row(*row)
        table.add_section()
    Console().print(table)


if __name__ == "__main__":
    main()
