"""Servers for the time of a measurement: on one core, with one thread each, and gone in the end."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http import HTTPStatus
from http.client import HTTPConnection
from pathlib import Path
from typing import NamedTuple

SERVER_CORE, LOAD_CORE = 0, 1
READY_S, END_S = 120.0, 15.0
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")


class Server(NamedTuple):
    """A server that runs.

    Parameters
    ----------
    port : int
    group : int
        The number of its process group.
    ready_s : float
        Seconds from its start until it was ready.
    log : Path
        What it has printed.
    """

    port: int
    group: int
    ready_s: float
    log: Path

    def cpu_s(self) -> float:
        """Return the seconds of a core that its processes have used so far."""
        ticks = 0
        for stat in Path("/proc").glob("[0-9]*/stat"):
            try:
                fields = stat.read_text().rpartition(")")[2].split()
            except OSError:  # it has just ended
                continue
            if int(fields[2]) == self.group:
                ticks += int(fields[11]) + int(fields[12])
        return ticks / os.sysconf("SC_CLK_TCK")

    @contextmanager
    def alone(self, others: Sequence["Server"]) -> Iterator[None]:
        """Let the other servers stand still until the end of the block: what they do by themselves costs this one."""
        for other in others:
            os.killpg(other.group, signal.SIGSTOP)
        try:
            yield
        finally:
            for other in others:
                os.killpg(other.group, signal.SIGCONT)


@contextmanager
def serving(
    command: Sequence[str], ready: str, folder: Path, settings: dict[str, str] | None = None
) -> Iterator[Server]:
    """Run a server until the end of the block.

    Parameters
    ----------
    command : sequence of str
        `{port}` in it becomes the port.
    ready : str
        Path that answers 200 once it is ready.
    folder : Path
        Where it runs, and where what it prints is kept.
    settings : dict, optional
        Added to the environment.

    Raises
    ------
    RuntimeError
        When it ends before it is ready, or is not ready in time; with the last that it printed.
    """
    port = _free_port()
    command = [word.replace("{port}", str(port)) for word in command]
    environment = os.environ | ONE_THREAD | {"PYTHONPATH": str(Path(__file__).parents[1])} | (settings or {})
    log = folder / f"{port}.log"
    with log.open("w") as printed:
        started = time.perf_counter()
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=environment,
            stdout=printed,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # a group of its own, so that its children end with it
            preexec_fn=lambda: os.sched_setaffinity(0, {SERVER_CORE}),
        )
    try:
        while not _answers(port, ready):
            if process.poll() is not None or time.perf_counter() - started > READY_S:
                raise RuntimeError(f"{' '.join(command)}: is not ready:\n{log.read_text()[-2_000:]}")
            time.sleep(0.005)
        yield Server(port, process.pid, time.perf_counter() - started, log)
    finally:
        _end(process)


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def _answers(port: int, path: str) -> bool:
    connection = HTTPConnection("127.0.0.1", port, timeout=5.0)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == HTTPStatus.OK
    except OSError:
        return False
    finally:
        connection.close()


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a whole group, also what is left of it when its first process has ended."""
    for how, patience_s in ((signal.SIGTERM, END_S), (signal.SIGKILL, END_S)):
        try:
            os.killpg(process.pid, how)
        except ProcessLookupError:
            break
        try:
            process.wait(patience_s)
        except subprocess.TimeoutExpired:
            continue
    process.wait()
