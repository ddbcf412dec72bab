"""The parts of a service that is opened beside others and not served: what it does by itself happens when asked for."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from service.server.application import Parts, open_parts
from service.settings import Settings
from service.watch.tasks import BackgroundTasks


def settings_in(folder: Path, release: Path, **changes) -> Settings:
    """Give the settings of a service whose files, a SQLite store among them, are in a folder."""
    chosen = {
        "release": release,
        "database": f"sqlite:///{folder / 'saring.db'}",
        "key_file": folder / "saring.key",
        "journal": folder / "journal",
        "journal_mib": 1,
        "deadline_ms": 10_000,  # two busy cores are no fault of the store
    }
    return Settings(**chosen | changes)


@contextmanager
def beside(
    folder: Path, release: Path, database: str, *, journal: str = "journal beside", **settings: float
) -> Iterator[tuple[Parts, Callable[[], BackgroundTasks]]]:
    """Open the parts of a service; the second makes its background tasks, inside an event loop."""
    chosen = settings_in(folder, release, database=database, journal=folder / journal, **settings)
    with open_parts(chosen) as parts:
        yield parts, lambda: BackgroundTasks(parts.intake, parts.keys, parts.metrics, chosen)
