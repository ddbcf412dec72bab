"""Debian's Kamailio as deploy/kamailio has it, before a real service that is stopped, killed and started again."""

import itertools
import math
import signal
import statistics
import time
from collections.abc import Iterator
from datetime import UTC, datetime

import httpx
import pytest

from benchmarks.far_end import FarEnd, Request
from benchmarks.kamailio import percentiles, proxy, sipp
from service.security.api_keys import Role
from service.security.key_store import create_key
from service.store.database import connect
from tests.support.processes import Process, free_port, until

OURS = "emergency-CallSuspicion"
PHASES = ("up", "hanging", "killed", "up again")
#: What stays of the headers of sipp's calls: benchmarks.kamailio.SCENARIO.
KEPT = {
    "<http://far.example/a,b.jpg>;purpose=icon",
    "<urn:emergency:uid:callid:a1b2c3d4e5:far.example>;purpose=emergency-CallId",
}


@pytest.fixture
def far() -> Iterator[FarEnd]:
    end = FarEnd()
    yield end
    end.close()


def assert_stripped(invite: Request) -> None:
    assert set(invite.values("Call-Info")) >= KEPT
    told = set(invite.values("Call-Info")) - KEPT
    assert not any(foreign in value for value in told for foreign in ("<98>", "<99>"))
    assert len(told) <= 1
    assert "299" not in invite.values("X-Saring-Defer")


def test_each_of_a_thousand_calls_arrives_whatever_becomes_of_saring(far, acting_release, tmp_path):
    database, port = f"sqlite:///{tmp_path / 'saring.db'}", free_port()

    def serve() -> Process:
        chosen = {"insecure_local": False, "mode": "pbx", "random_share": 0.0}
        return Process(tmp_path, "service", acting_release, database, port, **chosen).ready()

    service = serve()
    engine = connect(database)
    keys = {role: create_key(engine, role.value, role, datetime.now(UTC)) for role in (Role.INTAKE, Role.ADMIN)}
    engine.dispose()
    asking = httpx.Client(base_url=service.url, headers={"Authorization": f"Bearer {keys[Role.ADMIN]}"}, timeout=30.0)
    until(lambda: asking.get("/v1/operations").status_code == 200)
    callers = [f"+62812904{number:05d}" for number in range(1_000)]
    seen = lambda: len(far.invites())  # noqa: E731
    try:
        with proxy(tmp_path, far.port, service.url, keys[Role.INTAKE]) as before:
            with sipp(tmp_path, before, callers, 750, 150):
                until(lambda: seen() >= 250, 60)
                service.process.send_signal(signal.SIGSTOP)
                stopped_at = time.time()
                until(lambda: seen() >= 500, 60)
                service.stop(signal.SIGKILL)
                killed_at = time.time()
            back_at = time.time()
            service = serve()
            with sipp(tmp_path, before, callers, 250, 150):
                pass
        invites = list(far.invites().values())
        assert len(invites) == 1_000
        for invite in invites:
            assert_stripped(invite)
        moments = (0.0, stopped_at, killed_at, back_at, math.inf)
        for phase, (begins, ends) in zip(PHASES, itertools.pairwise(moments), strict=True):
            of_it = [invite for invite in invites if begins <= invite.sent_at < ends]
            print(f"{phase}: {len(of_it)} calls, {percentiles([invite.took_s for invite in of_it])}")
            # Not a measurement, but of a proxy that waits for Saring half of the calls would be later than this.
            assert statistics.median(invite.took_s for invite in of_it) < 0.5
            told = [invite for invite in of_it if invite.suspicion]
            assert bool(told) == phase.startswith("up")
            for invite in told:
                known = asking.get(f"/v1/calls/{invite.call_id}").json()["scores"]["ring"]
                assert known["band"] != "unscored"
                assert invite.suspicion == f"<{round(100 * known['prank_likelihood'])}>;purpose={OURS}"
                assert float(invite.values("X-Saring-Queue-Key")[0]) == pytest.approx(
                    known["queue_key_epoch"], abs=1e-6
                )
    finally:
        asking.close()
        service.stop(signal.SIGKILL)
