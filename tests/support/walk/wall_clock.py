"""A wall clock that is put forward and back under a running process; what time-outs are measured by stays as it is."""

import mmap
import shutil
import struct
import subprocess
from pathlib import Path

#: Stands before the C library's own clock, and adds the seconds that a file holds to the time of day, and to it alone.
#: (libfaketime was tried: with it waits for Python's lock return at once and `time.sleep` fails, Debian 12, 0.9.10.)
SOURCE = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static volatile long long *offset_s;

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("WALL_CLOCK_OFFSET");
    int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (file < 0) return;
    void *held = mmap(NULL, sizeof *offset_s, PROT_READ, MAP_SHARED, file, 0);
    close(file);
    if (held != MAP_FAILED) offset_s = held;
}

int clock_gettime(clockid_t clock, struct timespec *time) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real) real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    int failed = real(clock, time);
    if (!failed && offset_s && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) time->tv_sec += *offset_s;
    return failed;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    struct timespec time;
    clock_gettime(CLOCK_REALTIME, &time);
    now->tv_sec = time.tv_sec;
    now->tv_usec = time.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *now) {
    struct timespec time;
    clock_gettime(CLOCK_REALTIME, &time);
    if (now) *now = time.tv_sec;
    return time.tv_sec;
}
"""


def library(made: Path) -> Path | None:
    """Compile it; None where there is no C compiler, or another system than Linux's."""
    compiler = shutil.which("cc")
    command = [compiler or "", "-shared", "-fPIC", "-O2", "-xc", "-", "-o", str(made), "-ldl"]
    if (
        compiler is None
        or subprocess.run(command, input=SOURCE, text=True, capture_output=True, check=False).returncode
    ):
        return None
    return made


class WallClock:
    """The wall clock of one process, right until it is stepped.

    Where there is no C compiler it cannot be stepped (`steps` is False).

    Parameters
    ----------
    path : Path
        Of the file that tells the process by how much its clock is wrong; what is compiled lies beside it.
    """

    def __init__(self, path: Path) -> None:
        path.write_bytes(bytes(mmap.PAGESIZE))
        self._path, self._library, self.offset_s = path, library(path.with_suffix(".so")), 0
        self.steps = self._library is not None

    def step(self, offset_s: int) -> None:
        """Put it wrong by so many seconds from now on; 0 puts it right."""
        with self._path.open("r+b") as file:
            file.write(struct.pack("q", offset_s))
        self.offset_s = offset_s

    @property
    def environment(self) -> dict[str, str]:
        """Give what a process needs in its environment to run by this clock."""
        return {"LD_PRELOAD": str(self._library), "WALL_CLOCK_OFFSET": str(self._path)} if self._library else {}
