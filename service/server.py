"""Runs the service on this machine."""

import signal
from ipaddress import ip_address
from types import FrameType

import uvicorn

from model.errors import SaringError
from service.app import create_app, opened
from service.settings import Settings

SHUTDOWN_S = 5


def run(settings: Settings, host: str, port: int) -> None:
    """Serve until stopped.

    Raises
    ------
    SaringError
        When `host` is not loopback, or something that is needed cannot be opened.
    """
    if not _loopback(host):
        # Who may call is not checked yet, so nobody from outside may.
        raise SaringError(
            f"--host: {host!r}, expected a loopback address, such as 127.0.0.1, as long as there are no keys"
        )
    # The server ends what is under way and then raises the signal again: leave in order, with the store closed.
    signal.signal(signal.SIGTERM, _leave)
    with opened(settings) as intake:
        print(f"Serving release {intake.release.name} at http://{host}:{port} (Ctrl-C stops)", flush=True)
        uvicorn.run(
            create_app(intake, settings),
            host=host,
            port=port,
            log_level="warning",
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=SHUTDOWN_S,
        )


def _leave(_signal: int, _frame: FrameType | None) -> None:
    raise SystemExit(0)


def _loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
