"""Runs the service on this machine: one process on a SQLite file, one or several on PostgreSQL."""

import atexit
import gc
import json
import os
import signal
from collections.abc import Mapping
from contextlib import ExitStack
from ipaddress import ip_address
from pathlib import Path
from tempfile import TemporaryDirectory
from types import FrameType
from typing import Any

import uvicorn
from starlette.types import ASGIApp

from model.errors import SaringError
from service.server.application import Parts, create_app, open_parts
from service.server.listener import raise_file_limit
from service.settings import Settings
from service.store.database import lock_sqlite_file
from service.telemetry.logs import configure
from service.telemetry.multiprocess import VARIABLE
from service.watch.registry_follower import follow_registry

#: What uvicorn is told, wherever this runs.
OPTIONS: dict[str, Any] = {
    "http": "service.server.connection:Connection",
    "loop": "service.server.listener:Loop",
    "ws": "none",
    "log_config": None,
    "access_log": False,
    "server_header": False,
    "date_header": False,
    "proxy_headers": False,
    "timeout_graceful_shutdown": 5,
}
_ANY_ADDRESS = ("0.0.0.0", "::")


def run(
    settings: Settings, host: str, port: int, *, workers: int = 1, tls: Mapping[str, Path | None] | None = None
) -> None:
    """Serve until stopped, with several processes only on a database that they may share.

    Parameters
    ----------
    tls : mapping, optional
        uvicorn's own `ssl_certfile` and `ssl_keyfile`.

    Raises
    ------
    SaringError
        When everybody would be let in from other machines, or something that is needed cannot be opened.
    """
    if settings.insecure_local and not _loopback(host):
        raise SaringError(f"--host: {host!r}, expected a loopback address such as 127.0.0.1 with --insecure-local")
    configure(settings.log_level, settings.log_format)
    if host in _ANY_ADDRESS and not settings.hosts:
        print("SARING_HOSTS lists the names by which this service is asked; none but localhost is.", flush=True)
    settings = settings.model_copy(update={"hosts": [*settings.hosts, _as_host(host)]})
    options = OPTIONS | {"host": host, "port": port, **(tls or {})}
    if settings.proxies:
        options |= {"proxy_headers": True, "forwarded_allow_ips": [str(network) for network in settings.proxies]}
    raise_file_limit()
    where = f"{'https' if tls else 'http'}://{_as_host(host)}:{port}"
    # The server ends what is under way and then raises the signal again: leave in order, with the store closed.
    signal.signal(signal.SIGTERM, _leave)
    with ExitStack() as stack:
        if settings.registry is not None:
            champion = stack.enter_context(follow_registry(settings.registry, settings.registry_folder))
            settings = settings.model_copy(update={"release": champion})
        if workers > 1:
            _run_several(settings, workers, where, options)
        else:
            _run_one(settings, where, options)


def _run_one(settings: Settings, where: str, options: dict[str, Any]) -> None:
    with open_parts(settings) as parts:
        print(f"Serving release {parts.intake.release.name} at {where} (Ctrl-C stops)", flush=True)
        _print_who_may_call(settings, parts)
        app = create_app(parts, settings)
        _settle_memory()
        uvicorn.run(app, **options)


def application() -> ASGIApp:
    """Make the application of one worker process, from the environment."""
    settings = Settings()
    configure(settings.log_level, settings.log_format)
    stack = ExitStack()
    atexit.register(stack.close)
    app = create_app(stack.enter_context(open_parts(settings)), settings)
    _settle_memory()
    return app


def _run_several(settings: Settings, workers: int, where: str, options: dict[str, Any]) -> None:
    """Start worker processes that read the same settings, and count together."""
    if lock_sqlite_file(settings.database) is not None:
        raise SaringError(f"--workers: {workers}, expected 1 on a SQLite file; PostgreSQL takes several")
    with open_parts(settings) as parts:  # what cannot be opened is told once, here
        _print_who_may_call(settings, parts)
    _settle_memory()
    for name, value in settings.model_dump(mode="json", exclude_none=True).items():
        os.environ[f"SARING_{name.upper()}"] = value if isinstance(value, str) else json.dumps(value)
    with TemporaryDirectory(prefix="saring-counts-") as folder:
        os.environ[VARIABLE] = folder
        print(f"Serving release {parts.intake.release.name} at {where} with {workers} processes", flush=True)
        uvicorn.run("service.server.process:application", factory=True, workers=workers, **options)


def _settle_memory() -> None:
    """Leave what lives as long as the process out of garbage collection, and collect the rest seldom.

    A full collection of all objects in memory stops every call for a tenth of a second and more, so there is none now
    either: what little of it is garbage stays. One of 50,000 new objects stops them for up to 50 ms, of 5,000 for 5.
    """
    gc.freeze()
    gc.set_threshold(5_000, 200, 100)
    gc.enable()


def _print_who_may_call(settings: Settings, parts: Parts) -> None:
    if settings.insecure_local:
        print("Anybody on this machine may do everything (--insecure-local).", flush=True)
    elif not parts.keys:
        print("Nobody may call yet: make a key with `saring keys create --name pbx --role intake`.", flush=True)


def _as_host(address: str) -> str:
    """Write an address as a header Host has it."""
    return f"[{address.partition('%')[0]}]" if ":" in address else address


def _leave(_signal: int, _frame: FrameType | None) -> None:
    raise SystemExit(0)


def _loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
