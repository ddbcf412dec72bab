"""Counts that several worker processes share: each writes files of its own, whoever is asked reads them all.

What it does not do: a counter of a worker that has died must still be counted, so its files stay (64 kB each) until the
service starts anew. A worker is taken for dead when no process has its id; an id that another program got meanwhile
keeps the last gauges of that worker alive.
"""

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from prometheus_client import Metric, values
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from prometheus_client.registry import Collector

from model.errors import SaringError

#: prometheus_client's own: an empty folder for this alone, set before the workers start.
VARIABLE = "PROMETHEUS_MULTIPROC_DIR"


def multiprocess_directory() -> Path | None:
    """Return the folder in which this process counts together with others, or None when it counts alone.

    Raises
    ------
    SaringError
        When the environment has changed after prometheus_client was imported, which decides by it once and for all,
        or when it names no folder.
    """
    directory = os.environ.get(VARIABLE, "")
    if (values.ValueClass is not values.MutexValue) != bool(directory):
        raise SaringError(f"{VARIABLE}: {directory!r}, expected to be set before the service starts, or not at all")
    if directory and not Path(directory).is_dir():
        raise SaringError(f"{VARIABLE}: {directory!r} is not a folder")
    return Path(directory) if directory else None


class SharedCounts(Collector):
    """What all workers have counted, as one, without the gauges of those that have died."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def collect(self) -> Iterable[Metric]:
        """Read the files of all workers."""
        for pid in {int(path.stem.rpartition("_")[2]) for path in self._files()}:
            if not _is_alive(pid):
                with suppress(FileNotFoundError):  # another worker was asked at the same time
                    mark_process_dead(pid, str(self._directory))  # type: ignore[no-untyped-call]
        # A worker that is just starting has made a file and not yet filled it.
        files = [str(path) for path in self._files() if path.exists() and path.stat().st_size]
        found: Iterable[Metric] = MultiProcessCollector.merge(files, accumulate=True)  # type: ignore[no-untyped-call]
        return found

    def _files(self) -> list[Path]:
        return sorted(self._directory.glob("*_[0-9]*.db"))


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
