"""Runs the service on this machine: one process on a SQLite file, one or several on PostgreSQL."""

import signal
from ipaddress import ip_address
from types import FrameType
from typing import Any

import uvicorn

from model.errors import SaringError
from service.app import create_app, opened
from service.logs import configure
from service.settings import Settings

SHUTDOWN_S = 5


def run(settings: Settings, host: str, port: int, tls: dict[str, Any] | None = None) -> None:
    """Serve until stopped.

    Parameters
    ----------
    settings : Settings
    host : str
    port : int
    tls : dict, optional
        uvicorn's own `ssl_certfile` and `ssl_keyfile`.

    Raises
    ------
    SaringError
        When everybody would be let in from other machines, or something that is needed cannot be opened.
    """
    if settings.insecure_local and not _loopback(host):
        raise SaringError(f"--host: {host!r}, expected a loopback address such as 127.0.0.1 with --insecure-local")
    configure(settings.log_level, settings.log_format)
    # The server ends what is under way and then raises the signal again: leave in order, with the store closed.
    signal.signal(signal.SIGTERM, _leave)
    with opened(settings) as parts:
        scheme = "https" if tls else "http"
        print(f"Serving release {parts.intake.release.name} at {scheme}://{host}:{port} (Ctrl-C stops)", flush=True)
        if settings.insecure_local:
            print("Anybody on this machine may do everything (--insecure-local).", flush=True)
        elif not parts.keys:
            print("Nobody may call yet: make a key with `saring keys create --name pbx --role intake`.", flush=True)
        uvicorn.run(
            create_app(parts, settings),
            host=host,
            port=port,
            log_config=None,
            access_log=False,
            server_header=False,
            date_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=SHUTDOWN_S,
            h11_max_incomplete_event_size=65_536,
            **(tls or {}),
        )


def _leave(_signal: int, _frame: FrameType | None) -> None:
    raise SystemExit(0)


def _loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
