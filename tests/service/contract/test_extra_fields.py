"""Fields of the sender's own: what is kept of a call is bounded, however often it is told."""

import json
from datetime import UTC, datetime

from tests.support.call_histories import proof_of


def test_extra_fields_of_one_call_are_bounded_over_all_updates(serving, rows, tmp_path, release_folder):
    said = {"call_id": "a", "received_at": datetime.now(UTC).isoformat(), "caller": "+6281234567890"}
    with serving(tmp_path, release_folder) as client:
        for number in range(12):
            own = {f"x_{number}_{field}": "a" * 900 for field in range(60)}
            answer = client.post("/v1/score", json=said | own | {"duration_s": float(number)})
            assert answer.status_code == 200
        assert "x_*" in {one["field"] for one in answer.json()["warnings"]}
        changed = client.post("/v1/score", json=said | {"x_0_0": "b"}).json()
        assert changed["warnings"] == []  # what is kept already may change
        assert client.get("/v1/calls/a").json()["x_0_0"] == "b"
    extra = rows(tmp_path, "calls")[0]["extra"]
    assert len(extra) <= 65_536 + 1_000
    assert len(json.loads(extra)) <= 100
    assert proof_of(tmp_path).differences == []
