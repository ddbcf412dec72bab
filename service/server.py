"""Runs the service on this machine."""

from ipaddress import ip_address

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


def _loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
