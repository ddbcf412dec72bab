"""A wall clock that is put forward and back under a running process; what it measures by stays as it is."""

from pathlib import Path

LIBRARIES = ("/usr/lib/*/faketime/libfaketimeMT.so.1", "/usr/lib*/faketime/libfaketimeMT.so.1")


def library() -> Path | None:
    """Give Debian's libfaketime, or that of another system; None when it is not installed."""
    return next((found for pattern in LIBRARIES for found in Path("/").glob(pattern[1:])), None)


class WallClock:
    """The wall clock of one process, right until it is stepped.

    Only `time` and what rests on it is put wrong; the monotonic clock, and with it every sleep and time-out, is the
    machine's own. Without libfaketime the clock cannot be stepped (`steps` is False).

    Parameters
    ----------
    path : Path
        Of the file in which the library reads the offset, once a second.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._library = path, library()
        self.steps, self.offset_s = self._library is not None, 0
        self.step(0)

    def step(self, offset_s: int) -> None:
        """Put it wrong by so many seconds; 0 puts it right."""
        beside = self._path.with_suffix(".new")
        beside.write_text(f"{offset_s:+d}")
        beside.replace(self._path)
        self.offset_s = offset_s

    @staticmethod
    def clean(pid: int) -> None:
        """Remove what the library leaves in shared memory of a process that was killed."""
        for name in (f"faketime_shm_{pid}", f"sem.faketime_sem_{pid}"):
            (Path("/dev/shm") / name).unlink(missing_ok=True)

    @property
    def environment(self) -> dict[str, str]:
        """Give what a process needs in its environment to run by this clock."""
        if self._library is None:
            return {}
        return {
            "LD_PRELOAD": str(self._library),
            "FAKETIME_TIMESTAMP_FILE": str(self._path),
            "FAKETIME_CACHE_DURATION": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "DONT_FAKE_MONOTONIC": "1",
            # With it every wait for Python's lock would return at once, and a service be twenty times as slow.
            "FAKETIME_FORCE_MONOTONIC_FIX": "0",
            "NO_FAKE_STAT": "1",
        }
