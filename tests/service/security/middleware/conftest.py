"""The middleware around a small application, asked over real connections of the service's own server."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import httpx
import pytest

from service.security.api_keys import ApiKeys, Role
from service.security.key_store import create_key, read_key_rows, revoke_key
from service.store.database import connect
from tests.support.guarded import HOSTS, SITE, secured
from tests.support.small_service import running

NOW = datetime.now(UTC)


class Service(NamedTuple):
    client: httpx.Client
    keys: dict[str, str]


@pytest.fixture(scope="package")
def service(tmp_path_factory) -> Iterator[Service]:
    engine = connect(f"sqlite:///{tmp_path_factory.mktemp('guard') / 'saring.db'}")
    made = {role.value: create_key(engine, role.value, role, NOW) for role in Role}
    made["revoked"] = create_key(engine, "revoked", "admin", NOW)
    revoke_key(engine, made["revoked"].split("_")[1], NOW)
    made["expired"] = create_key(engine, "expired", "admin", NOW - timedelta(hours=1), NOW - timedelta(seconds=1))
    made["unknown"] = "saring_0123456789_" + "a" * 43
    made["wrong"] = made["admin"][:18] + "a" * 43
    held = ApiKeys(read_key_rows(engine))
    engine.dispose()
    with running(secured(held, hosts=HOSTS, origins=[SITE])) as client:
        yield Service(client, made)


@pytest.fixture(scope="module")
def local() -> Iterator[httpx.Client]:
    with running(secured(insecure_local=True)) as client:
        yield client
