"""Counts that several worker processes share: each writes files of its own, whoever is asked reads them all.

What it does not do: a counter of a worker that has died must still be counted, so its files stay (64 kB each) until the
service starts anew. A worker is taken for dead when no process has its id; an id that another program got meanwhile
keeps the last gauges of that worker alive.
"""

import os
import re
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from prometheus_client import Metric, values
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from prometheus_client.registry import Collector

from model.errors import SaringError

VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
#: Nothing else in the folder is touched: somebody may keep saring.db there.
_FILE = re.compile(r"(counter|histogram|gauge_[a-z]+)_(\d+)\.db")


def enable_multiprocess(directory: Path) -> None:
    """Let all worker processes that are started from now on count together.

    For the parent, once, before it starts them; by `spawn`, or before it has imported prometheus_client itself. What
    was counted before in that folder is forgotten.

    Parameters
    ----------
    directory : Path
        A folder for this alone; made when it is not there. It need not outlive the service.

    Raises
    ------
    SaringError
        When the folder cannot be used.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for path, _ in _files(directory):
            path.unlink()
    except OSError as error:
        raise SaringError(f"{VARIABLE}: {directory} cannot be used for counting: {error.strerror}") from error
    os.environ[VARIABLE] = str(directory)


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
    if not directory:
        return None
    if not Path(directory).is_dir():
        raise SaringError(f"{VARIABLE}: {directory!r} is not a folder")
    return Path(directory)


class SharedCounts(Collector):
    """What all workers have counted, as one.

    Parameters
    ----------
    directory : Path
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def collect(self) -> Iterable[Metric]:
        """Read the files of all workers, without the gauges of those that have died."""
        for pid in {pid for _, pid in _files(self._directory)}:
            if not _alive(pid):
                with suppress(FileNotFoundError):  # another worker was asked at the same time
                    mark_process_dead(pid, str(self._directory))  # type: ignore[no-untyped-call]
        # A worker that is just starting has made a file and not yet filled it.
        files = [str(path) for path, _ in _files(self._directory) if path.exists() and path.stat().st_size]
        found: Iterable[Metric] = MultiProcessCollector.merge(files, accumulate=True)  # type: ignore[no-untyped-call]
        return found


def _files(directory: Path) -> list[tuple[Path, int]]:
    found = ((path, _FILE.fullmatch(path.name)) for path in sorted(directory.iterdir()))
    return [(path, int(match[2])) for path, match in found if match]


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
